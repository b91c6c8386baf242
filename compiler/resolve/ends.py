"""Who an end of a program means, for one node of one cluster: interfaces and addresses.

An end is a set of points (interface, whether the address is this node's own, address). The interfaces that it names
cut all names into *cells*: two patterns are nested or apart, so a cell is what one pattern matches and no pattern
inside of it does, and the root what no pattern matches. Within a cell an end is a set of addresses, and every operation
of the language is the same operation on these sets. What comes of it are *alternatives*, as rules can ask them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from typing import Literal, assert_never

from compiler.net import Family, Intervals, intersect, parse_address, subtract, union
from compiler.policy import PodSelector, Requirement, Selector
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import TERMINAL_PHASES, Pod
from compiler.resources.labels import LabelSelector
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    Nodes,
    Pods,
    Routed,
    ThisNode,
    every_part,
    parts,
    patterns,
)

NOBODY: Intervals = ()
LOOPBACK = "lo"


#: What routing says of an address: it says exactly one, of most none of these.
Routing = Literal["local", "broadcast", "multicast"]


class Here(Enum):
    """What it takes at one end of a hook to be this node."""

    ALWAYS = "whoever is met there is this node"
    NEVER = "nobody who is met there is this node"
    ASKED = "the address is one of its own"

    __hash__ = object.__hash__  # by identity, as equality: Enum's own is Python, and sides are in many keys


@dataclass(frozen=True, slots=True)
class Side:
    """One end of the packets of a hook: `here` is who this node is there, `interfaces` whether they have one.
    `arriving`: what came by `lo` is the node's own and was met before, so that it is at ends alone that name the
    interface. `optional`: packets may have none, and `*` is those that have one."""

    here: Here
    interfaces: bool = True
    arriving: bool = False
    optional: bool = False


_ANYWHERE = Side(Here.NEVER, interfaces=False)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Packets by this interface (None: any; `wg*`: every name that begins so) but not by those `outside`, whose address
    is this node's own or is not (`local`; None: either), is what routing takes for `routed` (None: for whatever) and
    not for one of `unrouted` (broadcast, multicast), and is one of `addresses`."""

    interface: str | None
    outside: tuple[str, ...]
    local: bool | None
    addresses: Intervals
    routed: Routing | None = None
    unrouted: tuple[Routing, ...] = ()


@cache
def everything(family: Family) -> Intervals:
    """Every address of a family."""
    return ((0, (1 << family.bits) - 1),)


