"""Random clusters with random policies, as API objects: small enough to read, dense enough that everything meets.

`scenario(random)` makes one from any `random.Random`. With the one of `hypothesis.strategies.randoms` every choice is
hypothesis's own and shrinks; with a seeded one millions are cheap. Addresses, labels and ports come from small
vocabularies, so that blocks cut through pods, selectors overlap and names are resolved differently on every pod.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]
Vocabulary = Mapping[str, tuple[str, ...]]
#: Adds ports to a rule of a cluster's policy; named ones when the flag says so.
Ports = Callable[[Object, bool], None]

NAMESPACES = ("x", "y", "y-z")
LABELS = {"app": ("a", "b", "c"), "tier": ("db", "web"), "gone": ("",)}
SPACE_LABELS = {"env": ("prod", "test"), "team": ("red", "blue"), "kubernetes.io/metadata.name": NAMESPACES}
NODE_LABELS = {"role": ("edge", "core")}
PORT_NAMES = ("web", "dns", "admin")
PORTS = (1, 53, 80, 81, 443, 8080, 32768, 65534, 65535)
PROTOCOLS = ("TCP", "UDP", "SCTP")
PHASES = ("Running", "Running", "Running", "Running", "Pending", "Unknown", "Succeeded", "Failed")
#: Names that a careless join or cut makes equal: `y-z`/`a` and `y`/`z-a`, and two that differ at the very end.
POLICY_NAMES = ("a", "b", "z-a", "long-" + "n" * 247 + "a", "long-" + "n" * 247 + "b")
PRIORITIES = (0, 1, 5, 5, 5, 1000)
LENGTHS = {4: (0, 1, 8, 16, 24, 27, 28, 29, 30, 31, 32), 6: (0, 1, 7, 48, 64, 120, 124, 126, 127, 128)}
#: Where blocks are drawn around, beside pods and nodes.
ELSEWHERE = ("203.0.113.9", "10.0.1.0", "2001:db8:1::9", "fd00::")


@dataclass(frozen=True, slots=True)
class Scenario:
    """API objects of a cluster with its policies. Prints as the JSON that `netpolc compile` reads."""

    objects: tuple[Object, ...]

    @property
    def text(self) -> bytes:
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": self.objects}).encode()

    def with_policies_of(self, other: Scenario) -> Scenario:
        """This cluster under the policies of another."""
        own = (item for item in self.objects if not item["kind"].endswith("Policy"))
        return Scenario((*own, *(item for item in other.objects if item["kind"].endswith("Policy"))))

    def __repr__(self) -> str:
        return "\n".join(json.dumps(item) for item in self.objects)


def scenario(random: Random) -> Scenario:
    """A cluster of two or three nodes with up to eight pods, and a handful of policies of every kind. Some are
    *crowded*: many pods, blocks and ports, for what the compiler does to them from a certain number on."""
    return Scenario(tuple(_Maker(random).objects()))


#: With the shrinking of hypothesis.
scenarios = st.randoms(use_true_random=False).map(scenario)


class _Maker:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._crowded = self._often(0.1)
        self._nodes = [f"n{number}" for number in range(random.randint(2, 3))]
        self._addresses = list(ELSEWHERE)

    def objects(self) -> Iterator[Object]:
        yield from self._cluster()
        used: set[tuple[str, str, str]] = set()
        makers: Sequence[tuple[Callable[[], Object], int]] = (
            (self._network_policy, 6),
            (self._cluster_policy, 3),
            (self._admin_policy, 2),
            (self._baseline_policy, 1),
        )
        for make, most in makers:
            for _ in range(self._random.randint(min(most, 1), most)):
                found = make()
                key = found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]
                if key not in used:
                    used.add(key)
                    yield found

    # Choices

    def _one(self, options: Sequence[Any]) -> Any:
        return options[self._random.randint(0, len(options) - 1)]

    def _often(self, share: float) -> bool:
        return self._random.random() >= 1 - share  # 0.0, to which hypothesis shrinks, is no

    def _some(self, most: int, make: Callable[[], Any], least: int = 0) -> list[Any]:
        return [make() for _ in range(self._random.randint(least, most))]

    def _labels(self, vocabulary: Vocabulary) -> dict[str, str]:
        return {key: self._one(values) for key, values in vocabulary.items() if self._often(0.6)}

    # The cluster

    def _cluster(self) -> Iterator[Object]:
        for name in NAMESPACES:
            if self._often(0.8):  # else it is only referred to
                labels = {k: v for k, v in self._labels(SPACE_LABELS).items() if "/" not in k}
                yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for number, name in enumerate(self._nodes):
            ips = self._families(f"192.0.2.{number + 1}", f"2001:db8:ffff::{number + 1}")
            yield {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": self._labels(NODE_LABELS)},
                "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in ips]},
            }
            self._addresses += ips
            if self._often(0.3):
                yield self._pod(f"host{number}", name, ips, host_network=True, phase=self._one(PHASES))
        free = list(range(1, 200 if self._crowded else 32))
        for number in range(self._random.randint(20, 60) if self._crowded else self._random.randint(1, 8)):
            last = free.pop(self._random.randint(0, len(free) - 1))
            ips = self._families(f"10.0.1.{last}", f"fd00::{last:x}") if self._often(0.9) else []
            phase = self._one(PHASES)
            yield self._pod(f"p{number}", self._one(self._nodes), ips, phase=phase)
            if phase in ("Succeeded", "Failed") and self._often(0.6):
                yield self._pod(f"heir{number}", self._one(self._nodes), ips)
            self._addresses += ips

    def _families(self, four: str, six: str) -> list[str]:
        return list(self._one(((four, six), (four,), (six,), (six, four))))

    def _pod(self, name: str, node: str, ips: list[str], host_network: bool = False, phase: str = "Running") -> Object:
        labels = self._labels(LABELS)
        ports = self._some(3, self._container_port)
        named: set[str] = set()
        for port in ports:  # the API server wants the names of a container's ports distinct
            if port.get("name") in named:
                del port["name"]
            elif "name" in port:
                named.add(port["name"])
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": self._one(NAMESPACES), "name": name, "labels": labels},
            "spec": {
                "nodeName": node,
                "hostNetwork": host_network,
                "containers": [{"name": "main", "image": "main", "ports": ports}],
            },
            "status": {"phase": phase, "podIPs": [{"ip": ip} for ip in ips]},
        }

    def _container_port(self) -> Object:
        found: Object = {"containerPort": self._one(PORTS)}
        if self._often(0.7):
            found["name"] = self._one(PORT_NAMES)
        if self._often(0.7):
            found["protocol"] = self._one(PROTOCOLS)
        return found

    # What all policies have

    def _selector(self, vocabulary: Vocabulary, strange: bool = False) -> Object:
        found: Object = {}
        if self._often(0.3):
            return found
        if self._often(0.5):
            key = self._one(list(vocabulary))
            found["matchLabels"] = {key: self._one(vocabulary[key])}
        if self._often(0.3):
            found["matchExpressions"] = self._some(2, lambda: self._requirement(vocabulary, strange), 1)
        return found

    def _requirement(self, vocabulary: Vocabulary, strange: bool) -> Object:
        key = self._one(list(vocabulary))
        operator = self._one(("In", "NotIn", "Exists", "DoesNotExist"))
        if strange and self._often(0.1):  # the schemas of custom resources take it
            strangest: Object = self._one(
                ({"operator": "exists"}, {"operator": "Exists", "values": ["a"]}, {"operator": "In"})
            )
            return {"key": key, **strangest}
        if operator in ("Exists", "DoesNotExist"):
            return {"key": key, "operator": operator}
        return {"key": key, "operator": operator, "values": self._some(2, lambda: self._one(vocabulary[key]), 1)}

    def _network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        address = ipaddress.ip_address(self._one(self._addresses))
        return ipaddress.ip_network((address, self._one(LENGTHS[address.version])), strict=False)

    def _meta(self, **more: str) -> Object:
        return {"name": self._one(POLICY_NAMES), **more}

    # NetworkPolicy

    def _network_policy(self) -> Object:
        spec: Object = {}
        if self._often(0.9):
            spec["podSelector"] = self._selector(LABELS)
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            if self._often(0.7):
                spec[direction] = self._some(3, lambda peers=peers: self._rule(peers))  # type: ignore[misc]
        types = self._one((None, None, [], ["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Egress", "Ingress"]))
        if types is not None:
            spec["policyTypes"] = types
        metadata = self._meta(namespace=self._one(NAMESPACES))
        return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}

    def _rule(self, peers: str) -> Object:
        if self._often(0.4):  # as most policies are: some pods, one port
            return {peers: [self._pod_peer()], "ports": [{"port": self._one((*PORTS, *PORT_NAMES))}]}
        found: Object = {}
        if self._often(0.8):
            found[peers] = self._some(self._many(30), self._peer)
        if self._often(0.7):
            found["ports"] = self._some(self._many(20), self._policy_port)
        return found

    def _many(self, most: int) -> int:
        return most if self._crowded and self._often(0.3) else 3

    def _peer(self) -> Object:
        return {"ipBlock": self._ip_block()} if self._often(0.4) else self._pod_peer()

    def _pod_peer(self) -> Object:
        kind = self._one(("pods", "spaces", "both"))
        found: Object = {}
        if kind != "spaces":
            found["podSelector"] = self._selector(LABELS)
        if kind != "pods":
            found["namespaceSelector"] = self._selector(SPACE_LABELS)
        return found

    def _ip_block(self) -> Object:
        block = self._network()
        found: Object = {"cidr": str(block)}
        inside = [address for address in map(ipaddress.ip_address, self._addresses) if address in block]
        lengths = [length for length in LENGTHS[block.version] if length > block.prefixlen]
        if inside and lengths and self._often(0.6):
            holes = [(self._one(inside), self._one(lengths)) for _ in range(self._random.randint(1, 3))]
            found["except"] = [str(ipaddress.ip_network(hole, strict=False)) for hole in holes]
        elif self._often(0.2):
            found["except"] = []
        return found

    def _policy_port(self) -> Object:
        found: Object = {}
        if self._often(0.7):
            found["protocol"] = self._one(PROTOCOLS)
        if self._often(0.3):
            found["port"] = self._one(PORT_NAMES)
        elif self._often(0.8):
            found["port"] = self._one(PORTS)
            if self._often(0.4):
                found["endPort"] = self._random.randint(found["port"], min(65535, found["port"] + 100))
        return found

    # The cluster's policies

    def _cluster_policy(self) -> Object:
        spec: Object = {"tier": self._one(("Admin", "Baseline")), "priority": self._one(PRIORITIES)}
        actions = ("Accept", "Deny", "Pass")
        spec.update(self._cluster_spec(actions, self._protocols, True, True))
        version = "policy.networking.k8s.io/v1alpha2"
        return {"apiVersion": version, "kind": "ClusterNetworkPolicy", "metadata": self._meta(), "spec": spec}

    def _admin_policy(self) -> Object:
        spec = {"priority": self._one(PRIORITIES)}
        spec.update(self._cluster_spec(("Allow", "Deny", "Pass"), self._admin_ports, True, False))
        version = "policy.networking.k8s.io/v1alpha1"
        return {"apiVersion": version, "kind": "AdminNetworkPolicy", "metadata": self._meta(), "spec": spec}

    def _baseline_policy(self) -> Object:
        spec = self._cluster_spec(("Allow", "Deny"), self._admin_ports, False, False)
        version, metadata = "policy.networking.k8s.io/v1alpha1", {"name": "default"}
        return {"apiVersion": version, "kind": "BaselineAdminNetworkPolicy", "metadata": metadata, "spec": spec}

    def _cluster_spec(self, actions: Sequence[str], ports: Ports, domains: bool, v1alpha2: bool) -> Object:
        def pods() -> Object:
            return self._pods_anywhere(v1alpha2)

        def egress() -> Object:
            return self._egress_peer(domains, pods)

        spec: Object = {"subject": pods()}
        if self._often(0.8):
            spec["ingress"] = self._some(3, lambda: self._cluster_rule(actions, "from", pods, ports))
        if self._often(0.8):
            spec["egress"] = self._some(3, lambda: self._cluster_rule(actions, "to", egress, ports))
        return spec

    def _cluster_rule(self, actions: Sequence[str], field: str, peer: Callable[[], Object], ports: Ports) -> Object:
        peers = self._some(2, peer, 1)
        found: Object = {"action": self._one(actions), field: peers}
        if any("domainNames" in entry for entry in peers):
            found["action"] = actions[0]  # "DomainNames is only supported for Accept rules."
        addresses = any(kind in entry for entry in peers for kind in ("networks", "nodes", "domainNames"))
        if self._often(0.6):
            ports(found, not addresses)  # names cannot stand beside peers that have none
        return found

    def _pods_anywhere(self, may_leave_out: bool) -> Object:
        if self._often(0.4):
            return {"namespaces": self._selector(SPACE_LABELS, True)}
        pods = {"podSelector": self._selector(LABELS, True)}
        if not may_leave_out or self._often(0.9):
            pods["namespaceSelector"] = self._selector(SPACE_LABELS, True)
        return {"pods": pods}

    def _egress_peer(self, domains: bool, pods: Callable[[], Object]) -> Object:
        kind = self._one(("pods", "pods", "networks", "nodes", "domains" if domains else "pods"))
        if kind == "networks":
            return {"networks": list(dict.fromkeys(str(self._network()) for _ in range(self._random.randint(1, 3))))}
        if kind == "nodes":
            return {"nodes": self._selector(NODE_LABELS, True)}
        return {"domainNames": ["example.org"]} if kind == "domains" else pods()

    def _protocols(self, rule: Object, names: bool) -> None:
        def entry() -> Object:
            if names and self._often(0.3):
                return {"destinationNamedPort": self._one((*PORT_NAMES, ""))}
            port = self._one(PORTS)
            match = {"number": port}
            if self._often(0.4) and port < 65535:
                match = {"range": {"start": port, "end": self._random.randint(port + 1, min(65535, port + 100))}}
            return {self._one(PROTOCOLS).lower(): {"destinationPort": match}}

        rule["protocols"] = self._some(self._many(20), entry, 1)

    def _admin_ports(self, rule: Object, names: bool) -> None:
        def entry() -> Object:
            if names and self._often(0.3):
                return {"namedPort": self._one((*PORT_NAMES, ""))}
            port = self._one(PORTS)
            protocol = {"protocol": self._one(PROTOCOLS)} if self._often(0.7) else {}
            if self._often(0.03):  # the schema takes any text
                protocol = {"protocol": self._one(("", "tcp", "ICMP"))}
            if self._often(0.4):
                end = self._random.randint(1 if self._often(0.05) else port, 65535)
                return {"portRange": {**protocol, "start": port, "end": end}}
            return {"portNumber": {**protocol, "port": port}}

        rule["ports"] = self._some(self._many(20), entry, 1)
