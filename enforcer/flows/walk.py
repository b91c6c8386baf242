"""Whether a ruleset lets the first packet of a connection through, asked in process: tens of thousands of connections
a second, where a kernel would have to be sent a packet for each.

The walk follows the definitions of `compiler.ir` through the filter table, as the kernel does the printed text. What
only the packet itself could tell (an interface, a mark, a rate, chance) it does not make up: the answer is then None,
unless the rule that asks decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from compiler.ir.match import (
    ICMP,
    Field,
    FromPorts,
    HasBit,
    IcmpType,
    InNets,
    InPrefix,
    InSet,
    InState,
    IsProtocol,
    LocalDestination,
    LocalSource,
    Match,
    NeighbourDiscovery,
    Replies,
    State,
    ToAnyPort,
    ToPorts,
)
from compiler.ir.ruleset import (
    Chain,
    Continue,
    Drop,
    Goto,
    Hook,
    Jump,
    Lookup,
    PrefixMap,
    PrefixSet,
    Reject,
    Return,
    Rule,
    Ruleset,
    Set,
    Table,
    Verdict,
)
from compiler.net import Family, Prefix


@dataclass(frozen=True, slots=True)
class First:
    """The first packet of a connection as the filter table sees it: the destination translated, the source not yet.
    Ports are 0 where the protocol has none; `icmp_type` counts for ICMP alone."""

    family: Family
    source: int
    destination: int
    protocol: int
    source_port: int = 0
    port: int = 0
    icmp_type: int | None = None
    icmp_code: int = 0


class _Untold:
    """What a rule says of a packet that does not tell."""


#: True, False, or None when the packet does not tell.
_Test = Callable[[First], bool | None]
#: A rule or a lookup; None goes on with the next.
_Step = Callable[[First], Verdict | _Untold | None]
_Value = TypeVar("_Value")


class Walk:
    """A ruleset to be asked; sets become hashes when somebody asks them. `local`: the node's own addresses."""

    def __init__(self, ruleset: Ruleset, local: frozenset[int] = frozenset()) -> None:
        self._chains = {chain.name: chain for chain in ruleset.chains}
        self._bases: dict[Hook, list[Chain]] = {}
        for chain in ruleset.chains:
            if chain.hook is not None and chain.table is Table.FILTER:
                self._bases.setdefault(chain.hook, []).append(chain)
        self._sets: dict[str, Set | PrefixSet] = {found.name: found for found in ruleset.sets}
        self._maps = {found.name: found for found in ruleset.maps}
        self._local = local
        self._steps: dict[tuple[str, Family], list[_Step]] = {}
        self._members: dict[str, frozenset[tuple[int, ...]]] = {}

    def passes(self, packet: First, hook: Hook = Hook.FORWARD) -> bool | None:
        """Whether it gets past our base chains of the hook; None when the packet alone does not tell."""
        for chain in self._bases.get(hook, ()):
            if chain.family in (None, packet.family):
                passed = self._base(chain.name, packet)
                if not passed:
                    return passed
        return True

    def _base(self, base: str, packet: First) -> bool | None:
        """Coming back to a base chain's end is its policy: accept."""
        stack: list[tuple[list[_Step], int]] = []
        steps, at = self._of(base, packet.family), 0
        while True:
            if at == len(steps):
                if not stack:
                    return True
                steps, at = stack.pop()
                continue
            said = steps[at](packet)
            at += 1
            match said:
                case None | Continue():
                    continue
                case Return():
                    at = len(steps)
                case Jump(name):
                    stack.append((steps, at))
                    steps, at = self._of(name, packet.family), 0
                case Goto(name):
                    steps, at = self._of(name, packet.family), 0
                case _Untold():
                    return None
                case _:
                    return not isinstance(said, Drop | Reject)

    def _of(self, name: str, family: Family) -> list[_Step]:
        known = self._steps.get((name, family))
        if known is None:
            rules = self._chains[name].rules
            known = [self._step(r) for r in rules if r.family in (None, family) and not _says_nothing(r)]
            self._steps[name, family] = known
        return known

    def _step(self, rule: Rule | Lookup) -> _Step:
        if isinstance(rule, Lookup):
            return _lookup(self._maps[rule.map], rule.field)
        return _asking(tuple(self._test(match) for match in rule.matches), rule.verdict)

    def _test(self, match: Match) -> _Test:
        match match:
            case Replies() | NeighbourDiscovery():  # conntrack follows no neighbour discovery
                return _no
            case LocalSource():
                return lambda packet: packet.source in self._local
            case LocalDestination():
                return lambda packet: packet.destination in self._local
            case InState(states):
                return _yes if State.NEW in states else _no
            case InPrefix(field, prefix):
                return _in_prefix(_VALUE[field], prefix)
            case HasBit(field, bit, one):
                value = _VALUE[field]
                return lambda packet: bool(value(packet) >> bit & 1) is one
            case InSet(fields, name):
                return self._in_set(fields, name)
            case InNets(field, length, name, negated):
                return self._in_nets(_VALUE[field], length, name, negated)
            case ToPorts(protocol, first, last):
                return lambda packet: packet.protocol == protocol and first <= packet.port <= last
            case FromPorts(protocol, first, last):
                return lambda packet: packet.protocol == protocol and first <= packet.source_port <= last
            case ToAnyPort(protocol, spans):
                return lambda packet: packet.protocol == protocol and any(a <= packet.port <= b for a, b in spans)
            case IsProtocol(protocol):
                return lambda packet: packet.protocol == protocol
            case IcmpType(family, kind, code):
                return lambda packet: (
                    (packet.family is family and packet.protocol == ICMP[family])
                    and (packet.icmp_type == kind and code in (None, packet.icmp_code))
                )
            case _:
                return _unknown

    def _in_set(self, fields: tuple[Field, ...], name: str) -> _Test:
        found = self._sets[name]
        values = tuple(_VALUE[field] for field in fields)
        if isinstance(found, PrefixSet):
            longest = _longest(dict(found.elements))
            (value,) = values
            return lambda packet: bool(longest(value(packet)))
        if found.by_hand:  # somebody else fills it: what is in there now only the kernel knows
            return _unknown
        members = self._hash(name)
        return lambda packet: tuple([value(packet) for value in values]) in members

    def _in_nets(self, value: Callable[[First], int], length: int, name: str, negated: bool) -> _Test:
        members = self._hash(name)

        def test(packet: First) -> bool:
            shift = packet.family.bits - length
            return ((value(packet) >> shift << shift,) in members) is not negated

        return test

    def _hash(self, name: str) -> frozenset[tuple[int, ...]]:
        if name not in self._members:
            found = self._sets[name]
            assert isinstance(found, Set), f"{name}: prefixes are asked for one by one"
            self._members[name] = frozenset(found.elements)
        return self._members[name]


