"""The order pass: what it moves, what it leaves, what it counts as the end of a packet's way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest

from compiler.ir.check import check
from compiler.ir.effects import Log, Native, SetMark
from compiler.ir.match import Field, HasMark, InPrefix, InSet, InState, Match, Replies, State, ToAnyPort, ToPorts
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
    Return,
    Rule,
    Ruleset,
    Set,
    Table,
    Verdict,
)
from compiler.net import Family, parse_address, parse_prefix
from compiler.ordering.prices import Tool
from compiler.passes.order import ChainOrder, in_order
from compiler.passes.split_families import split_families

V4 = Family.IPV4
DENY = Chain("deny", (Rule((), Drop(), weight=90), Rule((), Return(), weight=10)))


def to(text: str) -> Match:
    return InPrefix(Field.DESTINATION, parse_prefix(text))


def rule(weight: float | None, *matches: Match, verdict: Verdict | None = None, family: Family | None = V4) -> Rule:
    return Rule(matches, verdict or Return(), family, weight=weight)


def ordered(
    *rules: Rule | Lookup,
    more: tuple[Chain, ...] = (),
    sets: tuple[Set, ...] = (),
    maps: tuple[PrefixMap, ...] = (),
    loaded: Sequence[int] | None = None,
    threshold: Fraction = Fraction(0),
    table: Table = Table.FILTER,
) -> tuple[list[int], tuple[ChainOrder, ...]]:
    """The rules of a list in their new order, by their places."""
    base = Chain("forward", (Rule((), Goto("list")),), Hook.FORWARD, table)
    ruleset = Ruleset((base, Chain("list", rules, table=table), *more), sets, maps)
    check(ruleset)
    now = {"list": range(len(rules)) if loaded is None else loaded}
    new, told = in_order(ruleset, Tool.NFTABLES, threshold, now)
    check(new)
    assert new.chains[0] == base
    assert [chain.name for chain in new.chains] == [chain.name for chain in ruleset.chains]
    return [rules.index(one) for one in new.chain("list").rules], told


A, B, C = to("10.0.0.1/32"), to("10.0.0.2/32"), to("10.0.0.0/24")


def test_what_matches_often_comes_first() -> None:
    row, (told,) = ordered(rule(1, A), rule(9, B), rule(5, to("10.0.0.3/32")))
    assert row == [1, 2, 0]
    assert told.ordering.optimal
    assert list(map(int, told.weights)) == [1, 9, 5]


def test_what_overlaps_keeps_its_order() -> None:
    """With the same verdict, too."""
    assert ordered(rule(1, A), rule(2, B), rule(99, C))[0] == [1, 0, 2]
    assert ordered(rule(1, A), rule(9, ToPorts(6, 80, 80), family=None))[0] == [0, 1]
    assert ordered(rule(1, ToPorts(6, 80, 90), family=None), rule(9, ToPorts(6, 90, 99), family=None))[0] == [0, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ToPorts(6, 80, 80), ToPorts(17, 80, 80)),
        (InState((State.NEW,)), Replies()),
        (to("10.0.0.0/25"), to("10.0.0.128/25")),
        (InSet((Field.DESTINATION,), "low"), InSet((Field.DESTINATION,), "high")),
    ],
)
def test_what_is_apart_moves(one: Match, other: Match) -> None:
    def hosts(name: str, *addresses: str) -> Set:
        return Set(name, V4, (Field.SOURCE,), tuple((parse_address(text)[1],) for text in addresses))

    sets = hosts("low", "10.0.0.1", "10.0.0.7"), hosts("high", "10.0.0.8", "10.0.0.9")
    assert ordered(rule(1, one), rule(9, other), sets=sets)[0] == [1, 0]
    assert ordered(rule(1, one), rule(9, one, other) if one == other else rule(9, one), sets=sets)[0] == [0, 1]


def test_nobody_knows_what_is_in_sets_that_are_filled_by_hand() -> None:
    by_hand = Set("hand", V4, (Field.DESTINATION,), (), by_hand=True)
    assert ordered(rule(1, InSet((Field.DESTINATION,), "hand")), rule(9, A), sets=(by_hand,))[0] == [0, 1]


def test_families_are_apart() -> None:
    six = rule(9, to("fd00::1/128"), family=Family.IPV6)
    assert ordered(rule(1, A), six)[0] == [1, 0]


def test_marks_that_rules_set_keep_order() -> None:
    """The second one asks what the first one does."""
    sets = Rule((HasMark(0, 1),), Continue(), V4, weight=0, effects=(SetMark(1, 1),))
    assert ordered(sets, rule(9, HasMark(1, 1)), table=Table.MANGLE)[0] == [0, 1]


def test_nothing_passes_a_rule_of_one_tool() -> None:
    native = Rule((), Continue(), weight=0, effects=(Native("nft", "ip saddr set 10.0.0.9", "mine"),))
    assert ordered(rule(1, A), native, rule(9, B))[0] == [0, 1, 2]
    own = Chain("own", (native,))
    assert ordered(rule(1, A), rule(0, A, verdict=Jump("own")), rule(9, B), more=(own,))[0] == [0, 1, 2]
    # What never comes back is met by nobody behind it.
    assert ordered(rule(1, A), rule(0, A, verdict=Goto("own")), rule(9, B), more=(own,))[0] == [2, 0, 1]


def test_a_jump_weighs_what_does_not_come_back() -> None:
    row, told = ordered(rule(100, A, verdict=Jump("deny")), rule(89, B), more=(DENY,))
    assert row == [0, 1]
    assert list(map(int, told[0].weights)) == [90, 89]
    assert ordered(rule(100, A, verdict=Jump("deny")), rule(91, B), more=(DENY,))[0] == [1, 0]
    logs = Rule((A,), Continue(), V4, weight=100, effects=(Log("here"),))
    assert ordered(logs, rule(1, B))[0] == [1, 0]


def test_lookups_stay_where_their_map_reaches() -> None:
    found = PrefixMap("m", V4, ((parse_prefix("10.0.0.1/32"), Return()), (parse_prefix("10.0.0.3/32"), Return())))
    lookup = Lookup(Field.DESTINATION, "m", V4)
    assert ordered(lookup, rule(9, to("10.0.0.2/31")), rule(5, B), maps=(found,))[0] == [0, 1, 2]
    assert ordered(lookup, rule(9, to("10.0.0.2/31")), rule(5, to("10.0.0.9/32")), maps=(found,))[0] == [2, 0, 1]
    assert ordered(lookup, rule(9, B), maps=(found,))[0] == [1, 0]


def test_what_lies_between_the_ports_of_a_list_is_apart() -> None:
    lists = rule(1, ToAnyPort(6, ((22, 22), (8443, 8443))), family=None)
    between, one = rule(9, ToPorts(6, 80, 80), family=None), rule(9, ToPorts(6, 22, 22), family=None)
    assert ordered(lists, between)[0] == [1, 0]
    assert ordered(lists, one)[0] == [0, 1]
    assert ordered(lists, between, loaded=(1, 0), threshold=Fraction(99, 100))[0] == [1, 0]
    assert ordered(lists, one, loaded=(1, 0), threshold=Fraction(99, 100))[0] == [0, 1]


def test_without_weights_nothing_moves() -> None:
    assert ordered(rule(None, A), rule(None, B)) == ([0, 1], ())
    assert ordered(rule(0, A), rule(0, B)) == ([0, 1], ())


def test_what_is_loaded_stays_unless_it_costs_more() -> None:
    rules = rule(10, A), rule(11, B), rule(12, to("10.0.0.3/32"))
    assert ordered(*rules)[0] == [2, 1, 0]
    assert ordered(*rules, loaded=(1, 0, 2), threshold=Fraction(1, 10))[0] == [1, 0, 2]
    assert ordered(*rules, loaded=(1, 0, 2), threshold=Fraction(1, 100))[0] == [2, 1, 0]


def test_a_loaded_order_that_means_something_else_is_not_kept() -> None:
    assert ordered(rule(1, A), rule(1, C), loaded=(1, 0))[0] == [0, 1]


def test_base_chains_of_filter_are_the_layouts() -> None:
    rules = (Rule((InState((State.NEW,)),), Drop(), weight=1), Rule((Replies(),), Accept(), weight=9))
    for table, moves in ((Table.FILTER, False), (Table.MANGLE, True)):
        ruleset = Ruleset((Chain("base", rules, Hook.FORWARD, table),))
        new, _ = in_order(ruleset, Tool.NFTABLES, Fraction(0), {})
        assert (new.chains[0].rules == rules[::-1]) == moves


def test_families_are_ordered_apart_where_they_are_asked_apart() -> None:
    """What is seldom in one may be frequent in the other; each order is the best of its family."""
    ports = [Rule((ToPorts(6, number, number),), Return()) for number in (80, 81, 82)]
    base = Chain("forward", (Rule((), Goto("list")),), Hook.FORWARD)
    apart = split_families(Ruleset((base, Chain("list", tuple(ports)))))
    assert apart.chains[0] == base
    weights = (1, 5, 9, 9, 1, 5)
    counted = [replace(one, weight=many) for one, many in zip(apart.chain("list").rules, weights, strict=True)]
    ruleset = replace(apart, chains=(base, Chain("list", tuple(counted))))
    new, told = in_order(ruleset, Tool.IPTABLES_LEGACY, Fraction(0), {"list": range(6)})
    assert [rule.weight for rule in new.chain("list").rules] == [9, 5, 1, 9, 5, 1]
    assert [chain.ordering.optimal for chain in told] == [True, True]
    assert [chain.ordering.row for chain in told] == [(2, 1, 0), (0, 2, 1)]
