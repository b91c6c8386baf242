"""A cluster in which a difference shows that was found where no pod is known: who its ends are, and in which sets."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping

from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod
from compiler.semantics.boundaries import OUTSIDERS
from compiler.semantics.diagrams.diagram import Range
from compiler.semantics.diagrams.space import Space, address_text
from compiler.semantics.packet import PORTED, SCTP, TCP, UDP, Packet
from compiler.semantics.proof.apart import Way
from compiler.semantics.proof.facts import ENDS, KIND, NODE, POD, Facts, Label
from compiler.semantics.proof.meant import NAME_LABEL, Itself, Meant, Serving
from compiler.semantics.rules.netfilter import Field
from compiler.snapshot import Snapshot, build

_PROTOCOLS = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}
_NAMES = {Field.SOURCE: "source", Field.DESTINATION: "destination"}
_NAME = Label("namespace", NAME_LABEL)
#: Addresses that a reader takes for others' and for those of pods, where the packet may have any.
_USUAL = {
    4: ((OUTSIDERS[0], "198.51.100.78"), ("10.0.0.2", "10.0.0.1")),
    6: ((OUTSIDERS[1], "2001:db8:feed::78"), ("fd00::2", "fd00::1")),
}


class Setting:
    """The ends of the packets of a box, chosen as simple as the box lets them be; `apart`: how the addresses
    differ, as `apart.choice` has it. `box` becomes that of one source and one destination."""

    def __init__(
        self, facts: Facts, over: Space, box: Mapping[int, Range], apart: Collection[Way] | None = None
    ) -> None:
        self._facts, self._over = facts, over
        self._asked = box
        self.is_one_pod = box.get(facts.same, (0, 0)) == (1, 1)
        #: What each end is, which values its labels have (by number), and of which domains it is.
        self._values: dict[tuple[Field, object], int] = {}
        self._choose(KIND, 3, self.is_one_pod)
        pods = self.is_one_pod or all(self._values[end, KIND] == POD for end in ENDS)
        for label, choices in facts.choices.items():
            of_both = pods and label.of == "namespace" and label != _NAME and self._are_in_one_namespace()
            self._choose(label, len(choices), of_both or (self.is_one_pod and label.of != "node"))
        for name in facts.domains:
            self._choose(name, 2, self.is_one_pod)
        self._numbers = dict(zip(ENDS, self._addresses(() if self.is_one_pod else apart), strict=True))
        self.box = {**box, **{over.level(end): (number, number) for end, number in self._numbers.items()}}

    def _choose(self, question: object, size: int, together: bool) -> None:
        """The lowest answer; `together`: one that both ends can have."""
        ranges = {end: self._asked.get(self._facts.level(end, question), (0, size - 1)) for end in ENDS}
        both = max(low for low, _ in ranges.values())
        self._values.update({(end, question): both if together else ranges[end][0] for end in ENDS})

    def _are_in_one_namespace(self) -> bool:
        if _NAME not in self._facts.choices:
            return False
        one, two = (self._values[end, _NAME] for end in ENDS)
        return one == two < len(self._facts.choices[_NAME]) - 1

    def _addresses(self, apart: Collection[Way] | None) -> tuple[int, int]:
        """Of the destination and the source, which differ in these ways; None: anyhow."""
        spans = {end: self._span(end) for end in ENDS}
        for number in self._numbers_in(*spans[ENDS[0]], ENDS[0]) if apart is not None else ():
            destination, source = number, number
            for bit, one, two in apart or ():
                source = source & ~(1 << bit) | one << bit
                destination = destination & ~(1 << bit) | two << bit
            if all(low <= at <= high for at, (low, high) in zip((destination, source), spans.values(), strict=True)):
                return destination, source
        destination = self._numbers_in(*spans[ENDS[0]], ENDS[0])[0]
        others = [number for number in self._numbers_in(*spans[ENDS[1]], ENDS[1]) if number != destination]
        return destination, (others or [destination])[0]

    def _span(self, end: Field) -> Range:
        level = self._over.level(end)
        return self._asked.get(level, (0, self._over.made.sizes[level] - 1))

    def _numbers_in(self, low: int, high: int, end: Field) -> list[int]:
        """Some from low to high, ordinary ones first; where the other end's range begins and ends is among them."""
        usual = _USUAL[self._over.version][self._values[end, KIND] == POD]
        near = [low, low + 1, low + 2, (low + high) // 2, high, *self._span(ENDS[end is ENDS[0]])]
        some = [*map(int, map(ipaddress.ip_address, usual)), *near]
        return sorted((number for number in some if low <= number <= high), key=lambda n: not self._is_ordinary(n))

    def _is_ordinary(self, number: int) -> bool:
        """A machine's own, and no way to call many."""
        address = ipaddress.ip_address(address_text(self._over.version, number))
        return not (address.is_loopback or address.is_multicast or address.is_unspecified or address.is_reserved)

    # What is there

    def snapshot(self, known: Snapshot, packet: Packet) -> Snapshot:
        """What is known, with the ends of the packet."""
        pods, nodes, namespaces = [], [], []
        for end in ENDS[:1] if self.is_one_pod else ENDS:
            kind, address = self._values[end, KIND], address_text(self._over.version, self._numbers[end])
            if kind == POD:
                namespace = self._namespace(end)
                namespaces.append(Namespace(namespace, self._labels(end, "namespace")))
                ports = tuple(self._ports(end, packet))
                pods.append(Pod(namespace, _NAMES[end], self._labels(end, "pod"), (address,), ports=ports))
            elif kind == NODE and not known.nodes:
                nodes.append(Node(_NAMES[end], self._labels(end, "node"), (address,)))
        return build(pods, namespaces, [*known.nodes.values(), *nodes])

    def domains(self) -> list[str]:
        """Those of which one of the ends is, in words."""
        return [
            f"{address_text(self._over.version, self._numbers[end])} is an address of {name}"
            for name in self._facts.domains
            for end in ENDS
            if self._values[end, name]
        ]

    def members(self, who: Meant, packet: Packet) -> set[tuple[int, ...]]:
        """Those of the ends that belong in a set, with protocol and port where it has them."""
        made, facts = self._over.made, self._facts
        pods = [end for end in ENDS if self._values[end, KIND] == POD]
        if isinstance(who, Itself):
            return {(self._numbers[end], self._numbers[end]) for end in pods}
        if isinstance(who, Serving):
            return {
                (self._numbers[end], protocol, port)
                for end in pods
                for name, protocol, port in self._served(end, packet)
                if name == who.name and who.protocol in (None, protocol)
            }
        point = {facts.level(end, question): value for (end, question), value in self._values.items()}
        return {(self._numbers[end],) for end in ENDS if made.says(facts.is_one(end, who), point) == "in"}

    def _served(self, end: Field, packet: Packet) -> Iterator[tuple[str, int, int]]:
        """(name, protocol, port) of the ports that a pod serves, as far as they matter."""
        ports = {Field.DESTINATION_PORT: packet.dport, Field.SOURCE_PORT: packet.sport}
        for (name, server, port), level in self._facts.serving.items():
            is_asked = self._asked.get(level, (0, 0)) == (1, 1)
            if is_asked and packet.proto in PORTED and (server is end or self.is_one_pod):
                yield name, packet.proto, ports[port]

    def _ports(self, end: Field, packet: Packet) -> Iterator[ContainerPort]:
        for name, protocol, port in self._served(end, packet):
            yield ContainerPort(port, _PROTOCOLS[protocol], name)

    def _namespace(self, end: Field) -> str:
        """Its name; pods of namespaces that nobody names are in different ones."""
        other = "other" if _NAME not in self._facts.choices else self._facts.choices[_NAME][-1] or ""
        value = other if _NAME not in self._facts.choices else self._value(end, _NAME)
        return f"{other}-of-{_NAMES[end]}" if value == other and not self.is_one_pod else value or other

    def _labels(self, end: Field, of: str) -> dict[str, str]:
        """Those that the pod, its namespace, or the node has."""
        own = ((label, self._value(end, label)) for label in self._facts.choices if label.of == of and label != _NAME)
        return {label.key: value for label, value in own if value is not None}

    def _value(self, end: Field, label: Label) -> str | None:
        return self._facts.choices[label][self._values[end, label]]

    # In words

    def words(self, packet: Packet) -> Iterator[str]:
        """Who the ends are."""
        for end in ENDS[:1] if self.is_one_pod else reversed(ENDS):
            who = address_text(self._over.version, self._numbers[end])
            kind = self._values[end, KIND]
            if kind == POD:
                served = [f"{_PROTOCOLS[p].lower()}/{n} is its port {name}" for name, p, n in self._served(end, packet)]
                told = self._told(end, "namespace")
                place = f"namespace {self._namespace(end)}" + (f" ({told})" if told else "")
                yield f"{who}: a pod of {place}: " + ", ".join([self._told(end, "pod") or "any labels", *served])
            elif kind == NODE:
                yield f"{who}: a node: {self._told(end, 'node') or 'any labels'}"
            else:
                yield f"{who}: no pod"
        yield from self.domains()

    def _told(self, end: Field, of: str) -> str:
        """The labels that matter."""
        found = []
        for label in self._facts.choices:
            if label.of == of and label != _NAME and self._facts.level(end, label) in self._asked:
                value = self._value(end, label)
                found.append(f"no {label.key}" if value is None else f"{label.key}={value}")
        return ", ".join(found)