_VALUE: Mapping[Field, Callable[[First], int]] = {
    Field.SOURCE: lambda packet: packet.source,
    Field.DESTINATION: lambda packet: packet.destination,
    Field.PROTOCOL: lambda packet: packet.protocol,
    Field.PORT: lambda packet: packet.port,
}


def _yes(packet: First) -> bool:
    return True


def _no(packet: First) -> bool:
    return False


def _unknown(packet: First) -> None:
    return None


def _says_nothing(rule: Rule | Lookup) -> bool:
    """Whether it has effects alone: none of them decides whether a packet passes the filter table, but for marks, of
    which nothing is known anyway."""
    return isinstance(rule, Rule) and isinstance(rule.verdict, Continue)


def _in_prefix(value: Callable[[First], int], prefix: Prefix) -> _Test:
    shift = prefix.family.bits - prefix.length
    base = prefix.base >> shift
    return lambda packet: value(packet) >> shift == base


def _asking(tests: tuple[_Test, ...], verdict: Verdict) -> _Step:
    untold = _Untold()

    def ask(packet: First) -> Verdict | _Untold | None:
        told = True
        for test in tests:
            held = test(packet)
            if held is False:
                return None
            told = told and held is not None
        return verdict if told else untold

    return ask


def _lookup(found: PrefixMap, field: Field) -> _Step:
    longest, value = _longest(dict(found.elements)), _VALUE[field]
    return lambda packet: longest(value(packet))


def _longest(elements: Mapping[Prefix, _Value]) -> Callable[[int], _Value | None]:
    """What the longest prefix that holds an address has; one hash for each length."""
    by_length: dict[int, dict[int, _Value]] = {}
    for prefix, verdict in elements.items():
        shift = prefix.family.bits - prefix.length
        by_length.setdefault(shift, {})[prefix.base >> shift] = verdict
    ordered = sorted(by_length.items())

    def find(address: int) -> _Value | None:
        for shift, hosts in ordered:
            found = hosts.get(address >> shift)
            if found is not None:
                return found
        return None

    return find
