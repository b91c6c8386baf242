"""What a ruleset does to a packet, by walking it: the meaning of the IR, written down once more for tests.

The walk follows the definitions in `compiler.ir` (match, ruleset) and nothing else, so that lowering and passes can
be asked what they changed. What the kernel makes of the emitted text is asked in tests/kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from compiler.ir.effects import Effect, SetMark, Step, Ttl
from compiler.ir.match import (
    ICMP,
    Field,
    HasBit,
    HasMark,
    Hops,
    IcmpType,
    InNets,
    InPrefix,
    InSet,
    IsProtocol,
    LocalSource,
    Match,
    NeighbourDiscovery,
    Replies,
    ToAnyPort,
    ToPorts,
)
from compiler.ir.ruleset import (
    Accept,
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
    Verdict,
)
from compiler.net import Family

ICMPV6 = 58


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet as a hook sees it. `port` is the destination port, 0 for protocols without; `reply`: conntrack knows
    it as established or related; `local`: the source address is the node's own."""

    family: Family
    source: int
    destination: int
    protocol: int
    port: int = 0
    reply: bool = False
    local: bool = False
    icmp_type: int | None = None
    hop_limit: int = 64
    mark: int = 0

    def value(self, field: Field) -> int:
        return {
            Field.SOURCE: self.source,
            Field.DESTINATION: self.destination,
            Field.PROTOCOL: self.protocol,
            Field.PORT: self.port,
        }[field]


@dataclass(frozen=True, slots=True)
class Walked:
    """How a packet left its hook, and how many rules and lookups it was asked on its way, `Replies` among them. What
    was done to it, in order (a TTL as what it was set to); how it is now; and the verdict that ended the last chain."""

    accepted: bool
    passed: int
    effects: tuple[Effect, ...] = field(default=(), compare=False)
    packet: Seen | None = field(default=None, compare=False)
    last: Verdict | None = field(default=None, compare=False)


class Walker:
    """A ruleset to be asked about packets."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._chains = {chain.name: chain for chain in ruleset.chains}
        self._maps = {found.name: found for found in ruleset.maps}
        self._sets: dict[str, Set | PrefixSet] = {found.name: found for found in ruleset.sets}
        self._members = {s.name: frozenset(s.elements) for s in ruleset.sets if isinstance(s, Set)}

    def accepts(self, packet: Seen, hook: Hook = Hook.FORWARD) -> bool:
        """Whether the packet gets past our base chains of the hook."""
        return self.walk(packet, hook).accepted

    def walk(self, packet: Seen, hook: Hook = Hook.FORWARD) -> Walked:
        """Every base chain of the hook in order: a drop is final, anything else goes on to the next."""
        walked = Walked(True, 0, packet=packet)
        for chain in self._ruleset.chains:
            if chain.hook is hook and chain.family in (None, packet.family) and walked.accepted:
                assert walked.packet is not None
                one = self._base_chain(chain, walked.packet)
                walked = replace(one, passed=walked.passed + one.passed, effects=(*walked.effects, *one.effects))
        return walked

    def _base_chain(self, base: Chain, packet: Seen) -> Walked:
        """Returning from a base chain, or reaching its end, is its policy: accept."""
        passed = 0
        effects: list[Effect] = []
        stack: list[tuple[Chain, int]] = []  # where to go on after Return
        chain, at = base, 0
        while True:
            if at == len(chain.rules):
                verdict: Verdict | None = Return()
            else:
                rule = chain.rules[at]
                at += 1
                if rule.family not in (None, packet.family):
                    continue
                passed += 1
                verdict = self._ask(rule, packet)
                if verdict is not None and isinstance(rule, Rule):
                    for effect in rule.effects:
                        effect, packet = _done(effect, packet)
                        effects.append(effect)
            match verdict:
                case None | Continue():
                    continue
                case Return():
                    if not stack:
                        return Walked(True, passed, tuple(effects), packet, Accept())
                    chain, at = stack.pop()
                case Jump(name):
                    stack.append((chain, at))
                    chain, at = self._chains[name], 0
                case Goto(name):
                    chain, at = self._chains[name], 0
                case _:
                    return Walked(not isinstance(verdict, Drop | Reject), passed, tuple(effects), packet, verdict)

    def _ask(self, rule: Rule | Lookup, packet: Seen) -> Verdict | None:
        if isinstance(rule, Lookup):
            return _longest(self._maps[rule.map], packet.value(rule.field))
        return rule.verdict if all(self._holds(match, packet) for match in rule.matches) else None

    def _holds(self, match: Match, packet: Seen) -> bool:
        match match:
            case Replies():
                return packet.reply
            case NeighbourDiscovery():
                named = packet.protocol == ICMPV6 and packet.icmp_type in (133, 135, 136)
                return named and packet.hop_limit == 255
            case LocalSource():
                return packet.local
            case InPrefix(field, prefix):
                assert prefix.family is packet.family, "a rule on addresses has their family"
                return _inside(packet.value(field), prefix.base, prefix.family.bits - prefix.length)
            case HasBit(field, bit, one):
                return bool(packet.value(field) >> bit & 1) is one
            case InSet(fields, name):
                return self._is_member(self._sets[name], fields, packet)
            case InNets(field, length, name, negated):
                shift = packet.family.bits - length
                return ((packet.value(field) >> shift << shift,) in self._members[name]) is not negated
            case ToPorts(protocol, first, last):
                return packet.protocol == protocol and first <= packet.port <= last
            case ToAnyPort(protocol, spans):
                return packet.protocol == protocol and any(low <= packet.port <= high for low, high in spans)
            case IsProtocol(protocol):
                return packet.protocol == protocol
            case IcmpType(family, kind, None):
                return (packet.family, packet.protocol, packet.icmp_type) == (family, ICMP[family], kind)
            case HasMark(value, mask):
                return packet.mark & mask == value
            case Hops(first, last):
                return first <= packet.hop_limit <= last
            case _:
                raise NotImplementedError(f"{match} is asked of the kernel alone")

    def _is_member(self, found: Set | PrefixSet, fields: Sequence[Field], packet: Seen) -> bool:
        assert found.family in (None, packet.family), "a rule on a set of addresses has their family"
        if isinstance(found, Set):
            return tuple(packet.value(field) for field in fields) in self._members[found.name]
        (field,) = fields
        value, bits = packet.value(field), found.family.bits
        around = [(p.length, member) for p, member in found.elements if _inside(value, p.base, bits - p.length)]
        return bool(around) and max(around)[1]


def _done(effect: Effect, packet: Seen) -> tuple[Effect, Seen]:
    """What became of it; counting a TTL is setting it."""
    match effect:
        case SetMark(value, mask):
            return effect, replace(packet, mark=packet.mark & ~mask | value)
        case Ttl(step, value):
            counted = {
                Step.SET: value,
                Step.INCREASE: packet.hop_limit + value,
                Step.DECREASE: packet.hop_limit - value,
            }
            hops = min(255, max(0, counted[step]))
            return Ttl(Step.SET, hops), replace(packet, hop_limit=hops)
        case _:
            return effect, packet


def _longest(found: PrefixMap, address: int) -> Verdict | None:
    bits = found.family.bits
    around = [(p.length, verdict) for p, verdict in found.elements if _inside(address, p.base, bits - p.length)]
    return max(around, key=lambda entry: entry[0])[1] if around else None


def _inside(address: int, base: int, host_bits: int) -> bool:
    return address >> host_bits == base >> host_bits
