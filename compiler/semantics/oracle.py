"""The verdict of a connection, straight from the resources: what docs/SEMANTICS.md says, and nothing else.

This is the second opinion on the compiler, so it shares nothing with it: no policy model, no address algebra, no
classes. It asks one connection at a time, in the words of the API, and takes no short cut that is not in the text.
Quotations are the field documentation of networking.k8s.io/v1 and of network-policy-api v0.2.0 and v0.1.8.

Glossary: a connection has two ends. The *subject* is the pod whose policies are asked: the source for egress, the
destination for ingress. The *other* end is an address, which a pod may hold. A *meeting* is what the policies say of
one subject and one other end, before protocol and port are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from compiler.resources import (
    AdminNetworkPolicy,
    ClusterNetworkPolicy,
    NetworkPolicy,
    clusterpolicy,
    networkpolicy,
)
from compiler.resources.cluster import Pod
from compiler.semantics.packet import Packet
from compiler.semantics.reading import (
    EgressPeer,
    EgressRule,
    IngressPeer,
    IngressRule,
    cluster_port_test,
    is_clear,
    is_known,
    peers_of,
    port_test,
    selects,
    within,
)
from compiler.semantics.verdict import (
    AnyPolicy,
    Because,
    BlockRule,
    Clause,
    ClusterPolicy,
    Connection,
    Direction,
    Meeting,
    PortTest,
    Ruling,
    Verdict,
    priority_of,
)
from compiler.snapshot import Snapshot

Side = tuple[tuple[networkpolicy.Peer, ...] | None, tuple[networkpolicy.PolicyPort, ...] | None]

_TERMINAL = ("Succeeded", "Failed")
#: "Accept" is v1alpha2's word, "Allow" v1alpha1's.
ACTIONS = {"Accept": Verdict.ALLOW, "Allow": Verdict.ALLOW, "Deny": Verdict.DENY, "Pass": Verdict.PASS}


class Met(Enum):
    """How a peer matches the other end."""

    NOT = "not at all"
    POD = "as a pod"
    ADDRESS = "as an address, whoever holds it"
    ANY = "as anyone"


class Oracle:
    """Policies and a cluster, to be asked about connections. `blocks`: rules of a program that stand in the baseline
    tier, in their order."""

    def __init__(self, policies: Iterable[AnyPolicy], snapshot: Snapshot, blocks: tuple[BlockRule, ...] = ()) -> None:
        known = tuple(policies)
        self._snapshot, self._blocks = snapshot, blocks
        self._network = tuple(p for p in known if isinstance(p, NetworkPolicy))
        self._admin = tier_order(known, True)
        self._baseline = tier_order(known, False)
        # "Succeeded and Failed pods hold no address"; a host-network pod's address is the node's.
        alive = [pod for pod in snapshot.pods if pod.phase not in _TERMINAL]
        claims: dict[str, list[Pod]] = {}
        for pod in alive:
            if not pod.host_network:
                for address in dict.fromkeys(pod.ips):
                    claims.setdefault(address, []).append(pod)
        self._holders = {address: pods[0] for address, pods in claims.items() if len(pods) == 1}
        self._contested = {address: pods for address, pods in claims.items() if len(pods) > 1 and known}
        self._node_addresses = {name: set(node.own_ips) for name, node in snapshot.nodes.items()}
        for pod in alive:
            if pod.host_network and pod.node:
                self._node_addresses.setdefault(pod.node, set()).update(pod.ips)
        self._known: set[str] = set()
        if snapshot.closed:
            self._known = {*claims, *(address for node in snapshot.nodes.values() for address in node.ips)}
            self._known = self._known.union(*self._node_addresses.values())

    def connection(self, packet: Packet) -> Connection:
        """The verdict of the whole cluster: the egress side of the source and the ingress side of the destination."""
        return Connection(self._egress(packet, None), self._ingress(packet, None))

    def at_node(self, packet: Packet, node: str) -> Connection:
        """What the hooks of one node must do: a direction whose pod is elsewhere is not theirs to deny."""
        return Connection(self._egress(packet, node), self._ingress(packet, node))

    def _egress(self, packet: Packet, node: str | None) -> Ruling:
        return self._direction(packet, Direction.EGRESS, packet.src, packet.dst, node)

    def _ingress(self, packet: Packet, node: str | None) -> Ruling:
        # "OR if the traffic source is the pod's local node"; the kubelet's probes come from there.
        pods = self._pods_at(packet.dst, node)
        if pods and all(packet.src in self._node_addresses.get(pod.node, ()) for pod in pods):
            return Ruling(True, Because.OWN_NODE)
        return self._direction(packet, Direction.INGRESS, packet.dst, packet.src, node)

    def _direction(self, packet: Packet, direction: Direction, subject: str, other: str, node: str | None) -> Ruling:
        pods = self._pods_at(subject, node)
        if not pods and self._is_unknown(subject, node):
            neighbours = packet.is_neighbour_discovery
            return Ruling(neighbours, Because.NEIGHBOURS if neighbours else Because.UNKNOWN)
        if not pods:
            return Ruling(True, Because.NO_SUBJECT)
        if subject == other or (subject in self._holders and self._holders.get(other) is pods[0]):
            return Ruling(True, Because.ITSELF)
        if packet.is_neighbour_discovery:
            return Ruling(True, Because.NEIGHBOURS)
        if subject in self._contested:
            return Ruling(False, Because.CONTESTED)
        return self.meeting(direction, subject, other).ruling(packet)

    def _pods_at(self, address: str, node: str | None) -> list[Pod]:
        """The pods of the node (None: of any) that hold this address: one, or several who contest it."""
        one = self._holders.get(address)
        claims = self._contested.get(address, []) if one is None else [one]
        return [pod for pod in claims if node in (None, pod.node)]

    def _is_unknown(self, address: str, node: str | None) -> bool:
        """Whether the address is of a node's pod ranges, nobody has it, and nothing may use it."""
        if not self._snapshot.closed or node is None or address in self._known:
            return False
        found = self._snapshot.nodes.get(node)
        return found is not None and any(within(address, cidr) for cidr in found.pod_cidrs)

    def meeting(self, direction: Direction, subject: str, other: str) -> Meeting:
        """What the policies say of these two addresses; a pod holds `subject`."""
        isolating = self.isolating(direction, subject)
        return Meeting(
            tuple(self._cluster_clauses(self.concerned(subject, admin=True), direction, subject, other)),
            tuple(self._clauses(isolating, direction, subject, other)),
            isolating,
            tuple(self._cluster_clauses(self.concerned(subject, admin=False), direction, subject, other)),
            self._blocks,
        )

    # NetworkPolicy

    def isolating(self, direction: Direction, subject: str) -> tuple[NetworkPolicy, ...]:
        """The NetworkPolicies that isolate the pod with this address in this direction."""
        pod = self._holders[subject]
        return tuple(
            policy
            for policy in self._network
            if namespace_of(policy) == pod.namespace
            and selects(policy.spec.pod_selector, pod.labels, absent=True)
            and direction.value in policy_types(policy.spec)
        )

    def _clauses(
        self, policies: Iterable[NetworkPolicy], direction: Direction, subject: str, other: str
    ) -> Iterator[Clause]:
        for policy in policies:
            for index, (peers, ports) in enumerate(sides(policy.spec, direction)):
                # "If this field is empty or missing, this rule matches all sources."
                met = [Met.ANY] if not peers else [self._peer(peer, other, namespace_of(policy)) for peer in peers]
                for server in self._servers(met, direction, subject, other):
                    yield Clause(policy, index, Verdict.ALLOW, port_test(ports, server))

    def _peer(self, peer: networkpolicy.Peer, other: str, namespace: str) -> Met:
        if peer.ip_block is not None:
            inside = within(other, peer.ip_block.cidr)
            cut = any(within(other, text) for text in peer.ip_block.except_ or ())
            return Met.ADDRESS if inside and not cut else Met.NOT
        pod = self._holders.get(other)
        if pod is None or not selects(peer.pod_selector, pod.labels, absent=True):
            return Met.NOT
        if peer.namespace_selector is None:  # "the pods matching podSelector in the policy's own namespace"
            return Met.POD if pod.namespace == namespace else Met.NOT
        return Met.POD if selects(peer.namespace_selector, self.namespace_labels(pod.namespace)) else Met.NOT

    # Admin and Baseline tiers

    def concerned(self, subject: str, admin: bool) -> tuple[ClusterPolicy, ...]:
        """The policies of one of these tiers that are about the pod with this address, in order of evaluation."""
        pod = self._holders[subject]
        return tuple(p for p in (self._admin if admin else self._baseline) if self._selects_pods(p.spec.subject, pod))

    def _cluster_clauses(
        self, policies: Iterable[ClusterPolicy], direction: Direction, subject: str, other: str
    ) -> Iterator[Clause]:
        for policy in policies:
            rules: Iterable[IngressRule | EgressRule] = (
                (policy.spec.ingress or ()) if direction is Direction.INGRESS else (policy.spec.egress or ())
            )
            clear = is_clear(policy.spec.subject)
            for index, rule in enumerate(rules):
                verdict = ACTIONS[rule.action]
                if clear and is_known(rule):
                    met = [self._cluster_peer(peer, other) for peer in peers_of(rule)]
                    for server in self._servers(met, direction, subject, other):
                        yield Clause(policy, index, verdict, cluster_port_test(rule, server))
                elif verdict is not Verdict.ALLOW:
                    # For Accept, "treat the rule as matching no traffic"; for Deny and Pass "as a 'Deny all' rule".
                    yield Clause(policy, index, Verdict.DENY, PortTest(everything=True))

    def _cluster_peer(self, peer: IngressPeer | EgressPeer, other: str) -> Met:
        if peer.namespaces is not None or peer.pods is not None:
            pod = self._holders.get(other)
            return Met.POD if pod is not None and self._selects_pods(peer, pod) else Met.NOT
        assert isinstance(peer, EgressPeer), "known: an ingress peer is pods or namespaces"
        if peer.nodes is not None:  # "It selects the nodeIPs ... present in the node.Status.Addresses field"
            chosen = (n for n in self._snapshot.nodes.values() if selects(peer.nodes, n.labels))
            return Met.ADDRESS if any(other in node.ips for node in chosen) else Met.NOT
        if peer.networks is not None:  # "cluster-internal traffic will be checked against the rule as well"
            return Met.ADDRESS if any(within(other, text) for text in peer.networks) else Met.NOT
        return Met.NOT  # domainNames: resources alone know no DNS answer

    def _selects_pods(self, chosen: clusterpolicy.Subject | IngressPeer | EgressPeer, pod: Pod) -> bool:
        """Host-network pods never get here: they hold no address of their own."""
        if chosen.namespaces is not None:
            return selects(chosen.namespaces, self.namespace_labels(pod.namespace))
        assert chosen.pods is not None, "exactly one of namespaces and pods"
        spaces, pods = chosen.pods.namespace_selector, chosen.pods.pod_selector
        # v1alpha2's namespaceSelector is no pointer: absent, it is empty, which "selects all Namespaces".
        return selects(spaces, self.namespace_labels(pod.namespace), absent=True) and selects(pods, pod.labels)

    # Both

    def holder(self, address: str) -> Pod | None:
        """The pod whose own this address is."""
        return self._holders.get(address)

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """The API server labels every namespace with its name (KEP-2161)."""
        found = self._snapshot.namespaces.get(namespace)
        return {**(found.labels if found else {}), "kubernetes.io/metadata.name": namespace}

    def _servers(self, met: Iterable[Met], direction: Direction, subject: str, other: str) -> Iterator[Pod | None]:
        """For every way in which a rule's peers match: the pod that named ports are looked up on, or None.

        Named ports are the destination pod's. Towards an ipBlock there is none, even if a pod holds the address.
        """
        for how in dict.fromkeys(met):
            if how is not Met.NOT:
                server = self._holders[subject] if direction is Direction.INGRESS else self._holders.get(other)
                yield None if direction is Direction.EGRESS and how is Met.ADDRESS else server


