"""Random rulesets over all four tables: with each tool the same becomes of every packet, and the same is logged."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from random import Random

import pytest

from compiler.ir.effects import ClampMss, Effect, Log, NoTrack, SetDscp, SetMark, SetMss, Step, Ttl
from compiler.ir.match import (
    Field,
    FromPorts,
    HasMark,
    Hops,
    IcmpType,
    Inbound,
    InPrefix,
    InSet,
    InState,
    IsProtocol,
    Match,
    Outbound,
    Replies,
    State,
    ToPorts,
    protocols,
)
from compiler.ir.nat import Dnat, Redirect, Snat
from compiler.ir.places import HOOKS, TRANSLATED_PORTS
from compiler.ir.ruleset import (
    Accept,
    Answer,
    Chain,
    Continue,
    Drop,
    Goto,
    Hook,
    Jump,
    PrefixSet,
    Reject,
    Return,
    Rule,
    Table,
    Verdict,
)
from compiler.net import TCP, UDP, Family, Prefix, parse_address, parse_prefix
from compiler.semantics.packet import ICMP, ICMPV6, Packet
from compiler.semantics.rules import netfilter as read
from tests.kernel.nflog import Listener
from tests.kernel.packets import encode, serial_of
from tests.kernel.rig import FLAVOURS, Rig
from tests.kernel.sniff import Header, header
from tests.kernel.texts import base, texts
from tests.kernel.traced import Traced, beside

pytestmark = pytest.mark.kernel

V4, V6 = Family.IPV4, Family.IPV6
GROUP = 5
ADDRESSES = {
    V4: [f"198.18.{n}.{m}" for n in (0, 1, 2) for m in (1, 2, 9)],
    V6: [f"2001:db8:{n}::{m}" for n in (1, 2, 3) for m in (1, 2, 9)],
}
BLOCKS = {V4: ("198.18.0.0/15", "198.18.1.0/24", "198.18.1.2/32"), V6: ("2001:db8::/32", "2001:db8:1::/48")}
SETS = tuple(
    PrefixSet(f"set{family.value}", family, tuple(sorted((parse_prefix(b), n != 1) for n, b in enumerate(blocks))))
    for family, blocks in BLOCKS.items()
)
#: Where the rig's forwarded packets come by, and what goes on from there in a chain of its own.
PLACES = [
    (table, hook)
    for table in Table
    for hook in (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING)
    if hook in HOOKS[table]
]


class Author:
    """Writes rulesets that are well formed."""

    def __init__(self, seed: int) -> None:
        self._chosen = Random(seed)

    def chains(self) -> list[Chain]:
        found = []
        for table, hook in PLACES:
            inner = f"x-{table.value[:3]}-{hook.value}"
            end: list[Verdict] = [Return(), Continue(), Jump(inner), Goto(inner)]
            # Nothing comes to a nat chain of a family until something asks conntrack in that family.
            first = [Rule((Replies(),), Accept())] if table is Table.FILTER else []
            found.append(base(table, hook, *first, *self._rules(table, hook, [*end, Accept()], 5)))
            found.append(Chain(inner, tuple(self._rules(table, hook, [Return(), Continue()], 3)), None, table))
        return found

    def packets(self, count: int) -> list[Packet]:
        return [self._packet(number) for number in range(count)]

    def _packet(self, number: int) -> Packet:
        chosen = self._chosen
        family = chosen.choice((V4, V6))
        src, dst = chosen.choice(ADDRESSES[family]), chosen.choice(ADDRESSES[family])
        proto = chosen.choice((TCP, TCP, UDP, UDP, ICMP if family is V4 else ICMPV6))
        hops = chosen.choice((64, 64, 2, 5, 255))
        if proto in (ICMP, ICMPV6):
            return Packet(src, dst, proto, 5000 + number, hop_limit=hops)
        return Packet(src, dst, proto, 5000 + number, chosen.choice((80, 81, 443)), hop_limit=hops)

    def _rules(self, table: Table, hook: Hook, ends: Sequence[Verdict], most: int) -> list[Rule]:
        return [self._rule(table, hook, ends) for _ in range(self._chosen.randint(0, most))]

    def _rule(self, table: Table, hook: Hook, ends: Sequence[Verdict]) -> Rule:
        chosen = self._chosen
        family = chosen.choice((None, V4, V6))
        matches: list[Match] = []
        for _ in range(chosen.choice((0, 1, 1, 2, 3))):
            match = self._match(table, hook, family)
            twice = isinstance(match, Inbound | Outbound) and any(type(one) is type(match) for one in matches)
            if len(protocols([*matches, match])) < 2 and not twice:
                matches.append(match)
        asked = protocols(matches)
        effects = [self._effect(table, hook) for _ in range(chosen.choice((0, 0, 1, 1, 2, 4)))]
        if asked - {TCP}:
            effects = [effect for effect in effects if not isinstance(effect, ClampMss | SetMss)]
        verdicts = [*ends, *self._own(table, hook, family, asked)]
        verdict = chosen.choice([v for v in verdicts if effects or v != Continue()])
        return Rule(tuple(matches), verdict, family, effects=tuple(effects))

    def _own(self, table: Table, hook: Hook, family: Family | None, asked: set[int]) -> list[Verdict]:
        """The verdicts of the table alone."""
        chosen = self._chosen
        if table is not Table.NAT:
            reset: list[Verdict] = [Reject(Answer.TCP_RESET)] if asked == {TCP} else []
            return [Drop(), *([Reject(), *reset] if table is Table.FILTER else [])]
        if family is None:
            return [Redirect(443)] if hook is Hook.PREROUTING and asked and asked <= TRANSLATED_PORTS else []
        address = parse_address(chosen.choice(ADDRESSES[family]))[1]
        if hook is Hook.POSTROUTING:
            return [Snat(address)]
        with_port: list[Verdict] = [Dnat(address, 443)] if asked and asked <= TRANSLATED_PORTS else []
        return [Dnat(address), *with_port]

    def _match(self, table: Table, hook: Hook, family: Family | None) -> Match:
        chosen = self._chosen
        found: list[Match] = [
            ToPorts(chosen.choice((TCP, UDP)), 80, chosen.choice((80, 81))),
            FromPorts(chosen.choice((TCP, UDP)), 5000, chosen.choice((5020, 5050))),
            IsProtocol(chosen.choice((TCP, UDP))),
            HasMark(chosen.choice((0, 1, 5)), chosen.choice((0xFF, 0xFFFFFFFF))),
        ]
        if table is not Table.RAW:
            found.append(InState(tuple(chosen.sample(list(State), chosen.choice((1, 2, 4))))))
        if hook in (Hook.PREROUTING, Hook.FORWARD):
            found.append(Inbound(*chosen.choice((("tin", False), ("ti", True), ("tout", False)))))
        if hook in (Hook.FORWARD, Hook.POSTROUTING):
            found.append(Outbound(*chosen.choice((("tout", False), ("t", True), ("tin", False)))))
        if family is not None:
            end = chosen.choice((Field.SOURCE, Field.DESTINATION))
            block: Prefix = parse_prefix(chosen.choice(BLOCKS[family]))
            found += [InPrefix(end, block), InSet((end,), f"set{family.value}")] * 2
            found += [Hops(*chosen.choice(((0, 10), (60, 64), (3, 3)))), IcmpType(family, 8 if family is V4 else 128)]
        return chosen.choice(found)

    def _effect(self, table: Table, hook: Hook) -> Effect:
        chosen = self._chosen
        found: list[Effect] = [Log(chosen.choice(("a", "b", f"{table.value} {hook.value}")), GROUP)]
        if table in (Table.RAW, Table.MANGLE):
            found.append(SetMark(chosen.choice((1, 5)), chosen.choice((0xF, 0xFFFFFFFF))))
        if table is Table.RAW:
            found.append(NoTrack())
        if table is Table.MANGLE:
            found += [SetDscp(chosen.choice((8, 34))), SetMss(900)]
            # Before routing, a TTL that runs out is the router's affair.
            late: list[Effect] = [ClampMss(), *[Ttl(chosen.choice(list(Step)), chosen.choice((1, 9, 200)))] * 3]
            found += late if hook is not Hook.PREROUTING else []
        return chosen.choice(found)


def outcome(rig: Rig, packets: Sequence[Packet]) -> tuple[list[Header | None], list[tuple[int | None, str]]]:
    """What comes out for each packet, and what was said about them in order: serial and prefix."""
    rig.namespace.forget_connections()
    with Listener(rig.namespace, GROUP) as log:
        out = [rig.changed(encode(packet, n)) for n, packet in enumerate(packets)]
        said = [(serial_of(message.payload), message.prefix) for message in log.messages()]
    return [None if raw is None else header(raw) for raw in out], said


def foretold(rules: Traced, packet: Packet) -> tuple[object, ...] | None:
    """What the tracer says that comes out: addresses, ports and hops."""
    trace = rules.trace("forwarded", packet)
    if not trace.passed:
        return None
    given = dict(trace.change.given)
    ends = []
    for field, own in ((read.Field.SOURCE, packet.src), (read.Field.DESTINATION, packet.dst)):
        new = given.get(field)
        if new is not None and not isinstance(new, int):
            return None  # redirected to an address of the device that it came by, which has none
        ends.append(own if new is None else str(ip_address(new)))
    ports = {read.Field.SOURCE_PORT: packet.sport, read.Field.DESTINATION_PORT: packet.dport}
    has_ports = packet.proto in (TCP, UDP)
    add, low, high = trace.change.hops
    hops = min(high, max(low, packet.hop_limit + add))
    return (*ends, *(given.get(field, port) if has_ports else 0 for field, port in ports.items()), hops)


@pytest.mark.parametrize("seed", range(300, 312))
def test_all_tools_agree(rig: Rig, seed: int) -> None:
    author = Author(seed)
    chains, packets = author.chains(), author.packets(60)
    found = {}
    for flavour in FLAVOURS:
        rig.reset()
        files = texts(flavour, *chains, sets=SETS)
        rig.load(files, flavour)
        found[flavour] = outcome(rig, packets)
        # The flags of TCP, which the tracer does not know, are those of a SYN in every packet here.
        rules = Traced(files | beside(rig), limits=True)
        for packet, seen in zip(packets, found[flavour][0], strict=True):
            told = foretold(rules, packet)
            came = None if seen is None else (seen.source, seen.destination, *seen.ports, seen.hops)
            assert came == told, packet
    first, *others = found.values()
    for other in others:
        assert other == first
    # Rulesets that let nothing through would show little; and IPv4's checksums are right.
    assert all(seen is None or seen.checksum for seen in first[0])


def test_much_happens(rig: Rig) -> None:
    """In the sum over all seeds."""
    passed, changed, logged, sent = 0, 0, 0, 0
    for seed in range(300, 312):
        author = Author(seed)
        chains, packets = author.chains(), author.packets(60)
        rig.reset()
        rig.load(texts("nftables", *chains, sets=SETS), "nftables")
        seen, said = outcome(rig, packets)
        passed += sum(one is not None for one in seen)
        changed += sum(
            one is not None and (one.source, one.destination, one.hops, one.dscp) != (p.src, p.dst, p.hop_limit - 1, 0)
            for one, p in zip(seen, packets, strict=True)
        )
        logged, sent = logged + len(said), sent + len(packets)
    print(f"{sent} packets: {passed} passed, {changed} changed, {logged} messages")
    assert sent / 4 < passed < sent
    assert changed > sent / 10
    assert logged > sent / 4
