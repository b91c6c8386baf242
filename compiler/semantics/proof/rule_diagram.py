"""The packets that ends, ports and rules of a program are about, as diagrams of one space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import assert_never

from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    MessageType,
    NamedPort,
    Nodes,
    Pods,
    PortRange,
    Ports,
    PortSpec,
    Routed,
    Rule,
    ThisNode,
    WholeProtocol,
    Within,
)
from compiler.semantics.diagrams.diagram import IN, NOTHING, Range
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.policy_diagram import LOCAL
from compiler.semantics.diagrams.space import Level, Path, Space
from compiler.semantics.packet import ICMP
from compiler.semantics.proof.case import throw
from compiler.semantics.proof.program_ends import ByAddress, ProgramEnds, interfaces
from compiler.semantics.rules.netfilter import WITH_PORTS, AddressType, State


class RuleDiagrams:
    """Of the packets of one space; an end is asked as a source or as a target, and at a hook."""

    def __init__(self, ends: ProgramEnds, over: Space, matches: Matches) -> None:
        self.over, self._made, self._ends, self._matches = over, over.made, ends, matches
        self._done: dict[tuple[int, Path, bool], int] = {}

    def of(self, rule: Rule | Within, path: Path, says: int = IN) -> int:
        """`says`, an outcome, of the packets that the rule is about."""
        made = self._made
        source = self.end(rule.source, path, source=True)
        if rule.unless is not None:
            source = made.where(made.outside(self.end(rule.unless, path, source=True)), source)
        found = made.where(self.end(rule.target, path, source=False), self.ports(rule.ports, says))
        for condition in self._conditions(rule):
            found = made.where(condition, found)
        return made.where(source, found)

    def _conditions(self, rule: Rule | Within) -> Iterator[int]:
        made = self._made
        if rule.states:
            states = [State[name.upper()] for name in rule.states]
            yield made.inside(Level.STATE, [(state, state) for state in states])
        if rule.marked is not None:
            yield self._matches.marked(((rule.marked.value, rule.marked.value),), rule.marked.mask)
        if rule.source_ports:
            ports = made.inside(Level.SPORT, rule.source_ports)
            yield made.inside(Level.PROTOCOL, [(protocol, protocol) for protocol in WITH_PORTS], ports)
        if rule.chance is not None and rule.chance > 1:
            yield self._matches.coin(throw(rule), Fraction(1, rule.chance))

    def end(self, end: End, path: Path, source: bool) -> int:
        """The packets whose source, or whose target, is of the end."""
        key = (id(end), path, source)
        if key not in self._done:
            self._done[key] = self._end(end, path, source)
        return self._done[key]

    def _end(self, end: End, path: Path, source: bool) -> int:
        made, address = self._made, self.over.source if source else self.over.destination
        match end:
            case Anyone():
                return IN
            case Addresses() | Pods() | Nodes():
                return made.inside(address, self._ends.addresses(end))
            case ThisNode():
                if path is (Path.OUTPUT if source else Path.INPUT):
                    return IN
                return made.inside(Level.SOURCE_TYPE if source else Level.DESTINATION_TYPE, [(LOCAL, LOCAL)])
            case Interfaces():
                if path is (Path.OUTPUT if source else Path.INPUT):  # has none
                    return NOTHING
                return made.inside(Level.INPUT if source else Level.OUTPUT, interfaces(end))
            case Routed(kind=kind):
                types = [(int(AddressType[kind.upper()]),) * 2]
                return made.inside(Level.SOURCE_TYPE if source else Level.DESTINATION_TYPE, types)
            case Either(ends=ends):
                others = [self.end(one, path, source) for one in ends if not isinstance(one, ByAddress)]
                return made.first([made.inside(address, self._ends.together(end)), *others])
            case Both(ends=ends):
                found = IN
                for one in ends:
                    found = made.where(found, self.end(one, path, source))
                return found
            case Less(end=inner, without=without):
                return made.where(made.outside(self.end(without, path, source)), self.end(inner, path, source))
            case _:
                assert_never(end)

    def ports(self, ports: Ports, says: int = IN) -> int:
        """`says` of the packets that one of the ports is about; None: of all."""
        if ports is None:
            return says
        spans: dict[int, list[Range]] = {}
        parts = []
        for port in ports:
            if isinstance(port, PortRange):
                spans.setdefault(port.protocol, []).append((port.first, port.last))
            else:
                parts.append(self._port(port, says))
        parts += [self._to(protocol, found, says) for protocol, found in spans.items()]
        return self._made.first(parts)

    def _port(self, port: PortSpec, says: int) -> int:
        made = self._made
        match port:
            case PortRange():
                return self._to(port.protocol, [(port.first, port.last)], says)
            case WholeProtocol(protocol=protocol):
                return made.inside(Level.PROTOCOL, [(protocol, protocol)], says)
            case MessageType(protocol=protocol, type=number):
                if self.over.version != (4 if protocol == ICMP else 6):
                    return NOTHING
                types = made.inside(Level.ICMP_TYPE, [(number, number)], says)
                return made.inside(Level.PROTOCOL, [(protocol, protocol)], types)
            case NamedPort(protocol=protocol):
                return made.first(
                    made.where(made.inside(self.over.destination, pods), self._to(protocol, [(number, number)], says))
                    for number, pods in self._ends.servers(port).items()
                )
            case _:
                assert_never(port)

    def _to(self, protocol: int, ports: Sequence[Range], says: int) -> int:
        return self._made.inside(Level.PROTOCOL, [(protocol, protocol)], self._made.inside(Level.DPORT, ports, says))