def _is_admin(policy: ClusterPolicy) -> bool:
    if isinstance(policy, ClusterNetworkPolicy):
        return policy.spec.tier == "Admin"
    return isinstance(policy, AdminNetworkPolicy)


def tier_order(policies: Iterable[AnyPolicy], admin: bool) -> tuple[ClusterPolicy, ...]:
    """Those of the admin tier or of the baseline tier. "Policies with lower priority values have higher precedence";
    equal ones go by name, then kind (decision)."""

    def key(policy: ClusterPolicy) -> tuple[int, str, str]:
        return priority_of(policy), policy.metadata.name, policy.kind

    found = [p for p in policies if not isinstance(p, NetworkPolicy) and _is_admin(p) is admin]
    return tuple(sorted(found, key=key))


def namespace_of(policy: NetworkPolicy) -> str:
    """A policy without a namespace is in `default`."""
    return policy.metadata.namespace or "default"


def policy_types(spec: networkpolicy.NetworkPolicySpec) -> tuple[str, ...]:
    """Absent: "all policies ... are assumed to affect ingress", and egress those with at least one egress rule."""
    if spec.policy_types:
        return tuple(spec.policy_types)
    return ("Ingress", "Egress") if spec.egress else ("Ingress",)


def sides(spec: networkpolicy.NetworkPolicySpec, direction: Direction) -> Iterator[Side]:
    """(peers, ports) of every rule of one direction; the other direction's never count."""
    if direction is Direction.INGRESS:
        yield from ((rule.from_, rule.ports) for rule in spec.ingress or ())
    else:
        yield from ((rule.to, rule.ports) for rule in spec.egress or ())