class Ends:
    """Ends of programs against one cluster. `node` None: the rules are for every pod."""

    def __init__(self, inventory: Inventory, node: str | None) -> None:
        self.inventory = inventory
        self._node = node
        #: By id of the end, whose value is kept so that the id stays its own.
        self._known: dict[tuple[int, Family], tuple[End, Intervals]] = {}
        #: Likewise: what has a name is an end of many statements.
        self._found: dict[tuple[int, Family, Side], tuple[End, tuple[Alternative, ...]]] = {}
        #: Whether it depends on the side who an end is.
        self._sided: dict[int, tuple[End, bool]] = {}
        self._named: dict[int, tuple[End, tuple[str, ...]]] = {}

    def alternatives(self, end: End, family: Family, side: Side) -> tuple[Alternative, ...]:
        """The ways in which the address of a packet can be at this end; none when nobody is."""
        if not side.arriving and not self._is_sided(end):
            side = _ANYWHERE
        found = self._found.get((id(end), family, side))
        if found is None:
            found = self._found[id(end), family, side] = end, self._alternatives(end, family, side)
        return found[1]

    def _is_sided(self, end: End) -> bool:
        """Whether interfaces, this node or routing are asked for anywhere in it."""
        found = self._sided.get(id(end))
        if found is None:
            match end:
                case Interfaces() | ThisNode() | Routed():
                    sided = True
                case Either(ends=ends) | Both(ends=ends):
                    sided = any(map(self._is_sided, ends))
                case Less(end=inner, without=cut):
                    sided = self._is_sided(inner) or self._is_sided(cut)
                case _:
                    sided = False
            found = self._sided[id(end)] = end, sided
        return found[1]

    def _patterns(self, end: End) -> tuple[str, ...]:
        found = self._named.get(id(end))
        if found is None:
            found = self._named[id(end)] = end, tuple(patterns(end))
        return found[1]

    def _alternatives(self, end: End, family: Family, side: Side) -> tuple[Alternative, ...]:
        if side is _ANYWHERE:  # nothing but addresses is asked for
            found = self._spans(end, family, side, None, None)
            return (Alternative(None, (), None, found),) if found else ()
        names = {*self._patterns(end), *([LOOPBACK] if side.arriving else ())}
        named = sorted(names, key=_breadth) if side.interfaces else []
        rooted = "*" in named and not side.optional  # "*" is the root by name
        known: tuple[str | None, ...] = tuple(named) if rooted else (None, *named)
        asked = [kind for kind in _asked_routing(end, side) if kind != "broadcast" or family is Family.IPV4]
        alternatives: list[Alternative] = []
        cells = {kind: {p: self._spans(end, family, side, p, kind) for p in known} for kind in (None, *asked)}
        if all(spans == cells[None] for spans in cells.values()):
            asked, cells = [], {None: cells[None]}
        for kind, spans in cells.items():
            alternatives += (_routed(one, kind, asked) for one in _covered(spans))
        return tuple(replace(one, interface=None) if rooted and one.interface == "*" else one for one in alternatives)

    def meet(self, ends: Sequence[End], family: Family, side: Side) -> bool:
        """Whether somebody is at all of these ends."""
        return bool(self.alternatives(ends[0] if len(ends) == 1 else Both(ends=tuple(ends)), family, side))

    def addresses(self, end: End, family: Family) -> tuple[int, ...]:
        """All addresses of an end that names few: pods, nodes, single addresses. Sorted."""
        spans = union(*(one.addresses for one in self.alternatives(end, family, Side(Here.NEVER, interfaces=False))))
        return tuple(address for low, high in spans for address in range(low, high + 1))

    def own_pods(self, family: Family) -> tuple[int, ...]:
        """The addresses of this node's pods, sorted."""
        pods = (pod for group in self.inventory.groups for pod in group.pods if self._is_here(pod))
        found = (parse_address(text) for pod in pods for text in pod.ips)
        return tuple(sorted(value for kind, value in found if kind is family))

    def selves(self, family: Family) -> tuple[int, ...]:
        """The addresses at which a pod of this node reaches itself, sorted: also those that others claim, too."""
        claimed = {text for text, pods in self.inventory.contested.items() if any(self._is_here(pod) for pod in pods)}
        found = (value for kind, value in map(parse_address, claimed) if kind is family)
        return tuple(sorted({*found, *self.own_pods(family)}))

    def _is_here(self, pod: Pod) -> bool:
        return self._node in (None, pod.node)

    def _spans(self, end: End, family: Family, side: Side, cell: str | None, kind: Routing | None) -> Intervals:
        """The addresses of an end in a cell (None: the root), of those that routing takes for `kind` (None: for none
        that is asked)."""

        def spans(one: End) -> Intervals:
            match one:  # the most frequent first, as pydantic's classes are slow to say no
                case Either(ends=ends):
                    known = self._known.get((id(one), family))
                    if known is not None:
                        return known[1]
                    return self._either(one, family) if _is_plain(one) else union(*map(spans, ends))
                case Addresses() | Pods() | Nodes():
                    return self._addresses(one, family)
                case Less(end=inner, without=cut):
                    return subtract(spans(inner), spans(cut))
                case Anyone():
                    return everything(family)
                case ThisNode():
                    here = kind == "local" if side.here is Here.ASKED else side.here is Here.ALWAYS
                    return everything(family) if here else NOBODY
                case Interfaces(names=names):
                    named = side.interfaces and any(covers(name, cell) for name in names)
                    return everything(family) if named else NOBODY
                case Both(ends=ends):
                    whole = everything(family)
                    for part in ends:
                        whole = intersect(whole, spans(part))
                    return whole
                case Routed(kind=wanted):
                    return everything(family) if kind == wanted else NOBODY
                case _:
                    assert_never(one)

        def by_interface(one: End) -> Intervals:
            """The addresses that an end has because it names this interface."""
            match one:
                case Interfaces():
                    return spans(one)
                case Either(ends=ends):
                    return union(*map(by_interface, ends))
                case Both(ends=ends):
                    return intersect(spans(one), union(*map(by_interface, ends)))
                case Less(end=inner, without=cut):
                    return subtract(by_interface(inner), spans(cut))
                case _:
                    return NOBODY

        return by_interface(end) if side.arriving and cell == LOOPBACK else spans(end)

    def _either(self, end: Either, family: Family) -> Intervals:
        """A set of the program: it may be large, and many rules may ask it."""
        parts = (self._addresses(one, family) for one in end.ends if isinstance(one, Addresses))
        found = union(*parts)
        self._known[id(end), family] = end, found
        return found

    def _addresses(self, end: Addresses | Pods | Nodes, family: Family) -> Intervals:
        if isinstance(end, Addresses):
            return ((int(end.first), int(end.last)),) if end.first.version == family.value else NOBODY
        found = self._known.get((id(end), family))
        if found is None:
            values = self._pods(end, family) if isinstance(end, Pods) else self._nodes(end, family)
            found = self._known[id(end), family] = end, union(tuple((value, value) for value in values))
        return found[1]

    def _pods(self, end: Pods, family: Family) -> Iterator[int]:
        """Contested addresses and those of host-network pods are nobody's here: the inventory leaves them out."""
        for group in self.inventory.members(pods_of(end)):
            yield from group.addresses(family)

    def _nodes(self, end: Nodes, family: Family) -> Iterator[int]:
        """The machines' own addresses, and those of host-network pods, which are their node's."""
        snapshot, matches = self.inventory.snapshot, _selector(end.labels).matches
        texts = [text for node in snapshot.nodes.values() if matches(node.labels) for text in node.own_ips]
        for pod in snapshot.pods:
            node = snapshot.nodes.get(pod.node)
            alive = pod.host_network and pod.node and pod.phase not in TERMINAL_PHASES
            if alive and matches(node.labels if node is not None else {}):
                texts += pod.ips
        for kind, value in map(parse_address, texts):
            if kind is family:
                yield value


