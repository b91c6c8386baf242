"""Logging: what a daemon hears on the NFLOG group, and what becomes of the packet all the same."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from compiler.errors import Unsupported
from compiler.ir.effects import Log, SetMark
from compiler.ir.match import HasMark, InState, Match, Per, Rate, State, ToPorts, WithinRate
from compiler.ir.ruleset import Accept, Chain, Continue, Drop, Hook, Return, Rule, Table, Verdict
from compiler.net import UDP, Family
from compiler.semantics.packet import Packet
from tests.kernel.nflog import Listener
from tests.kernel.rig import Rig
from tests.kernel.sniff import header
from tests.kernel.texts import base, texts

pytestmark = pytest.mark.kernel

ENDS = {4: ("198.18.0.1", "198.18.1.1"), 6: ("2001:db8::1", "2001:db8:1::1")}
#: So slow that nothing is saved up during a test.
SLOW = Rate(1, Per.HOUR, burst=3)


def datagrams(port: int, count: int = 1) -> list[Packet]:
    return [Packet(*ends, UDP, 2000 + n, port) for ends in ENDS.values() for n in range(count)]


def logs(log: Log, verdict: Verdict, *matches: Match, port: int = 53) -> Rule:
    return Rule((ToPorts(UDP, port, port), *matches), verdict, effects=(log,))


def forward(*rules: Rule) -> Chain:
    return base(Table.FILTER, Hook.FORWARD, *rules)


def heard(rig: Rig, group: int, packets: Sequence[Packet]) -> tuple[list[bool], list[tuple[str, str, int]]]:
    """What passed; and of every message its prefix, source and destination port."""
    with Listener(rig.namespace, group) as log:
        passed = rig.forwarded(packets)
        found = [(message.prefix, header(message.payload)) for message in log.messages()]
    return passed, [(prefix, seen.source, seen.ports[1]) for prefix, seen in found]


def test_what_is_logged(rig: Rig, flavour: str) -> None:
    every = [Log("dns: it's a test; } # {0}", 5), Log("", 5), Log("x" * 63, 5), Log("other", 6), Log("-j ACCEPT", 5)]
    rules = [logs(log, Drop() if n % 2 else Continue(), port=n + 50) for n, log in enumerate(every)]
    rig.load(texts(flavour, forward(*rules)), flavour)
    for group in (5, 6):
        for n, log in enumerate(every):
            passed, found = heard(rig, group, datagrams(n + 50))
            assert passed == [n % 2 == 0] * 2
            assert found == [(log.prefix, ends[0], n + 50) for ends in ENDS.values() if log.group == group]
    assert heard(rig, 5, datagrams(80)) == ([True, True], [])


@pytest.mark.parametrize("verdict", [Accept(), Drop(), Continue(), Return()])
def test_a_limit_is_of_the_log_alone(rig: Rig, flavour: str, verdict: Verdict) -> None:
    """All packets meet the verdict, the first few are logged: of each family by iptables, of both together by nft."""
    behind = Rule((ToPorts(UDP, 53, 53),), Drop())
    rig.load(texts(flavour, forward(logs(Log("dns", 5, SLOW), verdict), behind)), flavour)
    passed, found = heard(rig, 5, datagrams(53, 10))
    assert passed == [isinstance(verdict, Accept | Return)] * 20
    assert len(found) == (SLOW.burst if flavour == "nftables" else 2 * SLOW.burst)


def test_a_limit_is_for_the_time_that_it_says(rig: Rig, flavour: str) -> None:
    rig.load(texts(flavour, forward(logs(Log("dns", 5, Rate(20, Per.SECOND, burst=1)), Drop()))), flavour)
    packets = datagrams(53)[:1]
    with Listener(rig.namespace, 5) as log:
        begun = time.monotonic()
        while time.monotonic() < begun + 0.5:
            rig.exchange(packets)
        count = len(log.messages())
    assert 8 <= count <= 14, "ten in half a second"


def test_one_limit_for_rules_that_share_an_origin(rig: Rig, flavour: str) -> None:
    """What one statement became is limited together: rules with the same effects, verdict and origins."""
    rules = [logs(Log("dns", 5, SLOW), Drop(), port=port) for port in (53, 54)]
    rig.load(texts(flavour, forward(*rules)), flavour)
    four = [packet for packet in datagrams(53, 5) + datagrams(54, 5) if packet.src == ENDS[4][0]]
    passed, found = heard(rig, 5, four)
    assert passed == [False] * 10
    assert len(found) == SLOW.burst


def test_marks_are_seen(rig: Rig, flavour: str) -> None:
    effects = (SetMark(0x77), Log("marked", 5))
    rig.load(
        texts(flavour, base(Table.MANGLE, Hook.FORWARD, Rule((HasMark(0),), Continue(), effects=effects))), flavour
    )
    with Listener(rig.namespace, 5) as log:
        assert rig.forwarded(datagrams(53)) == [True, True]
        assert [message.mark for message in log.messages()] == [0x77, 0x77]


@pytest.mark.parametrize("family", list(Family))
def test_a_rule_of_one_family(rig: Rig, flavour: str, family: Family) -> None:
    rule = Rule((ToPorts(UDP, 53, 53),), Drop(), family, effects=(Log("one", 5),))
    rig.load(texts(flavour, forward(rule)), flavour)
    passed, found = heard(rig, 5, datagrams(53))
    assert passed == [family.value != one for one in ENDS]
    assert found == [("one", ENDS[family.value][0], 53)]


def test_a_match_that_counts(rig: Rig, flavour: str) -> None:
    """In each family for iptables, in both together for nft."""
    rig.load(texts(flavour, forward(Rule((ToPorts(UDP, 53, 53), WithinRate(SLOW)), Drop()))), flavour)
    passed = rig.forwarded(datagrams(53, 10))
    assert passed.count(False) == (3 if flavour == "nftables" else 6)
    assert rig.forwarded(datagrams(80, 10)) == [True] * 20


@pytest.mark.parametrize("table", list(Table))
def test_in_every_table(rig: Rig, flavour: str, table: Table) -> None:
    hook = {Table.RAW: Hook.PREROUTING, Table.FILTER: Hook.FORWARD}.get(table, Hook.POSTROUTING)
    # Nothing comes to the nat table until something asks conntrack.
    asks = base(Table.FILTER, Hook.OUTPUT, Rule((InState((State.INVALID,)),), Drop()))
    rig.load(texts(flavour, base(table, hook, Rule((), Continue(), effects=(Log(table.value, 5),))), asks), flavour)
    assert heard(rig, 5, datagrams(53)) == ([True, True], [(table.value, ends[0], 53) for ends in ENDS.values()])


@pytest.mark.parametrize("prefix", ['a"b', "a\\b", "$a", "é", "a\nb", "x" * 64, "\x7f", "\0"])
def test_a_prefix_that_cannot_be_said_is_refused(flavour: str, prefix: str) -> None:
    with pytest.raises(Unsupported, match="log prefix"):
        texts(flavour, forward(logs(Log(prefix, 5), Drop())))


def test_every_character_arrives(rig: Rig, flavour: str) -> None:
    said = "".join(c for c in map(chr, range(32, 127)) if c not in '"\\$')
    for part in (said[:63], said[63:], " both ends "):
        rig.load(texts(flavour, forward(logs(Log(part, 5), Drop()))), flavour)
        assert {prefix for prefix, _, _ in heard(rig, 5, datagrams(53))[1]} == {part}
