"""The ends of a connection as people name them: pods, workloads, nodes and addresses of a snapshot.

    NAMESPACE/NAME          a pod, or all pods of a workload (a Deployment, StatefulSet, ... of the input)
    pod:, KIND:             before it, where a pod and a workload or two workloads have that name
    node:NAME or NAME       the addresses of a node
    10.0.0.1 or fd00::1     an address

A destination may go on with `:PORT`, `:PORT/PROTOCOL` or `:ICMP`; an IPv6 address is then in brackets. PORT is a
number or the name of a container port; TCP is the default. Without a port an echo request is meant.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from compiler.errors import Unreadable
from compiler.resources.cluster import TERMINAL_PHASES, Pod, Service
from compiler.semantics.packet import ICMP, SCTP, TCP, UDP
from compiler.snapshot import Snapshot

_PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
_KIND = re.compile(r"(pod|deployment|statefulset|daemonset|replicaset|job|cronjob|node):", re.IGNORECASE)
_PORT = re.compile(r"(?P<port>[A-Za-z0-9-]+)(?:/(?P<protocol>\w+))?")
#: Names that a message offers at most.
_OFFERED = 5


@dataclass(frozen=True, slots=True)
class Place:
    """An address, and the pod that is meant by it, if one is. Of a host-network pod it is the node's."""

    address: str
    title: str
    pod: Pod | None = None

    @property
    def holder(self) -> Pod | None:
        """The pod whose own the address is."""
        return self.pod if self.pod is not None and self.pod.holds_addresses else None

    def __str__(self) -> str:
        return self.address if self.title == self.address else f"{self.address} ({self.title})"


