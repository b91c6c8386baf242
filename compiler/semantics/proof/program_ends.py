"""Who the ends of a program in the policy language are: addresses and names of interfaces as ranges of numbers.

One family at a time. Addresses of pods and nodes are those of `ends`: a pod's is its own, and nobody's where several
claim it; a node's are the machine's, those of its host-network pods among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Item,
    Less,
    NamedPort,
    Nodes,
    Opaque,
    Pods,
    Program,
    Reaches,
    Routed,
    Rule,
    ThisNode,
    Within,
)
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.questions import Question
from compiler.semantics.diagrams.ranges import Range, merged
from compiler.semantics.reading import selects
from compiler.semantics.rules.netfilter import Field
from compiler.snapshot import Snapshot

#: Ends that are addresses, whichever way a packet goes.
ByAddress = Addresses | Pods | Nodes
_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_ANY_NAME = (0, (1 << 128) - 1)


class ProgramEnds:
    """Of one family."""

    def __init__(self, ends: Ends, snapshot: Snapshot) -> None:
        self.ends, self._snapshot = ends, snapshot
        #: By the end's identity; the end is kept with it, so that no other gets its id.
        self._found: dict[int, tuple[tuple[Range, ...], object]] = {}

    def addresses(self, end: ByAddress) -> tuple[Range, ...]:
        """Those of our family; the same object for the same end."""
        return self._once(end, lambda: self._addresses(end))

    def together(self, end: Either) -> tuple[Range, ...]:
        """The addresses of the parts that are addresses alone."""
        parts = [part for part in end.ends if isinstance(part, ByAddress)]
        return self._once(end, lambda: [span for part in parts for span in self.addresses(part)])

    def _once(self, end: End, spans: Callable[[], Iterable[Range]]) -> tuple[Range, ...]:
        if id(end) not in self._found:
            self._found[id(end)] = (tuple(merged(spans())), end)
        return self._found[id(end)][0]

    def _addresses(self, end: ByAddress) -> Iterable[Range]:
        match end:
            case Addresses(first=first, last=last):
                return [(int(first), int(last))] if first.version == self.ends.version else []
            case Pods():
                return [(a, a) for a, pod in self.ends.holders.items() if self._selects(end, pod.namespace, pod.labels)]
            case Nodes(labels=labels):
                chosen = [name for name in self.ends.of_node if selects(labels, self._labels(name))]
                return [(a, a) for name in chosen for a in self.ends.of_node[name]]

    def _labels(self, node: str) -> Mapping[str, str]:
        found = self._snapshot.nodes.get(node)
        return found.labels if found else {}

    def _selects(self, pods: Pods, namespace: str, labels: Mapping[str, str]) -> bool:
        if isinstance(pods.namespaces, str) and pods.namespaces != namespace:
            return False
        if not isinstance(pods.namespaces, str | None) and not selects(
            pods.namespaces, self.ends.namespace_labels(namespace)
        ):
            return False
        return selects(pods.labels, labels)

    def servers(self, port: NamedPort) -> Mapping[int, tuple[Range, ...]]:
        """Number of the port -> the pods that have it by this name, in this protocol."""
        found: dict[int, list[Range]] = {}
        for address, pod in self.ends.holders.items():
            for own in pod.ports:
                if own.name == port.name and _PROTOCOLS[own.protocol] == port.protocol:
                    found.setdefault(own.port, []).append((address, address))
        return {number: tuple(merged(own)) for number, own in found.items()}


def interfaces(end: Interfaces) -> list[Range]:
    """The names, as numbers of `netfilter`."""
    return [_name(text) for text in end.names]


def _name(text: str) -> Range:
    if text == "*":
        return _ANY_NAME
    raw = text.removesuffix("*").encode()
    low = int.from_bytes(raw.ljust(16, b"\0"), "big")
    return (low, int.from_bytes(raw.ljust(16, b"\xff"), "big")) if text.endswith("*") else (low, low)


def names(end: End, *kinds: type[ThisNode] | type[Nodes]) -> bool:
    """Whether the end says `self` (or something else of these kinds), not counting what it takes away."""
    match end:
        case Either(ends=ends) | Both(ends=ends):
            return any(names(one, *kinds) for one in ends)
        case Less(end=inner):
            return names(inner, *kinds)
        case _:
            return isinstance(end, kinds)


def every_item(items: Iterable[Item]) -> Iterator[Rule | Within]:
    """Rules and heads of lists, those inside of lists, too."""
    for item in items:
        if not isinstance(item, Opaque):
            yield item
        if isinstance(item, Within):
            yield from every_item(item.items)


def every_part(end: End) -> Iterator[End]:
    """What an expression is made of, what it takes away, too."""
    match end:
        case Either(ends=ends) | Both(ends=ends):
            for one in ends:
                yield from every_part(one)
        case Less(end=inner, without=without):
            yield from every_part(inner)
            yield from every_part(without)
        case _:
            yield end


def of_program(program: Program, failsafe: Sequence[Rule], found: ProgramEnds) -> Iterator[Question]:
    """What a program asks of addresses, its expectations too."""
    asking: list[Rule | Within | Reaches] = [one for one in program.expectations if isinstance(one, Reaches)]
    items = [item for block in program.policies for item in block.rules]
    items += [*failsafe, *program.node, *program.forward, *program.node_packets, *program.forward_packets]
    asking += every_item(items)
    for one in asking:
        yield from ((Field.SOURCE, ranges) for ranges in _asked(one.source, found))
        yield from ((Field.DESTINATION, ranges) for ranges in _asked(one.target, found))
        if not isinstance(one, Reaches) and one.unless is not None:
            yield from ((Field.SOURCE, ranges) for ranges in _asked(one.unless, found))
        for port in one.ports or ():
            if isinstance(port, NamedPort):
                yield from ((Field.DESTINATION, ranges) for ranges in found.servers(port).values())


def _asked(end: End, found: ProgramEnds) -> Iterator[tuple[Range, ...]]:
    match end:
        case Addresses() | Pods() | Nodes():
            yield found.addresses(end)
        case Either(ends=ends):
            yield found.together(end)
            for one in ends:
                if not isinstance(one, ByAddress):
                    yield from _asked(one, found)
        case Both(ends=ends):
            for one in ends:
                yield from _asked(one, found)
        case Less(end=inner, without=without):
            yield from _asked(inner, found)
            yield from _asked(without, found)
        case Anyone() | ThisNode() | Interfaces() | Routed():
            pass
