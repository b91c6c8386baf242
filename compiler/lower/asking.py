"""What a rule of the policy language asks of a packet, as conjunctions of matches.

Interfaces, addresses and ports multiply. What is more than a few prefixes on a side, or more than a few ports, becomes
a set, so that a statement is a handful of rules however large its sets are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from compiler.backends.target import Capabilities
from compiler.ir.match import (
    ICMP,
    WITH_PORTS,
    Field,
    FromPorts,
    HasMark,
    IcmpType,
    Inbound,
    InPrefix,
    InSet,
    InState,
    IsProtocol,
    LocalDestination,
    LocalSource,
    Match,
    Outbound,
    RoutedAs,
    RouteKind,
    State,
    ToAnyPort,
    ToPorts,
    protocols,
)
from compiler.ir.names import Namer
from compiler.ir.ruleset import PrefixSet, Set
from compiler.lower.ports import batches
from compiler.lower.prefixes import nested
from compiler.net import EVERY_PORT, Family, Intervals, prefixes, union
from compiler.policy import NamedPort as ModelPort
from compiler.resolve.ends import Alternative, Ends, Side, everything
from compiler.resources.language import (
    Conditional,
    End,
    Less,
    Matching,
    MessageType,
    NamedPort,
    PortRange,
    Ports,
    PortSpec,
    Statement,
    WholeProtocol,
)

#: A set of single addresses is one lookup in a hash; so many of them for each prefix are not worth one of prefixes.
_SPREAD = 64
_TRIPLE = (Field.DESTINATION, Field.PROTOCOL, Field.PORT)
_SERVICE = (Field.PROTOCOL, Field.PORT)
#: Whose address it is that comes in, or goes out, by an interface.
_FIELDS: dict[type[Inbound | Outbound], Field] = {Inbound: Field.SOURCE, Outbound: Field.DESTINATION}


class Question(NamedTuple):
    """A packet that meets all of `matches`, but none of `exceptions`."""

    matches: tuple[Match, ...]
    exceptions: tuple[Match, ...] = ()


class _Ways(NamedTuple):
    """What an alternative asks at one end beside its addresses."""

    asked: tuple[Match, ...]
    exceptions: tuple[Match, ...]


def once(made: Mapping[Family, Sequence[Question]]) -> list[tuple[Family | None, Question]]:
    """What is asked of each family in the same words is asked once."""
    first, *others = made.values()
    shared = [question for question in first if others and all(question in other for other in others)]
    asked: list[tuple[Family | None, Question]] = [(None, question) for question in shared]
    asked += ((family, one) for family, questions in made.items() for one in questions if one not in shared)
    return asked


class Asking:
    """Makes questions of rules of all tables, and collects the sets that they ask."""

    def __init__(self, ends: Ends, capabilities: Capabilities) -> None:
        self.ends = ends
        self._capabilities = capabilities
        #: Rules for the prefixes of two ends, in place of a set: they have more to ask.
        self._most = capabilities.inline_prefixes // 2
        self._namer = Namer()
        self._sets: dict[str, Set | PrefixSet] = {}
        #: For the reader of the script: who asks first for a set that is made now.
        self._note = ""
        #: What rules ask again and again, at each hook, by the identity of what it is for, which is kept so that the
        #: identity stays its own. So rules share their matches, and later stages need to look at each only once.
        self._known_ways: dict[tuple[int, type], tuple[Alternative, _Ways]] = {}
        self._known_ports: dict[tuple[int, Family], tuple[Ports, tuple[Match, ...]]] = {}
        self._numbers: dict[tuple[Ports, Family], tuple[Match, ...]] = {}
        self._known_choices: dict[tuple[int, Field], tuple[Intervals, Sequence[tuple[Match, ...]]]] = {}
        self._names: dict[tuple[Family, Intervals], str] = {}
        self._known_sets: dict[tuple[int, Field], tuple[Intervals, Sequence[tuple[Match, ...]]]] = {}

    @property
    def sets(self) -> tuple[Set | PrefixSet, ...]:
        """The sets asked so far, in the order of their first use."""
        return tuple(self._sets.values())

    def questions(self, rule: Matching, family: Family, source: Side, target: Side) -> tuple[Question, ...]:
        """The ways in which a packet of the family can meet the rule at a hook with these ends, whatever its chance."""
        begin: End = rule.source if rule.unless is None else Less(end=rule.source, without=rule.unless)
        found = self.between(rule, begin, rule.target, rule.ports, family, (source, target))
        if not rule.conditional:
            return found
        return tuple(one._replace(matches=more) for one in found for more in conditioned(rule, rule.ports, one.matches))

    def between(
        self,
        by: Statement,
        begin: End,
        end: End,
        ports: Ports,
        family: Family,
        sides: tuple[Side, Side],
        answering: bool = False,
    ) -> tuple[Question, ...]:
        """The ways in which a packet of the family can go from the one end to the other with these ports, asked by a
        statement. `answering`: they are the source's."""
        self._note = f"asked by {by.text} ({by.span.file_line})"
        sources = self.ends.alternatives(begin, family, sides[0])
        targets = self.ends.alternatives(end, family, sides[1])
        found: list[Question] = []
        for one, other in product(sources, targets):
            begins, ends = self._ways(one, Inbound), self._ways(other, Outbound)
            asked, exceptions = (*begins.asked, *ends.asked), (*begins.exceptions, *ends.exceptions)
            if answering:
                for matches, spans in self._source_ports(ports, family, one.addresses):
                    for addresses in self._addresses(spans, other.addresses, family):
                        found.append(Question((*asked, *addresses, *matches), exceptions))
                continue
            for matches, spans in self._ports(ports, family, other.addresses):
                for addresses in self._addresses(one.addresses, spans, family):
                    found.append(Question((*asked, *addresses, *matches), exceptions))
        return tuple(found)

    def _ways(self, one: Alternative, by: type[Inbound | Outbound]) -> _Ways:
        known = self._known_ways.get((id(one), by))
        if known is None:
            own = LocalSource() if by is Inbound else LocalDestination()
            ways = _Ways(tuple(_asked(one, by, own)), tuple(_exceptions(one, by, own)))
            known = self._known_ways[id(one), by] = one, ways
        return known[1]

    def sources(self, addresses: Intervals, family: Family) -> tuple[tuple[Match, ...], ...]:
        """Conjunctions for a source among these addresses, which are those of this node's pods."""
        self._note = "pods of this node"
        return tuple(self._addresses(addresses, everything(family), family))

    # Addresses

    def _addresses(self, sources: Intervals, targets: Intervals, family: Family) -> list[tuple[Match, ...]]:
        sides = [(Field.SOURCE, sources), (Field.DESTINATION, targets)]
        choices = [self._choices(spans, field, family) for field, spans in sides]
        while len(choices[0]) * len(choices[1]) > self._most:
            larger = 0 if len(choices[0]) > len(choices[1]) else 1
            field, spans = sides[larger]
            choices[larger] = self._set(spans, field, family)
        begins, ends = choices
        return [begin + end for begin in begins for end in ends]

    def _choices(self, spans: Intervals, field: Field, family: Family) -> Sequence[tuple[Match, ...]]:
        """A match for each prefix of these addresses, none for the empty one; where they are too many in any case, one
        for all."""
        if len(spans) > self._most:
            return self._set(spans, field, family)
        known = self._known_choices.get((id(spans), field))
        if known is None:
            found = [(InPrefix(field, one),) if one.length else () for one in prefixes(spans, family)]
            known = self._known_choices[id(spans), field] = spans, found
        return known[1]

    def _set(self, spans: Intervals, field: Field, family: Family) -> Sequence[tuple[Match, ...]]:
        """One match for all of these addresses."""
        known = self._known_sets.get((id(spans), field))
        if known is None:
            found = [(InSet((field,), self._named(spans, family)),)]
            known = self._known_sets[id(spans), field] = spans, found
        return known[1]

    def _named(self, spans: Intervals, family: Family) -> str:
        name = self._names.get((family, spans))
        if name is None:
            name = self._names[family, spans] = self._new_set(spans, family)
        return name

    def _new_set(self, spans: Intervals, family: Family) -> str:
        count = sum(high - low + 1 for low, high in spans)
        found = nested(spans, family) if count > _SPREAD else ()
        hosts = count <= _SPREAD or count <= min(_SPREAD * len(found), 1 << 16)
        name = self._namer.name(f"a{family.value}", "hosts" if hosts else "nets", repr(spans))
        if name not in self._sets:
            if hosts:
                elements = tuple((address,) for low, high in spans for address in range(low, high + 1))
                self._sets[name] = Set(name, family, (Field.SOURCE,), elements, (self._note,))
            else:
                self._sets[name] = PrefixSet(name, family, tuple(found), (self._note,))
        return name

    # Ports

    def _ports(self, ports: Ports, family: Family, targets: Intervals) -> Iterator[tuple[tuple[Match, ...], Intervals]]:
        """Conjunctions about the protocol, each with the targets that are still to be asked for."""
        if ports is None:
            yield (), targets
            return
        known = self._known_ports.get((id(ports), family))
        if known is None:
            known = self._known_ports[id(ports), family] = ports, self._numbered(ports, family)
        for match in known[1]:
            yield (match,), targets
        named = {
            serving
            for one in ports
            if isinstance(one, NamedPort)
            for serving in self._serving(ModelPort(one.name, one.protocol), family, targets)
        }
        if named:
            yield (InSet(_TRIPLE, self._triples(named, family)),), everything(family)

    def _numbered(self, ports: tuple[PortSpec, ...], family: Family) -> tuple[Match, ...]:
        """The matches of ports that are the same of all targets."""
        found = self._numbers.get((ports, family))
        if found is None:
            found = self._numbers[ports, family] = tuple(self._new_numbers(ports, family))
        return found

    def _new_numbers(self, ports: Iterable[PortSpec], family: Family) -> Iterator[Match]:
        spans: dict[int, list[tuple[int, int]]] = {}
        whole: set[int] = set()
        for one in ports:
            match one:
                case PortRange(protocol=protocol, first=first, last=last):
                    spans.setdefault(protocol, []).append((first, last))
                case WholeProtocol(protocol=protocol) if protocol in WITH_PORTS:
                    spans.setdefault(protocol, []).extend(EVERY_PORT)
                case WholeProtocol(protocol=protocol):
                    whole.add(protocol)
                case NamedPort() | MessageType():
                    pass  # each target has its own; below
        yield from self._spans({protocol: union(tuple(found)) for protocol, found in spans.items()})
        yield from map(IsProtocol, sorted(whole))
        types = [one for one in ports if isinstance(one, MessageType) and one.protocol == ICMP[family]]
        for kind in sorted({one.type for one in types if one.protocol not in whole}):
            yield IcmpType(family, kind)

    def _source_ports(
        self, ports: Ports, family: Family, sources: Intervals
    ) -> Iterator[tuple[tuple[Match, ...], Intervals]]:
        """The same of source ports, each with the sources that are still to be asked for. Named ports are those of the
        source, less what the numbers hold anyway."""
        plain = tuple(one for one in ports or () if not isinstance(one, NamedPort))
        spans: dict[int, Intervals] = {}
        for one in plain:
            if isinstance(one, PortRange):
                spans[one.protocol] = union(spans.get(one.protocol, ()), ((one.first, one.last),))
            elif isinstance(one, WholeProtocol) and one.protocol in WITH_PORTS:
                spans[one.protocol] = EVERY_PORT
        for protocol, found in sorted(spans.items()):
            for first, last in found:
                yield (FromPorts(protocol, first, last),), sources
        rest = tuple(one for one in plain if one.protocol not in WITH_PORTS)
        if ports is None or rest:
            yield from self._ports(rest or None, family, sources)
        named: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for name in ports or ():
            if isinstance(name, NamedPort):
                for address, protocol, port in self._serving(ModelPort(name.name, name.protocol), family, sources):
                    if not any(low <= port <= high for low, high in spans.get(protocol, ())):
                        named.setdefault((protocol, port), []).append((address, address))
        for (protocol, port), holders in sorted(named.items()):
            yield (FromPorts(protocol, port, port),), union(tuple(holders))

    def _spans(self, spans: dict[int, Intervals]) -> Iterator[Match]:
        """As few matches as the back end can do with."""
        limit = self._capabilities.multiport
        singles = [(proto, low) for proto, found in sorted(spans.items()) for low, high in found if low == high]
        shared = not limit and len(singles) > self._capabilities.inline_ports
        if shared:
            name = self._namer.name("ports", "", repr(singles))
            self._sets.setdefault(name, Set(name, None, _SERVICE, tuple(singles), (self._note,)))
            yield InSet(_SERVICE, name)
        for protocol, found in sorted(spans.items()):
            left = [span for span in found if not shared or span[0] != span[1]]
            for batch in batches(left, limit) if limit else [[span] for span in left]:
                yield ToPorts(protocol, *batch[0]) if len(batch) == 1 else ToAnyPort(protocol, tuple(batch))

    def _serving(self, wanted: ModelPort, family: Family, targets: Intervals) -> set[tuple[int, int, int]]:
        """(address, protocol, port) of every pod among the targets that has a port of that name."""
        found: set[tuple[int, int, int]] = set()
        for group in self.ends.inventory.serving(wanted.name):
            for protocol, port, _ in group.resolve(wanted):
                own = (a for a in group.addresses(family) if any(low <= a <= high for low, high in targets))
                found.update((address, protocol, port) for address in own)
        return found

    def _triples(self, found: set[tuple[int, int, int]], family: Family) -> str:
        elements = tuple(sorted(found))
        name = self._namer.name(f"n{family.value}", "named", repr(elements))
        self._sets.setdefault(name, Set(name, family, _TRIPLE, elements, (self._note,)))
        return name