@dataclass(frozen=True, slots=True)
class End:
    """What the user named, and the places that it stands for: one at least."""

    name: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of the destination: a protocol and a port number, or the name of a port and perhaps a protocol.
    `protocol` ICMP without a port is an echo request."""

    protocol: int | None
    port: int | str

    def __str__(self) -> str:
        if self.protocol == ICMP:
            return "ICMP echo request"
        names = {number: name for name, number in _PROTOCOLS.items()}
        return f"port {self.port}" + (f"/{names[self.protocol]}" if self.protocol is not None else "")

    def of(self, place: Place) -> tuple[int, int]:
        """(protocol, port number) at a destination. Raises Unreadable where the name means none there, or several."""
        if isinstance(self.port, int):
            assert self.protocol is not None, "a number has a protocol"
            return self.protocol, self.port
        if place.pod is None:
            raise Unreadable(f"port {self.port}: only pods have named ports, and {place.title} is none")
        ports = place.pod.ports
        found = {(_PROTOCOLS[p.protocol], p.port) for p in ports if p.name == self.port}
        found = {one for one in found if self.protocol in (None, one[0])}
        if not found:
            known = sorted({p.name for p in ports if p.name})
            raise Unreadable(f"{place.title} has no container port {self.port}{_offer(self.port, known, 'it has')}")
        if len(found) > 1:
            names = {number: name for name, number in _PROTOCOLS.items()}
            shown = ", ".join(f"{port}/{names[protocol]}" for protocol, port in sorted(found))
            raise Unreadable(f"port {self.port} of {place.title} is ambiguous: say {shown}")
        return found.pop()


class Directory:
    """Finds the ends in a snapshot. Services are known only to say that they are no ends."""

    def __init__(self, snapshot: Snapshot, services: Sequence[Service] = ()) -> None:
        self._snapshot = snapshot
        self._services = services
        self._pods = [pod for pod in snapshot.pods if not pod.template_of]
        self._templates = [pod for pod in snapshot.pods if pod.template_of]
        self._holders = {ip: pod for pod in self._pods if pod.holds_addresses for ip in pod.ips}

    def source(self, text: str) -> End:
        """The end of that name. Raises Unreadable when it is unknown, ambiguous or without an address."""
        kind, _, rest = text.rpartition(":") if _KIND.match(text) else ("", "", text)
        if not kind and not _is_address(text) and ":" in text:
            raise Unreadable(f"{text}: a source has no port; expected NAMESPACE/POD, an address or a node")
        return self._end(kind.lower(), rest.strip("[]"))

    def destination(self, text: str) -> tuple[End, Wanted]:
        """The end and what is asked of it. Raises Unreadable like `source`."""
        kind = found.group(1).lower() if (found := _KIND.match(text)) else ""
        rest = text[len(kind) + 1 :] if kind else text
        if not kind and _is_address(rest):
            return self._end(kind, rest.strip("[]")), Wanted(ICMP, 0)
        name, colon, port = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
        if not colon:
            name, port = rest, "icmp"
        return self._end(kind, name.strip("[]")), _wanted(text, port)

    def _end(self, kind: str, name: str) -> End:
        if not name:
            raise Unreadable("an end has no name; expected NAMESPACE/POD, an address or a node")
        if not kind and _is_address(name):
            return self._address(str(ipaddress.ip_address(name)))
        if kind == "node" or (not kind and "/" not in name):
            return self._node(name)
        namespace, _, own = name.partition("/")
        pods = [p for p in self._pods if (p.namespace, p.name) == (namespace, own) and kind in ("", "pod")]
        owners = [t for t in self._templates if (t.namespace, t.name) == (namespace, own)]
        owners = [t for t in owners if kind in ("", t.template_of.lower())]
        if len(pods) + len(owners) > 1:
            shown = ", ".join(f"{(p.template_of or 'pod').lower()}:{name}" for p in (*pods, *owners))
            raise Unreadable(f"{name} is ambiguous: say {shown}")
        if pods:
            return End(name, tuple(_places(pods[0])))
        if owners:
            return self._workload(name, owners[0])
        raise Unreadable(self._unknown(kind, name))

    def _workload(self, name: str, template: Pod) -> End:
        """A workload's pods: those of its namespace that have all labels of its template."""
        own = [
            p
            for p in self._pods
            if p.namespace == template.namespace and template.labels.items() <= p.labels.items() and template.labels
        ]
        places = [place for pod in own if pod.ips and pod.phase not in TERMINAL_PHASES for place in _places(pod)]
        if not places:
            what = "no pod of it has an address" if own else "the input names none of its pods"
            raise Unreadable(
                f"{template.template_of} {name}: {what}; add pods: kubectl get pods,namespaces,nodes -A -o yaml"
            )
        return End(name, tuple(places))

    def _address(self, address: str) -> End:
        for service in self._services:
            if address in service.cluster_ips:
                raise Unreadable(
                    f"{address} is the address of Service {service.namespace}/{service.name}: "
                    f"policies see the pods behind it{self._behind(service)}"
                )
        pod = self._holders.get(address)
        return End(address, (Place(address, f"{pod.namespace}/{pod.name}" if pod else address, pod),))

    def _node(self, name: str) -> End:
        found = self._snapshot.nodes.get(name)
        hosted = (ip for p in self._pods if p.host_network and p.node == name for ip in p.ips)
        ips = dict.fromkeys([*(found.ips if found else ()), *hosted])
        names = self._snapshot.node_names()
        if name not in names:
            candidates = [*names, *(f"{p.namespace}/{p.name}" for p in self._all() if p.name == name)]
            raise Unreadable(f"no node {name} in the input{_offer(name, candidates, 'it knows')}")
        if not ips:
            raise Unreadable(f"node {name}: the input gives it no address; add Node objects")
        return End(f"node {name}", tuple(Place(ip, f"node {name}") for ip in ips))

    def _all(self) -> Iterator[Pod]:
        yield from self._templates
        yield from self._pods

    def _unknown(self, kind: str, name: str) -> str:
        namespace, _, own = name.partition("/")
        for service in self._services:
            if (service.namespace, service.name) == (namespace, own) and not kind:
                return f"{name} is a Service: policies see the pods behind it{self._behind(service)}"
        known = [f"{p.namespace}/{p.name}" for p in self._all() if kind in ("", (p.template_of or "pod").lower())]
        # A pod is often named by what its workload is called: that name, a hash and five characters.
        started = [one for one in known if one.startswith(f"{name}-")]
        what = kind or "pod or workload"
        return f"no {what} {name} in the input" + (
            f": did you mean {_listed(started)}?" if started else _offer(name, known, "it knows")
        )

    def _behind(self, service: Service) -> str:
        chosen = [
            f"{p.namespace}/{p.name}"
            for p in self._pods
            if service.selector and p.namespace == service.namespace and service.selector.items() <= p.labels.items()
        ]
        return f", such as {_listed(chosen)}" if chosen else ""


def _places(pod: Pod) -> Iterator[Place]:
    title = f"{pod.namespace}/{pod.name}"
    if pod.phase in TERMINAL_PHASES:
        raise Unreadable(f"{title} has finished ({pod.phase}): it holds no address any more")
    if not pod.ips:
        raise Unreadable(f"{title} has no address yet")
    yield from (Place(ip, title, pod) for ip in pod.ips)


def _wanted(text: str, port: str) -> Wanted:
    if port.upper() == "ICMP":
        return Wanted(ICMP, 0)
    found = _PORT.fullmatch(port)
    protocol = found.group("protocol") if found else None
    if found is None or (protocol is not None and protocol.upper() not in _PROTOCOLS):
        raise Unreadable(f"{text}: expected :PORT, :PORT/TCP, :PORT/UDP, :PORT/SCTP or :ICMP behind the destination")
    number = _PROTOCOLS[protocol.upper()] if protocol is not None else None
    if not found.group("port").isdigit():
        return Wanted(number, found.group("port"))
    if not 0 <= int(found.group("port")) <= 65535:
        raise Unreadable(f"{text}: {found.group('port')} is no port")
    return Wanted(TCP if number is None else number, int(found.group("port")))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _offer(name: str, known: Iterable[str], otherwise: str) -> str:
    """What to say of names that do exist."""
    names = list(dict.fromkeys(known))
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f": did you mean {_listed(close)}?"
    return f"; {otherwise} {_listed(names)}" if names else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_OFFERED]) + (", ..." if len(names) > _OFFERED else "")
