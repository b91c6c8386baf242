"""What may stand in which table and at which hook, and the bounds of every number."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from compiler.ir.check import check
from compiler.ir.effects import ClampMss, Effect, Log, Native, NoTrack, SetDscp, SetMark, SetMss, Step, Ttl
from compiler.ir.match import (
    Field,
    FromPorts,
    HasBit,
    HasMark,
    Hops,
    IcmpType,
    Inbound,
    InState,
    IsProtocol,
    Match,
    NoWayBack,
    OneIn,
    Outbound,
    Per,
    Rate,
    Replies,
    RoutedAs,
    RouteKind,
    State,
    ToAnyPort,
    ToPorts,
    WithinRate,
)
from compiler.ir.nat import Dnat, Masquerade, Redirect, Snat
from compiler.ir.ruleset import (
    Answer,
    Chain,
    Continue,
    Drop,
    Hook,
    Jump,
    Reject,
    Return,
    Rule,
    Ruleset,
    Table,
    Verdict,
)
from compiler.net import Family

V4 = Family.IPV4
TCP_ONLY = IsProtocol(6)
SLOW = Rate(1, Per.DAY)
#: What may stand in some places alone -> (the rule's matches, effects and verdict; the tables; the hooks).
PLACES: dict[str, tuple[tuple[Match, ...], tuple[Effect, ...], Verdict, str, str]] = {
    "Drop": ((), (), Drop(), "raw mangle filter", "prerouting input forward output postrouting"),
    "Reject": ((), (), Reject(), "filter", "input forward output"),
    "Dnat": ((), (), Dnat(1), "nat", "prerouting output"),
    "Redirect": ((TCP_ONLY,), (), Redirect(80), "nat", "prerouting output"),
    "Snat": ((), (), Snat(1), "nat", "input postrouting"),
    "Masquerade": ((), (), Masquerade(), "nat", "postrouting"),
    "Return": ((), (), Return(), "raw mangle nat filter", "prerouting input forward output postrouting"),
    "Log": ((), (Log("x"),), Continue(), "raw mangle nat filter", "prerouting input forward output postrouting"),
    "SetMark": ((), (SetMark(1),), Continue(), "raw mangle nat", "prerouting input forward output postrouting"),
    "SetDscp": ((), (SetDscp(1),), Continue(), "mangle", "prerouting input forward output postrouting"),
    "Ttl": ((), (Ttl(Step.SET, 1),), Continue(), "mangle", "prerouting input forward output postrouting"),
    "SetMss": ((), (SetMss(1),), Continue(), "mangle", "prerouting input forward output postrouting"),
    "ClampMss": ((), (ClampMss(),), Continue(), "mangle", "forward output postrouting"),
    "NoTrack": ((), (NoTrack(),), Continue(), "raw", "prerouting output"),
    "Inbound": (
        (Inbound("a"),),
        (),
        Return(),
        "raw mangle nat filter",
        "prerouting input forward output postrouting",
    ),
    "Outbound": ((Outbound("a"),), (), Return(), "raw mangle nat filter", "forward output postrouting"),
    "NoWayBack": ((NoWayBack(),), (), Return(), "raw mangle", "prerouting"),
    "InState": (
        (InState((State.NEW,)),),
        (),
        Return(),
        "mangle nat filter",
        "prerouting input forward output postrouting",
    ),
    "Replies": ((Replies(),), (), Return(), "mangle nat filter", "prerouting input forward output postrouting"),
}
BASES = {
    Table.RAW: "prerouting output",
    Table.MANGLE: "prerouting input forward output postrouting",
    Table.NAT: "prerouting input output postrouting",
    Table.FILTER: "input forward output",
}


class TestPlaces:
    @pytest.mark.parametrize("name", PLACES)
    def test_tables_and_hooks(self, name: str) -> None:
        """In a base chain and in a chain behind it."""
        matches, effects, verdict, tables, hooks = PLACES[name]
        rule = Rule(matches, verdict, V4, effects=effects)
        for table in Table:
            for hook in Hook:
                if hook.value not in BASES[table].split():
                    continue
                here = Ruleset((Chain("base", (rule,), hook, table),))
                behind = Ruleset(
                    (Chain("base", (Rule((), Jump("more")),), hook, table), Chain("more", (rule,), None, table))
                )
                for found in (here, behind):
                    if table.value in tables.split() and hook.value in hooks.split():
                        check(found)
                    else:
                        with pytest.raises(AssertionError, match=f": {name} (in|at) "):
                            check(found)

    def test_tables_have_their_hooks(self) -> None:
        for table in Table:
            for hook in Hook:
                found = Ruleset((Chain("base", (), hook, table),))
                if hook.value in BASES[table].split():
                    check(found)
                else:
                    with pytest.raises(AssertionError, match="no such hook"):
                        check(found)

    def test_a_chain_that_nothing_reaches_is_of_a_table_all_the_same(self) -> None:
        check(Ruleset((Chain("alone", (Rule((), Masquerade()),), None, Table.NAT),)))
        with pytest.raises(AssertionError, match="Masquerade in filter"):
            check(Ruleset((Chain("alone", (Rule((), Masquerade()),)),)))


#: Rules of the nat, mangle and filter tables that are wrong in themselves.
WRONG: dict[str, tuple[Table, Hook, Rule, str]] = {
    "nothing to do": (Table.MANGLE, Hook.FORWARD, Rule((), Continue()), "does nothing"),
    "two protocols": (Table.FILTER, Hook.INPUT, Rule((ToPorts(6, 1, 1), IsProtocol(17)), Drop()), "two protocols"),
    "two protocols, ICMP": (
        Table.FILTER,
        Hook.INPUT,
        Rule((IcmpType(V4, 8), IsProtocol(58)), Drop(), V4),
        "two protocols",
    ),
    "two interfaces": (
        Table.FILTER,
        Hook.FORWARD,
        Rule((Inbound("a"), Outbound("b"), Inbound("c")), Drop()),
        "two interfaces in a rule",
    ),
    "a reset of UDP": (Table.FILTER, Hook.INPUT, Rule((IsProtocol(17),), Reject(Answer.TCP_RESET)), "a TCP reset"),
    "a reset of everything": (Table.FILTER, Hook.INPUT, Rule((), Reject(Answer.TCP_RESET)), "a TCP reset"),
    "an answer of the other family": (
        Table.FILTER,
        Hook.INPUT,
        Rule((), Reject(Answer.POLICY_FAIL), V4),
        "icmp-policy-fail is of the other family",
    ),
    "an answer of one family": (
        Table.FILTER,
        Hook.INPUT,
        Rule((), Reject(Answer.NET_PROHIBITED)),
        "icmp-net-prohibited is of the other family",
    ),
    "an MSS of UDP": (
        Table.MANGLE,
        Hook.FORWARD,
        Rule((IsProtocol(17),), Continue(), effects=(ClampMss(),)),
        "an MSS of other protocols",
    ),
    "a translation without family": (Table.NAT, Hook.PREROUTING, Rule((), Dnat(1)), "an address without family"),
    "an address too large": (Table.NAT, Hook.POSTROUTING, Rule((), Snat(1 << 32), V4), "no address of the family"),
    "a port without protocol": (Table.NAT, Hook.PREROUTING, Rule((), Dnat(1, 80), V4), "for protocols without"),
    "a port of UDP-Lite": (
        Table.NAT,
        Hook.PREROUTING,
        Rule((IsProtocol(136),), Redirect(80)),
        "for protocols without",
    ),
    "port 0": (Table.NAT, Hook.OUTPUT, Rule((TCP_ONLY,), Redirect(0)), "no port"),
    "a port too large": (Table.NAT, Hook.OUTPUT, Rule((TCP_ONLY,), Dnat(1, 65536), V4), "no port"),
    "hops without family": (Table.FILTER, Hook.INPUT, Rule((Hops(1, 2),), Drop()), "hops without family"),
    "a bit without family": (
        Table.FILTER,
        Hook.INPUT,
        Rule((HasBit(Field.SOURCE, 0),), Drop()),
        "a bit of an address without family",
    ),
    "a bit too far": (Table.FILTER, Hook.INPUT, Rule((HasBit(Field.SOURCE, 32),), Drop(), V4), "no such bit"),
    "a broadcast of both families": (
        Table.FILTER,
        Hook.INPUT,
        Rule((RoutedAs(Field.DESTINATION, RouteKind.BROADCAST),), Drop()),
        "is of the other family",
    ),
    "a local address in other words": (
        Table.FILTER,
        Hook.INPUT,
        Rule((RoutedAs(Field.SOURCE, RouteKind.LOCAL),), Drop()),
        "a match of its own",
    ),
    "a rule of a tool with a verdict": (
        Table.FILTER,
        Hook.INPUT,
        Rule((), Drop(), effects=(Native("nft", "accept", "x"),)),
        "with something beside it",
    ),
    "a rule of a tool with a match": (
        Table.FILTER,
        Hook.INPUT,
        Rule((TCP_ONLY,), Continue(), effects=(Native("nft", "accept", "x"),)),
        "with something beside it",
    ),
    "a rate that is not last": (
        Table.FILTER,
        Hook.INPUT,
        Rule((WithinRate(SLOW), TCP_ONLY), Drop()),
        "a match behind the rate",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_rule_that_is_wrong_in_itself(case: str) -> None:
    table, hook, rule, message = WRONG[case]
    with pytest.raises(AssertionError, match=re.escape(message)):
        check(Ruleset((Chain("base", (rule,), hook, table),)))


OUT_OF_BOUNDS: list[Match | Effect] = [
    ToPorts(1, 80, 80),
    ToPorts(6, 81, 80),
    ToPorts(6, 0, 65536),
    FromPorts(47, 1, 1),
    FromPorts(6, -1, 1),
    ToAnyPort(6, ((1, 2), (4, 3))),
    IsProtocol(0),
    IsProtocol(256),
    IcmpType(V4, 255),
    IcmpType(V4, 3, 256),
    HasMark(2, 1),
    HasMark(1 << 32, 1 << 32),
    SetMark(0x100, 0xFF),
    InState(()),
    InState((State.NEW, State.NEW)),
    Hops(3, 2),
    Hops(0, 256),
    SetDscp(64),
    Ttl(Step.DECREASE, 0),
    Ttl(Step.SET, 256),
    SetMss(0),
    WithinRate(Rate(0, Per.DAY)),
    OneIn(0),
    WithinRate(Rate(1, Per.DAY, 0)),
    Log("x", 65536),
    Log("x", 1, Rate(1, Per.DAY, 0)),
]


@pytest.mark.parametrize("part", OUT_OF_BOUNDS, ids=repr)
def test_numbers_out_of_bounds(part: Match | Effect) -> None:
    rule = Rule((), Continue(), V4, effects=(part,)) if isinstance(part, Effect) else Rule((part,), Drop(), V4)
    with pytest.raises(AssertionError, match="is out of bounds"):
        check(Ruleset((Chain("base", (rule,), Hook.FORWARD, Table.MANGLE),)))


def test_tables_keep_to_themselves() -> None:
    other = Chain("other", (Rule((), Return()),), None, Table.RAW)
    with pytest.raises(AssertionError, match="base: other is of another table"):
        check(Ruleset((Chain("base", (Rule((), Jump("other")),), Hook.FORWARD, Table.MANGLE), other)))


def test_one_base_chain_a_table_and_hook() -> None:
    one, two = (Chain(name, (), Hook.FORWARD, Table.MANGLE) for name in ("one", "two"))
    with pytest.raises(AssertionError, match="share a table and a hook"):
        check(Ruleset((one, two)))
    check(Ruleset((one, replace(two, table=Table.FILTER), replace(one, name="three", hook=Hook.INPUT))))