def _covered(cells: dict[str | None, Intervals]) -> Iterator[Alternative]:
    """The cells as few alternatives. Where all that is inside of a pattern has its addresses, too, the pattern is asked
    whole; else what is inside is left out and has alternatives of its own."""
    done: dict[str | None, Intervals] = {}  # what an alternative around a cell gives it
    for cell, spans in cells.items():  # shorter patterns first, so what is around comes before what is inside
        if spans and done.get(cell) != spans:
            inside = [one for one in cells if one is not None and one != cell and covers(cell, one)]
            nearest = [
                one for one in inside if not any(other not in (one, cell) and covers(other, one) for other in inside)
            ]
            outside: list[str] = []
            for child in nearest:
                below = [one for one in inside if covers(child, one)]
                if all(not subtract(spans, cells[one]) for one in below):
                    done.update(dict.fromkeys(below, spans))
                else:
                    outside.append(child)
            yield Alternative(cell, tuple(outside), None, spans)


def covers(pattern: str | None, other: str | None) -> bool:
    """Whether every name that `other` matches is one that the pattern matches; None is every name."""
    if pattern is None or pattern == other:
        return True
    return other is not None and pattern.endswith("*") and other.removesuffix("*").startswith(pattern[:-1])


def _breadth(pattern: str) -> tuple[int, bool, str]:
    """Sorts a pattern in front of those inside of it."""
    return len(pattern.removesuffix("*")), not pattern.endswith("*"), pattern


def _asked_routing(end: End, side: Side) -> list[Routing]:
    """What of routing an end asks, each once, in the order of `Routing`."""

    found: set[Routing] = set()
    for part in every_part(end):
        if isinstance(part, Routed):
            found.add(part.kind)
        elif isinstance(part, ThisNode) and side.here is Here.ASKED:
            found.add("local")
    return sorted(found, key=("local", "broadcast", "multicast").index)


def _routed(one: Alternative, kind: Routing | None, asked: Sequence[Routing]) -> Alternative:
    """The alternative for what routing takes for `kind`, of those that were asked."""
    if kind is not None:
        return replace(one, local=True) if kind == "local" else replace(one, routed=kind)
    rest = tuple(other for other in asked if other != "local")
    return replace(one, local=False if "local" in asked else None, unrouted=rest)


def is_node(end: End) -> bool:
    """Whether this node is some part of an end, not counting what is taken away."""
    return any(isinstance(one, ThisNode) for one in parts(end))


def is_alike(end: End) -> bool:
    """Whether a source is the same set of packets where all have an inbound interface and some may be this node's as
    where none has one and all are: unless it says `self`, or an interface by no name; other interfaces are then asked
    in vain."""
    every = every_part(end)
    return not any(isinstance(one, ThisNode) or (isinstance(one, Interfaces) and "*" in one.names) for one in every)


def pods_of(end: Pods) -> PodSelector:
    """Its selector, as Kubernetes' policies have them."""
    namespaces = end.namespaces if isinstance(end.namespaces, str) else _selector(end.namespaces)
    return PodSelector(namespaces, _selector(end.labels))


def _is_plain(end: Either) -> bool:
    return all(isinstance(one, Addresses) for one in end.ends)


def _selector(found: LabelSelector | None) -> Selector:
    """Of a program: every requirement is one that netpolc knows. None: everybody."""
    wanted = (found.match_expressions or ()) if found is not None else ()
    labels = (found.match_labels or {}) if found is not None else {}
    requirements = {Requirement(key, "In", (value,)) for key, value in labels.items()}
    requirements |= {Requirement(one.key, one.operator, tuple(sorted(set(one.values or ())))) for one in wanted}
    return Selector(tuple(sorted(requirements, key=lambda r: (r.key, r.operator, r.values))))
