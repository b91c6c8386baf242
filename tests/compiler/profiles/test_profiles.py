"""Profiles: differences of counters that grow, noticed resets, decay by age; and netpolc's own format."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.errors import Collector, InvalidInput
from compiler.profiles.profile_text import TOOLS, read, written
from compiler.profiles.profiles import Count, Key, OutOfOrder, Profile, numbered, smoothed
from grammar.source import Source

A, B, OTHER = Key("filter", "IN", "-j A"), Key("filter", "IN", "-j B"), Key("filter", "OUT", "-j A")
DAY = 86_400


def profile(packets: dict[Key, int], time: int | None = None) -> Profile:
    return Profile(f"at {time}", "iptables", {key: Count(many, 60 * many) for key, many in packets.items()}, time)


def test_one_is_taken_as_it_is() -> None:
    assert smoothed([profile({A: 3, B: 0})], DAY) == {A: 3, B: 0}


def test_counters_that_grow_are_subtracted() -> None:
    """However much there was before the first."""
    found = smoothed([profile({A: 10**9, B: 5}), profile({A: 10**9 + 1, B: 25})], DAY)
    assert found == {A: 1, B: 20}


def test_a_reset_is_of_the_whole_chain() -> None:
    """B has more than before, and yet all of that is new."""
    found = smoothed([profile({A: 100, B: 5, OTHER: 5}), profile({A: 7, B: 9, OTHER: 9})], DAY)
    assert found == {A: 7, B: 9, OTHER: 4}


def test_by_order_each_counts_half_of_the_next() -> None:
    found = smoothed([profile({A: 0}), profile({A: 8}), profile({A: 12}), profile({A: 13})], DAY)
    assert found == {A: Fraction(8, 4) + Fraction(4, 2) + 1}


def test_by_age() -> None:
    found = smoothed([profile({A: 0}, 0), profile({A: 8}, DAY), profile({A: 12}, 3 * DAY)], DAY)
    assert found == {A: Fraction(8, 4) + 4}
    found = smoothed([profile({A: 0}, 0), profile({A: 8}, DAY), profile({A: 12}, 3 * DAY)], 2 * DAY)
    assert found == {A: Fraction(8, 2) + 4}


def test_one_without_time_is_enough_to_go_by_order() -> None:
    found = smoothed([profile({A: 0}, 0), profile({A: 8}), profile({A: 12}, 3 * DAY)], DAY)
    assert found == {A: Fraction(8, 2) + 4}


def test_what_is_very_old_counts_nothing() -> None:
    found = smoothed([profile({A: 0, B: 0}, 0), profile({A: 8, B: 0}, 1), profile({A: 8, B: 1}, 10**9)], DAY)
    assert found == {A: 0, B: 1}


def test_nothing_since_then_leaves_what_there_was() -> None:
    assert smoothed([profile({A: 3, B: 4}), profile({A: 3, B: 4})], DAY) == {A: 3, B: 4}


def test_a_rule_that_was_away_counts_what_it_counted() -> None:
    found = smoothed([profile({A: 5, B: 5}), profile({A: 6}), profile({A: 6, B: 9})], DAY)
    assert found == {A: Fraction(1, 2), B: 4}


def test_the_oldest_comes_first() -> None:
    with pytest.raises(OutOfOrder, match="at 4 is older than at 5: the oldest profile comes first"):
        smoothed([profile({A: 0}, 5), profile({A: 1}, 4)], DAY)


@given(st.lists(st.lists(st.integers(0, 99), min_size=3, max_size=3), min_size=2, max_size=6))
def test_as_the_formula_says(rows: list[list[int]]) -> None:
    keys = (A, B, OTHER)
    found = smoothed([profile(dict(zip(keys, row, strict=True))) for row in rows], DAY)
    wanted = dict.fromkeys(keys, Fraction(0))
    for n, (before, now) in enumerate(pairwise(rows), 2):
        for chain in ((0, 1), (2,)):
            reset = any(now[one] < before[one] for one in chain)
            for one in chain:
                wanted[keys[one]] += Fraction(now[one] - (0 if reset else before[one]), 2 ** (len(rows) - n))
    assert found == (wanted if any(wanted.values()) else dict(zip(keys, rows[-1], strict=True)))


def test_rules_of_the_same_words_are_numbered() -> None:
    rules = [("filter", "IN", "-j A"), ("filter", "IN", "-j B"), ("filter", "IN", "-j A"), ("filter", "OUT", "-j A")]
    assert list(numbered(rules)) == [A, B, A._replace(number=1), OTHER]


def parsed(text: str) -> tuple[Profile, ...]:
    problems = Collector()
    found = read(Source("p.json", text), problems.add)
    problems.check()
    return found


counted = st.builds(Count, st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
rule_words = st.sampled_from(["-j DROP", '--comment "a b\\"" -j ACCEPT -m comment', "-d 10.0.0.0/8 -g ünter"])


lists = st.lists(st.tuples(st.sampled_from("ab"), rule_words, counted), min_size=1)


@given(st.dictionaries(st.sampled_from(TOOLS), lists, min_size=1), st.sampled_from([None, "2026-02-28T23:59:59Z"]))
def test_what_is_written_is_read(tools: dict[str, list[tuple[str, str, Count]]], time: str | None) -> None:
    seconds = None if time is None else 1772323199
    profiles = []
    for tool, rules in tools.items():
        rules.sort(key=lambda rule: rule[0])
        keys = numbered(("filter", chain, words if tool != "nft" else "drop") for chain, words, _ in rules)
        profiles.append(Profile("p.json", tool, dict(zip(keys, (rule[2] for rule in rules), strict=True)), seconds))
    assert parsed(written(profiles, time)) == tuple(profiles)


GOOD = '{"profile": 1, "chains": [{"tool": "nft", "table": "inet t", "chain": "c", "rules": []}]}'
FLAWS = {
    "": "p.json:1:1: error: one profile is expected",
    "{} {}": "p.json:1:4: error: one profile is expected",
    "[1]": "p.json:1:1: error: an object with profile, time, chains is expected",
    '{"profile": 1, "chains": [': "p.json:1:27: error: expecting a value",
    '{"profile": 1}': "p.json:1:1: error: chains is missing",
    GOOD.replace("1", "2", 1): "p.json:1:13: error: version 1 of the format is expected",
    GOOD.replace('"nft"', '"ebtables"'): "p.json:1:36: error: one of iptables, ip6tables, nft is expected",
    GOOD.replace('"c"', "5"): "p.json:1:71: error: a string is expected",
    GOOD.replace("[]", "{}"): "p.json:1:85: error: a list is expected",
    GOOD.replace('"profile"', '"odd": 1, "profile"'): "p.json:1:2: error: odd is not known here",
    GOOD.replace('"chains"', '"time": "2026-13-01T00:00:00Z", "chains"'): "p.json:1:24: error: a time like",
    GOOD.replace("[]", '[{"rule": "drop", "packets": -1, "bytes": 0}]'): "p.json:1:114: error: a whole number",
    GOOD.replace("[]", '[{"rule": "drop", "packets": true, "bytes": 0}]'): "p.json:1:114: error: a whole number",
    GOOD.replace("[]", '[{"rule": "drop", "packets": 1.5, "bytes": 0}]'): "p.json:1:114: error: a whole number",
    GOOD.replace("nft", "iptables").replace("[]", '[{"rule": "-j \\"", "packets": 1, "bytes": 0}]'):
        "error: no rule of iptables: the quote is not closed",
    GOOD.replace('"profile": 1', '"profile": 1, "profile": 1'): "p.json:1:16: error: \"profile\" is set twice",
}  # fmt: skip


@pytest.mark.parametrize("text", FLAWS)
def test_what_is_wrong_has_a_place(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parsed(text)
    assert FLAWS[text] in caught.value.render()


def test_all_that_is_wrong_is_told() -> None:
    with pytest.raises(InvalidInput) as caught:
        parsed('{"profile": 3, "time": 7, "chains": [{"tool": "x", "chain": 1, "rules": [{}]}]}')
    assert len(caught.value.diagnostics) == 8
