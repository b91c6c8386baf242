"""Rules of the IR as what an order needs to know: which packets they may match, what they ask, where they end.

A box holds all packets that a rule matches, and maybe more: a question that no dimension stands for narrows nothing.
Nothing stands for what rules may change and go on, the mark among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.ir.effects import Native
from compiler.ir.match import (
    ICMP,
    Field,
    FromPorts,
    HasBit,
    HasMark,
    Hops,
    IcmpType,
    Inbound,
    InNets,
    InPrefix,
    InSet,
    InState,
    IsProtocol,
    LocalDestination,
    LocalSource,
    Match,
    NeighbourDiscovery,
    NoWayBack,
    OneIn,
    Outbound,
    Replies,
    RoutedAs,
    ToAnyPort,
    ToPorts,
    WithinRate,
)
from compiler.ir.ruleset import Chain, Lookup, PrefixMap, PrefixSet, Rule, Ruleset, Set
from compiler.net import EVERY_PORT, Intervals, Prefix, union
from compiler.ordering.dimensions import (
    DESTINATION,
    EVERYTHING,
    FROM,
    IN,
    OUT,
    PROTOCOL,
    SOURCE,
    STATE,
    STATES,
    TO,
    VERSION,
    Narrowing,
    interfaces,
)
from compiler.ordering.overlap import Box
from compiler.ordering.prices import Kind, Tool

#: So many intervals of a set are told from each other.
_FEW = 8
#: A dimension, and intervals of it.
_Narrowed = tuple[int, Sequence[tuple[int, int]]]
_DIMENSIONS = {Field.SOURCE: SOURCE, Field.DESTINATION: DESTINATION, Field.PROTOCOL: PROTOCOL, Field.PORT: TO}
#: What iptables asks first, in this order.
_HEADER = (Kind.ADDRESS, Kind.PREFIX, Kind.INTERFACE, Kind.PROTOCOL)


class Boxes:
    """Of the rules of one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._sets = {found.name: found for found in ruleset.sets}
        self._maps = {found.name: found for found in ruleset.maps}
        self._spans: dict[str, tuple[Intervals, ...]] = {}

    def of(self, rule: Rule | Lookup, chain: Chain) -> tuple[Box, ...]:
        """One box around the packets that the rule may match, and behind it the boxes that it is made of where they are
        several, but not too many."""
        if isinstance(rule, Rule) and any(isinstance(effect, Native) for effect in rule.effects):
            return (EVERYTHING,)
        narrowing = Narrowing()
        for dimension, spans in self._narrowed(rule, chain):
            narrowing.take(dimension, spans)
        box = narrowing.box()
        # What nothing matches may stand anywhere; as everything it stays where it is.
        return (EVERYTHING,) if box is None else (box, *narrowing.parts())

    def _narrowed(self, rule: Rule | Lookup, chain: Chain) -> Iterator[_Narrowed]:
        family = rule.family or chain.family
        if family is not None:
            yield VERSION, [(family.value, family.value)]
        if isinstance(rule, Lookup):
            yield from zip([_DIMENSIONS[rule.field]], self._of_set(self._maps[rule.map]), strict=False)
        else:
            for match in rule.matches:
                yield from self._match(match)

    def _match(self, match: Match) -> Iterator[_Narrowed]:
        match match:
            case InPrefix(field, prefix):
                yield _DIMENSIONS[field], [_ends(prefix)]
            case InSet(fields, name):
                yield from zip((_DIMENSIONS[field] for field in fields), self._of_set(self._sets[name]), strict=False)
            case ToPorts(protocol, first, last):
                yield from ((PROTOCOL, [(protocol, protocol)]), (TO, [(first, last)]))
            case FromPorts(protocol, first, last):
                yield from ((PROTOCOL, [(protocol, protocol)]), (FROM, [(first, last)]))
            case ToAnyPort(protocol, spans):
                yield from ((PROTOCOL, [(protocol, protocol)]), (TO, spans))
            case IsProtocol(protocol):
                yield PROTOCOL, [(protocol, protocol)]
            case IcmpType(family):
                yield from ((PROTOCOL, [(ICMP[family], ICMP[family])]), (VERSION, [(family.value, family.value)]))
            case NeighbourDiscovery():
                yield from ((PROTOCOL, [(58, 58)]), (VERSION, [(6, 6)]))
            case Inbound(name, prefix) | Outbound(name, prefix):
                yield (IN if isinstance(match, Inbound) else OUT), [interfaces(name, begins=prefix)]
            case Replies():
                yield STATE, [(STATES["related"], STATES["established"])]
            case InState(states):
                yield STATE, [(STATES[state.value],) * 2 for state in states]
            case _:
                pass

    def _of_set(self, found: Set | PrefixSet | PrefixMap) -> tuple[Intervals, ...]:
        """What is in it, of each field; nothing when there is no element, or nobody knows."""
        if found.name not in self._spans:
            self._spans[found.name] = tuple(_spans(found))
        return self._spans[found.name]


def _spans(found: Set | PrefixSet | PrefixMap) -> Iterator[Intervals]:
    """Of fields one by one, so of all of them more than is in it."""
    if isinstance(found, Set):
        columns = zip(*found.elements, strict=True) if not found.by_hand else ()
        yield from (_few(union(*(((value, value),) for value in column))) for column in columns)
    elif found.elements:
        yield _few(union(*((_ends(prefix),) for prefix, _ in found.elements)))


def _few(spans: Intervals) -> Intervals:
    """These, or what is around them where they are many."""
    return spans if len(spans) <= _FEW else ((spans[0][0], spans[-1][1]),)


def _ends(prefix: Prefix) -> tuple[int, int]:
    return prefix.base, prefix.base | (1 << prefix.family.bits - prefix.length) - 1


def kinds(rule: Rule | Lookup, tool: Tool) -> list[Kind]:
    """What the rule asks, in the order in which the tool does."""
    if isinstance(rule, Lookup):
        return [Kind.SET]
    found = [kind for match in rule.matches for kind in _kinds(match)]
    if tool is Tool.NFTABLES:
        ports = any(kind in (Kind.PORT, Kind.PORT_RANGE, Kind.PORT_LIST) for kind in found)
        return [kind for kind in found if not (ports and kind is Kind.PROTOCOL)]
    return sorted(found, key=lambda kind: _HEADER.index(kind) if kind in _HEADER else len(_HEADER))


def _kinds(match: Match) -> tuple[Kind, ...]:
    match match:
        case InPrefix(_, prefix):
            return (Kind.ADDRESS if prefix.length == prefix.family.bits else Kind.PREFIX,)
        case HasBit():
            return (Kind.PREFIX,)
        case InSet() | InNets():
            return (Kind.SET,)
        case ToPorts(_, first, last) | FromPorts(_, first, last):
            ports = () if ((first, last),) == EVERY_PORT else (Kind.PORT if first == last else Kind.PORT_RANGE,)
            return (Kind.PROTOCOL, *ports)
        case ToAnyPort():
            return Kind.PROTOCOL, Kind.PORT_LIST
        case IsProtocol():
            return (Kind.PROTOCOL,)
        case IcmpType() | NeighbourDiscovery():
            return Kind.PROTOCOL, Kind.PORT
        case Inbound() | Outbound():
            return (Kind.INTERFACE,)
        case Replies() | InState():
            return (Kind.STATE,)
        case LocalSource() | LocalDestination() | RoutedAs() | NoWayBack():
            return (Kind.ADDRESS_TYPE,)
        case HasMark() | Hops() | WithinRate() | OneIn():
            return (Kind.MARK,)
