"""A packet on its way through the rules: what each hook does with it, and which rules and elements decide that.

It walks the text as the kernel walks the rules: the hooks of its path, the base chains of each by priority, jumps,
gotos and returns, sets and verdict maps, marks, and NAT between the hooks.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Callable, Iterator

from compiler.semantics.packet import ICMP, ICMPV6, Packet
from compiler.semantics.rules.effects import (
    AS_IT_CAME,
    ROUTED,
    Change,
    Event,
    Unknown,
    change_of,
    changed,
    translation_of,
)
from compiler.semantics.rules.journey import Route, Situation, Step, Stop, Trace, Unanswerable
from compiler.semantics.rules.membership import Membership
from compiler.semantics.rules.netfilter import (
    CONNTRACK,
    Accept,
    AddressType,
    Barrier,
    Chain,
    Continue,
    Drop,
    Element,
    End,
    Field,
    Goto,
    Hook,
    In,
    InSet,
    Jump,
    Key,
    Lookup,
    Notice,
    NoTrack,
    Opaque,
    Return,
    Rewrite,
    Rule,
    Ruleset,
    SetHops,
    SetMark,
    State,
    Table,
    Translate,
    Unmodelled,
    Verdict,
)
from compiler.semantics.rules.numbers import all_ones, bits, interface

_LAST = float("inf")
#: On the way through one base chain; jumps in a circle get there.
_MOST_RULES = 10_000_000
_ECHO = {ICMP: 8, ICMPV6: 128}
#: ICMP types that begin a connection (nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c), and those of IPv6 that
#: conntrack leaves alone.
_BEGINS = {ICMP: (8, 13, 15, 17), ICMPV6: (128, 139)}
_UNTRACKED = (130, 131, 132, 133, 134, 135, 136, 143)
#: What an ICMP packet does not have, and other protocols have not.
_ICMP_FIELDS = (Field.ICMP_TYPE, Field.ICMP_CODE)
_TYPED = {Field.SOURCE_TYPE: Field.SOURCE, Field.DESTINATION_TYPE: Field.DESTINATION}


#: Answers for matches that are not modelled.
Oracle = Callable[[Opaque | Barrier, Rule], bool]


class Tracer:
    """Good for many packets. `answers` is asked about opaque matches and barriers; without it they are Unanswerable.
    `Unanswerable` is also raised for statements that are not modelled, and for choices that are left to chance."""

    def __init__(self, ruleset: Ruleset, answers: Oracle | None = None) -> None:
        self._ruleset = ruleset
        self._answers = answers
        self._chains = {(hook, family): ruleset.at(hook, family) for hook in Hook for family in (4, 6)}
        self._sets: dict[tuple[int, str], Membership] = {}

    def trace(self, situation: Situation) -> Trace:
        """The way of one packet. ValueError when jumps lead in a circle, which the kernel refuses to load."""
        walk = _Walk(self, situation)
        return Trace(tuple(walk.stops()), walk.change, tuple(walk.notices), walk.numbers)

    def chains(self, hook: Hook, family: int) -> tuple[tuple[Table, Chain], ...]:
        return self._chains[hook, family]

    def find(self, table: Table, name: str, numbers: tuple[int, ...]) -> Element | None:
        known = self._sets.get((id(table), name))
        if known is None:
            known = self._sets[id(table), name] = Membership(table.sets[name])
        return known.find(numbers)

    def answer(self, condition: Opaque | Barrier, rule: Rule) -> bool:
        if self._answers is None:
            raise Unanswerable(condition.text, rule)
        return self._answers(condition, rule)


def first_state(packet: Packet) -> State:
    """What conntrack says of a packet that belongs to no connection it knows."""
    begins = _BEGINS.get(packet.proto)
    kind = packet.icmp_type
    if begins is None or kind is None or kind in begins:
        return State.NEW
    return State.UNTRACKED if packet.proto == ICMPV6 and kind in _UNTRACKED else State.INVALID


class _Walk:
    """One packet: its numbers change on the way."""

    def __init__(self, tracer: Tracer, situation: Situation) -> None:
        packet = situation.packet
        self._tracer = tracer
        self._situation = situation
        self._family = packet.version
        self._local = {
            int(ipaddress.ip_address(text)) for text in situation.local if (":" in text) == (packet.version == 6)
        }
        self.change = AS_IT_CAME
        self.notices: list[Event] = []
        self.numbers = {
            Field.FAMILY: packet.version,
            Field.SOURCE: int(ipaddress.ip_address(packet.src)),
            Field.DESTINATION: int(ipaddress.ip_address(packet.dst)),
            Field.PROTOCOL: packet.proto,
            Field.SOURCE_PORT: packet.sport,
            Field.DESTINATION_PORT: packet.dport,
            Field.MARK: situation.mark,
            Field.HOPS: packet.hop_limit,
        }
        if packet.proto in _ECHO:
            kind = _ECHO[packet.proto] if packet.icmp_type is None else packet.icmp_type
            self.numbers |= {Field.ICMP_TYPE: kind, Field.ICMP_CODE: packet.icmp_code}

    def stops(self) -> Iterator[Stop]:
        for hook in self._hooks():
            self._enter(hook)
            for table, chain in self._tracer.chains(hook, self._family):
                assert chain.base is not None
                if chain.base.nat and not self._translates(hook):
                    continue
                self.numbers[Field.STATE] = self._state(hook, chain.base.priority)
                steps: list[Step] = []
                said = self._base_chain(table, chain, steps)
                passed = chain.base.accepts if said is None else isinstance(said, Accept)
                yield Stop(hook, chain, passed, tuple(steps))
                if not passed:
                    return

    def _hooks(self) -> Iterator[Hook]:
        """Routing comes behind PREROUTING, where the destination may have changed."""
        if self._situation.route is Route.SENT:
            yield from (Hook.OUTPUT, Hook.POSTROUTING)
            return
        yield Hook.PREROUTING
        if self._is_own(Field.DESTINATION):
            yield Hook.INPUT
        else:
            self._take(ROUTED)
            yield Hook.FORWARD
            yield Hook.POSTROUTING

    def _enter(self, hook: Hook) -> None:
        """Interfaces, as far as the hook knows them; of a forwarded packet POSTROUTING still knows both."""
        seen_in = hook in (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD)
        seen_in |= hook is Hook.POSTROUTING and self._situation.route is Route.ARRIVES
        seen_out = hook in (Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING)
        for asked, name in (
            (Field.INPUT, self._situation.input if seen_in else ""),
            (Field.OUTPUT, self._situation.output if seen_out else ""),
        ):
            self.numbers[asked] = interface(name, "\0")[0]

    def _state(self, hook: Hook, priority: int) -> State:
        if self.change.untracked:
            return State.UNTRACKED
        if hook in (Hook.PREROUTING, Hook.OUTPUT) and priority <= CONNTRACK:
            return State.INVALID
        known = self._situation.state
        return first_state(self._situation.packet) if known is None else known

    def _translates(self, hook: Hook) -> bool:
        """NAT chains see the first packet of a connection, and at each end only until one has decided."""
        end = End.DESTINATION if hook in (Hook.PREROUTING, Hook.OUTPUT) else End.SOURCE
        return end not in self.change.translated and self._state(hook, CONNTRACK + 1) in (State.NEW, State.RELATED)

    # Chains

    def _base_chain(self, table: Table, chain: Chain, steps: list[Step]) -> Verdict | None:
        """Accept or Drop of a rule; None is left to the policy."""
        stack: list[tuple[Chain, int]] = []
        at = 0
        for _ in range(_MOST_RULES):
            if at == len(chain.rules):
                if not stack:
                    return None
                chain, at = stack.pop()
                continue
            rule = chain.rules[at]
            at += 1
            said = self._rule(table, chain, rule, steps)
            match said:
                case Accept() | Drop():
                    return said
                case Return():
                    at = len(chain.rules)
                case Jump(name):
                    stack.append((chain, at))
                    chain, at = table.chains[name], 0
                case Goto(name):
                    chain, at = table.chains[name], 0
        raise ValueError(f"jumps lead in a circle over {chain.name}")

    def _rule(self, table: Table, chain: Chain, rule: Rule, steps: list[Step]) -> Verdict | None:
        """The verdict, if it comes to one; None goes on with the next rule."""
        element: Element | None = None
        for part in rule.parts:
            match part:
                case In():
                    if not self._in(part, rule):
                        return None
                case InSet(keys, name, negated):
                    found = self._tracer.find(table, name, self._key(keys, rule))
                    if (found is None) is not negated:
                        return None
                    element = found or element
                case Opaque() | Barrier():
                    said = self._tracer.answer(part, rule)
                    if said is (isinstance(part, Opaque) and part.negated):
                        return None
                case Lookup(keys, name):
                    found = self._tracer.find(table, name, self._key(keys, rule))
                    if found is None:
                        return None
                    steps.append(Step(table, chain, rule, found.verdict, found))
                    return None if isinstance(found.verdict, Continue) else found.verdict
                case SetMark() | NoTrack() | SetHops() | Rewrite():
                    self._become(change_of(part), rule)
                case Notice(text):
                    self.notices.append(Event(text, self.change))
                case Translate():
                    self._become(translation_of(part), rule)
                    steps.append(Step(table, chain, rule, Accept(), element))
                    return Accept()
                case Unmodelled(text):
                    raise Unanswerable(text, rule)
                case _:
                    steps.append(Step(table, chain, rule, part, element))
                    return None if isinstance(part, Continue) else part
        steps.append(Step(table, chain, rule, None, element))
        return None

    def _in(self, condition: In, rule: Rule) -> bool:
        number = self._number(condition.field, rule)
        if condition.mask is not None:
            number &= condition.mask
        at = bisect_right(condition.intervals, (number, _LAST)) - 1
        return at >= 0 and number <= condition.intervals[at][1]

    def _key(self, keys: tuple[Key, ...], rule: Rule) -> tuple[int, ...]:
        numbers = [self._number(field, rule) for field, _ in keys]
        return tuple([n if key.mask is None else n & key.mask for n, key in zip(numbers, keys, strict=True)])

    def _number(self, field: Field, rule: Rule) -> int:
        found = self.numbers.get(field)
        if found is not None:
            return found
        if field in _TYPED:
            return self._type(_TYPED[field], rule)
        if field in _ICMP_FIELDS:
            return 0  # asked in a key beside the protocol, which does not agree
        raise Unanswerable(f"the {field.value} is one of several after NAT", rule)

    def _is_own(self, end: Field) -> bool:
        """Whether it is one of the node's addresses, whichever."""
        given = dict(self.change.given).get(end)
        return self.numbers.get(end) in self._local or (isinstance(given, Unknown) and given.own)

    def _type(self, end: Field, rule: Rule) -> int:
        if self._is_own(end):
            return AddressType.LOCAL
        address = self._number(end, rule)
        text = ipaddress.IPv4Address(address) if self._family == 4 else ipaddress.IPv6Address(address)
        if text.is_loopback:
            return AddressType.LOCAL
        if text.is_multicast:
            return AddressType.MULTICAST
        return AddressType.BROADCAST if address == all_ones(bits(4)) and self._family == 4 else AddressType.UNICAST

    def _take(self, change: Change) -> None:
        numbers = self.numbers
        self.change = changed(self.change, change)
        numbers[Field.MARK] = numbers[Field.MARK] & change.keep ^ change.flip
        add, low, high = change.hops
        numbers[Field.HOPS] = min(max(numbers[Field.HOPS] + add, low), high)
        if change.untracked:
            numbers[Field.STATE] = State.UNTRACKED

    def _become(self, change: Change, rule: Rule) -> None:
        """A number that the text leaves open is gone, and who asks it has no answer."""
        self._take(change)
        for given, value in change.given:
            known = self._situation.open.get(value.name) if isinstance(value, Unknown) else value
            if known is not None:
                self.numbers[given] = known
            elif given is Field.DESTINATION and not (isinstance(value, Unknown) and value.own):
                raise Unanswerable("a destination out of several", rule)
            else:
                self.numbers.pop(given, None)
