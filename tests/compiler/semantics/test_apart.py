"""A row of rules that compares addresses bit by bit is one test, if nothing of it is missing or more than that."""

from __future__ import annotations

from itertools import product

import pytest

from compiler.semantics.proof.apart import Way, choice, every_way, seen
from compiler.semantics.rules.netfilter import Opaque, Rule, Ruleset
from compiler.semantics.rules.reads_iptables import read
from grammar.source import Source


def row() -> list[str]:
    lines = []
    for bit, (one, two) in product(range(32), ((1, 0), (0, 1))):
        mask = ".".join(str(1 << bit >> shift & 255) for shift in (24, 16, 8, 0))
        ends = [mask if value else "0.0.0.0" for value in (one, two)]
        lines.append(f"-A deny -s {ends[0]}/{mask} -d {ends[1]}/{mask} -j DROP")
    return lines


def shown(lines: list[str], version: int = 4) -> tuple[tuple[Rule, ...], dict[str, frozenset[Way]]]:
    text = "\n".join(["*filter", ":FORWARD ACCEPT [0:0]", ":deny - [0:0]", *lines, "COMMIT", ""])
    ruleset, tests = seen(Ruleset(tuple(read(Source("a.save", text), 4, {}))), version)
    return ruleset.tables[0].chains["deny"].rules, tests


def rules(lines: list[str], version: int = 4) -> tuple[Rule, ...]:
    return shown(lines, version)[0]


def is_one_test(found: Rule) -> bool:
    return Opaque("the addresses differ") in found.parts


@pytest.mark.parametrize("turn", [0, 7, -1])
def test_in_whatever_order(turn: int) -> None:
    lines = ["-A deny -p tcp -j RETURN", *row()[turn:], *row()[:turn], "-A deny -j RETURN"]
    assert [is_one_test(found) for found in rules(lines)] == [False, True, False]


def test_twice_is_once() -> None:
    assert len(rules([*row(), row()[5]])) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-j DROP", ""),
        ("-j DROP", "-j RETURN"),
        ("-s 0.0.0.1/0.0.0.1", "-s 0.0.0.2/0.0.0.2"),
        ("-s 0.0.0.1/0.0.0.1", "-s 0.0.0.0/0.0.0.1"),
        ("-s 0.0.0.1/0.0.0.1", ""),
        ("-s 0.0.0.1/0.0.0.1", "! -s 0.0.0.1/0.0.0.1"),
        ("-s 0.0.0.1/0.0.0.1", "-s 0.0.0.1/0.0.0.3"),
        ("-d 0.0.0.0/0.0.0.1", "-d 0.0.0.0/0.0.0.1 -p tcp"),
    ],
)
def test_one_rule_that_is_another(old: str, new: str) -> None:
    lines = row()
    lines[0] = lines[0].replace(old, new, 1)
    assert not any(map(is_one_test, rules(lines)))


def test_one_bit_is_missing() -> None:
    for gone in (0, 1, 30, 63):
        assert not any(map(is_one_test, rules(row()[:gone] + row()[gone + 1 :])))


def test_something_between_two_of_them() -> None:
    assert not any(map(is_one_test, rules([*row()[:9], "-A deny -p udp -j RETURN", *row()[9:]])))


def test_of_the_other_family() -> None:
    assert not any(map(is_one_test, rules(row(), 6)))


def test_a_row_that_is_not_complete_is_a_test_of_what_it_has() -> None:
    found, tests = shown([*row()[:9], *row()[10:]])
    assert len(found) == 1
    assert tests == {"the addresses differ in more than bit 4 (0, 1)": every_way(4) - {(4, 0, 1)}}
    assert shown(row()[:2])[1] == {
        "the addresses differ in bit 0 (1, 0)": {(0, 1, 0)},
        "the addresses differ in bit 0 (0, 1)": {(0, 0, 1)},
    }


def test_addresses_that_answer_tests() -> None:
    """Levels 1 and 2 are tests, 1 of all ways but one, 2 of all."""
    tests = {1: every_way(4) - {(4, 0, 1)}, 2: every_way(4)}
    no, yes = (0, 0), (1, 1)
    assert choice(tests, {}, 4) is None
    assert choice(tests, {2: yes}, 4) is None
    assert choice(tests, {1: no}, 4) == frozenset({(4, 0, 1)})
    assert choice(tests, {1: no, 2: yes}, 4) == frozenset({(4, 0, 1)})
    assert choice(tests, {1: no, 2: no}, 4) == frozenset()
    assert choice(tests, {1: yes}, 4) == frozenset({(0, 0, 1)})
