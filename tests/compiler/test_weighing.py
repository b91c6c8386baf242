"""Counters of compiled rules come back to the rules of the IR, and the order in which they are loaded with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.backends import iptables
from compiler.backends.target import Backend
from compiler.ir.match import InPrefix, ToPorts
from compiler.ir.ruleset import Chain, Drop, Goto, Hook, Return, Rule, Ruleset
from compiler.net import Family, parse_prefix
from compiler.passes.split_families import split_families
from compiler.profiles.profiles import Count, Key, Profile
from compiler.profiles.words import of_iptables_text
from compiler.weighing import weighed
from tests.compiler.backends.small import DESTINATION

V4, V6 = Family.IPV4, Family.IPV6


def host(address: str) -> Rule:
    prefix = parse_prefix(address)
    return Rule((InPrefix(DESTINATION, prefix),), Drop(), prefix.family)


def port(number: int) -> Rule:
    """Of both families."""
    return Rule((ToPorts(6, number, number),), Return())


RULES = (host("10.0.0.1/32"), port(80), host("fd00::1/128"), host("10.0.0.2/32"), host("fd00::2/128"), port(81))
BASE = Chain("forward", (Rule((), Goto("list")),), Hook.FORWARD)


def ruleset(*rules: Rule) -> Ruleset:
    return Ruleset((BASE, Chain("list", rules)))


def profiles(found: Ruleset, *packets: int) -> list[Profile]:
    """Of both families, as if this was loaded; packets of each rule of the list."""
    made: dict[str, dict[Key, Count]] = {"iptables": {}, "ip6tables": {}}
    for one in iptables.rules(found):
        many = packets[one.at[1]] if one.at[0] == 1 else 0
        made[one.tool][Key(one.table, one.chain, of_iptables_text(one.text))] = Count(many, 0)
    return [Profile("dump", tool, counts) for tool, counts in made.items()]


def test_families_are_counted_apart() -> None:
    four, six = profiles(ruleset(*RULES), 1, 2, 3, 4, 5, 6)
    counts = {key: Count(10 * count.packets, 0) for key, count in six.counts.items()}
    found = weighed(split_families(ruleset(*RULES)), Backend.IPTABLES, [four, replace(six, counts=counts)], 1)
    rules = found.ruleset.chain("list").rules
    assert [rule.weight for rule in rules] == [1, 2, 4, 6, 20, 30, 50, 60]
    assert [rule.family for rule in rules] == [V4] * 4 + [V6] * 4
    assert (found.rules, found.found, found.strange) == (10, 10, 0)
    assert found.loaded["list"] == tuple(range(8))


@pytest.mark.parametrize("order", [(5, 4, 3, 2, 1, 0), (2, 1, 4, 5, 0, 3), (0, 3, 2, 4, 1, 5), (1, 5, 0, 2, 3, 4)])
def test_the_order_of_each_family_is_told(order: tuple[int, ...]) -> None:
    dumped = ruleset(*(RULES[n] for n in order))
    apart = split_families(ruleset(*RULES))
    found = weighed(apart, Backend.IPTABLES, profiles(dumped, *range(6)), 1).loaded["list"]
    rules = [replace(apart.chain("list").rules[n], weight=None) for n in found]
    assert rules == [replace(RULES[n], family=of) for of in (V4, V6) for n in order if RULES[n].family in (None, of)]


def test_new_rules_stand_where_they_are_and_old_ones_are_told() -> None:
    dumped = ruleset(RULES[3], RULES[0], host("10.0.0.9/32"))
    found = weighed(split_families(ruleset(*RULES[:4])), Backend.IPTABLES, profiles(dumped, 5, 6, 70), 1)
    assert found.loaded["list"] == (2, 1, 0, 3, 4)
    assert [rule.weight for rule in found.ruleset.chain("list").rules] == [6, None, 5, None, None]
    assert found.strange == 1
    assert found.lost == 70


def test_rules_of_others_are_no_strangers() -> None:
    dump = profiles(ruleset(*RULES), 1, 2, 3, 4, 5, 6)[0]
    counts = {**dump.counts, Key("filter", "DOCKER", "-j RETURN"): Count(9, 0)}
    found = weighed(ruleset(*RULES), Backend.IPTABLES, [replace(dump, counts=counts)], 1)
    assert (found.strange, found.rules) == (0, 5)