def conditioned(by: Conditional, ports: Ports, matches: tuple[Match, ...]) -> Iterator[tuple[Match, ...]]:
    """The ways in which a packet that meets these matches can meet the statement's conditions as well, but for its
    chance. `ports`: those of the statement, which the matches ask."""
    asked: tuple[Match, ...] = ()
    if by.states:
        asked += (InState(tuple(State(state) for state in by.states)),)
    if by.marked is not None:
        asked += (HasMark(by.marked.value, by.marked.mask),)
    if not by.source_ports:
        yield (*matches, *asked)
        return
    for protocol in sorted(protocols(matches) or {one.protocol for one in ports or ()}):
        for low, high in union(by.source_ports):
            yield (*matches, FromPorts(protocol, low, high), *asked)


def _asked(one: Alternative, by: type[Inbound | Outbound], own: Match) -> Iterator[Match]:
    if one.interface is not None:
        yield _interface(by, one.interface)
    if one.local:
        yield own
    if one.routed is not None:
        yield RoutedAs(_FIELDS[by], RouteKind(one.routed))


def _exceptions(one: Alternative, by: type[Inbound | Outbound], own: Match) -> Iterator[Match]:
    yield from (_interface(by, name) for name in one.outside)
    if one.local is False:
        yield own
    yield from (RoutedAs(_FIELDS[by], RouteKind(kind)) for kind in one.unrouted)


def _interface(by: type[Inbound | Outbound], pattern: str) -> Match:
    return by(pattern.removesuffix("*"), pattern.endswith("*"))
