"""What one rule asks, put together condition by condition."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from compiler.importing.numbers import common, joined, others, top_of
from compiler.importing.values import (
    ANYONE,
    ICMP_OF,
    STATES,
    WITH_PORTS,
    Addresses,
    Asked,
    Inexpressible,
    NeverMatches,
    Port,
    Side,
)
from compiler.net import Intervals
from grammar import dsl_literals

_EVERY_PROTOCOL: Intervals = ((0, 255),)
#: The language has protocols and types of ICMP one by one.
_MANY = 16


@dataclass(slots=True)
class Asking:
    """Grows by `and`; `done` is the whole. Each method takes numbers, already turned round where the rule negates, but
    for ends, which keep their negation to be read. Raises Inexpressible."""

    version: int
    source: Side = ANYONE
    target: Side = ANYONE
    protocols: Intervals = _EVERY_PROTOCOL
    target_ports: Intervals | None = None
    source_ports: Intervals | None = None
    types: Intervals | None = None
    states: frozenset[str] = STATES
    marks: list[tuple[int, int]] = field(default_factory=list)
    not_marks: list[tuple[int, int]] = field(default_factory=list)
    chance: int = 0
    #: Of one family only: addresses say so, what ICMP is asked, too.
    only: int = 0

    def addresses(self, of_source: bool, version: int, intervals: Intervals, negated: bool) -> None:
        side = self.source if of_source else self.target
        found = Addresses(version, joined(intervals), negated)
        if side.addresses is not None:
            found = _both(side.addresses, found)
        if not found.without and not found.intervals:
            raise NeverMatches("no address")
        self._put(of_source, replace(side, addresses=found))
        self.only = version

    def interfaces(self, of_source: bool, names: tuple[str, ...], negated: bool) -> None:
        side = self.source if of_source else self.target
        for name in names:
            if dsl_literals.interface(name) is not None:
                raise Inexpressible(f"the interface {name}")
        if negated:
            side = replace(side, not_interfaces=side.not_interfaces + names)
        elif side.interfaces:
            raise Inexpressible("two interfaces at once")
        else:
            side = replace(side, interfaces=names)
        self._put(of_source, side)

    def kinds(self, of_source: bool, kinds: tuple[str, ...], negated: bool) -> None:
        side = self.source if of_source else self.target
        if negated:
            side = replace(side, not_kinds=side.not_kinds + kinds)
        elif side.kinds:
            raise Inexpressible("two types of one address")
        else:
            side = replace(side, kinds=kinds)
        self._put(of_source, side)

    def protocol(self, numbers: Intervals) -> None:
        self.protocols = common(self.protocols, numbers)

    def ports(self, of_source: bool, ports: Intervals) -> None:
        before = self.source_ports if of_source else self.target_ports
        found = ports if before is None else common(before, ports)
        if of_source:
            self.source_ports = found
        else:
            self.target_ports = found

    def messages(self, types: Intervals) -> None:
        """Types of ICMP, whose protocol was asked for."""
        self.types = types if self.types is None else common(self.types, types)

    def state(self, names: frozenset[str]) -> None:
        self.states &= names

    def mark(self, value: int, mask: int, negated: bool) -> None:
        if value & ~mask or not mask:
            if negated == (not value):
                raise NeverMatches(f"the mark {value:#x}/{mask:#x}")
            return
        (self.not_marks if negated else self.marks).append((value, mask))

    def one_of(self, count: int) -> None:
        if self.chance:
            raise Inexpressible("two throws of dice")
        self.chance = count

    def done(self) -> Asked:
        for what, found in (("states", self.states), ("protocols", self.protocols), ("types", self.types)):
            if found is not None and not found:
                raise NeverMatches(f"no {what}")
        for what, ports in (("target", self.target_ports), ("source", self.source_ports)):
            if ports is not None and not ports:
                raise NeverMatches(f"no {what} ports")
        return Asked(
            self.source,
            self.target,
            self._ports(),
            self.source_ports,
            self.states,
            tuple(self.marks),
            tuple(self.not_marks),
            self.chance,
            self.only,
        )

    def _put(self, of_source: bool, side: Side) -> None:
        if of_source:
            self.source = side
        else:
            self.target = side

    def _ports(self) -> tuple[Port, ...] | None:
        if self.types is not None:
            types = [number for low, high in self.types for number in range(low, high + 1)]
            if len(types) > _MANY:
                raise Inexpressible("every type but some")
            return tuple(Port(low, number, number) for low, _ in self.protocols for number in types)
        if self.target_ports is None and self.source_ports is None:
            if self.protocols == _EVERY_PROTOCOL:
                return None
            found = tuple(Port(number) for low, high in self.protocols for number in range(low, high + 1))
            if len(found) > _MANY:
                raise Inexpressible("every protocol but some")
            return found
        asked = [number for low, high in self.protocols for number in range(low, high + 1)]
        if not set(asked) <= WITH_PORTS:
            raise Inexpressible("ports of protocols that have none")
        if self.target_ports is None:
            return tuple(Port(number) for number in asked)
        return tuple(Port(number, *one) for number in asked for one in self.target_ports)


def _both(one: Addresses, two: Addresses) -> Addresses:
    if one.version != two.version:
        raise Inexpressible("addresses of both families")
    top = top_of(one.version)
    a, b = (others(each.intervals, top) if each.without else each.intervals for each in (one, two))
    return Addresses(one.version, common(a, b))


def icmp(version: int) -> Intervals:
    """The family's ICMP."""
    return ((ICMP_OF[version],) * 2,)
