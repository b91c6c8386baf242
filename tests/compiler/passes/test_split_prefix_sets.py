"""Prefix sets become hashes and exceptions; every address is in them as before, and once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.target import CAPABILITIES, Backend
from compiler.ir.check import check
from compiler.ir.effects import Log, SetMark
from compiler.ir.match import Field, HasMark, InNets, InPrefix, InSet, Per, Rate
from compiler.ir.ruleset import Chain, Continue, Drop, Hook, Jump, PrefixSet, Rule, Ruleset, Table
from compiler.net import Family, Prefix, mask, parse_prefix
from compiler.passes.split_effects import split_effects
from compiler.passes.split_prefix_sets import split_prefix_sets
from tests.compiler.ir_walk import Seen, Walker

V4, V6 = Family.IPV4, Family.IPV6
NFTABLES = CAPABILITIES[Backend.NFTABLES]
SOURCE, DESTINATION = Field.SOURCE, Field.DESTINATION


def prefixes(*texts: str, name: str = "some") -> PrefixSet:
    """`!` in front of exceptions."""
    elements = sorted((parse_prefix(text.removeprefix("!")), not text.startswith("!")) for text in texts)
    return PrefixSet(name, elements[0][0].family if elements else V4, tuple(elements), ("a note",))


def split(*found: PrefixSet, rule: Rule | None = None) -> Ruleset:
    rule = rule or Rule((InSet((SOURCE,), "some"),), Drop(), found[0].family)
    before = Ruleset((Chain("forward", (rule,), Hook.FORWARD, Table.MANGLE),), found)
    check(before)
    after = split_prefix_sets(before, NFTABLES)
    check(after)
    return after


def matches(ruleset: Ruleset) -> list[object]:
    return [rule.matches for rule in ruleset.chains[0].rules if isinstance(rule, Rule)]


@st.composite
def prefix_sets(draw: st.DrawFn, name: str) -> PrefixSet:
    """Of 64 addresses."""
    family = V6 if name.endswith("6") else V4
    base = 0xFD << family.bits - 8
    lengths = st.integers(family.bits - 6, family.bits)
    prefix = st.builds(
        lambda offset, length: Prefix(family.value, base + offset & mask(family, length), length),
        st.integers(0, 63),
        lengths,
    )
    return PrefixSet(name, family, tuple(sorted(draw(st.dictionaries(prefix, st.booleans(), max_size=14)).items())))


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["4", "6"]).flatmap(lambda n: st.tuples(prefix_sets(f"one{n}"), prefix_sets(f"two{n}"))))
def test_every_address_is_where_it_was(found: tuple[PrefixSet, PrefixSet]) -> None:
    """One question and two in a rule: the effect shows how often it matched."""
    one, two = found
    family, log = one.family, Log("x")
    rules = (
        Rule((InSet((SOURCE,), one.name),), Continue(), family, effects=(log,)),
        Rule((InSet((SOURCE,), one.name), HasMark(0), InSet((DESTINATION,), two.name)), Drop(), family, effects=(log,)),
        Rule((InSet((DESTINATION,), one.name),), Continue(), family, effects=(SetMark(1),)),
    )
    before = Ruleset((Chain("forward", rules, Hook.FORWARD, Table.MANGLE),), found)
    check(before)
    after = split_prefix_sets(before, NFTABLES)
    check(after)
    assert not any(isinstance(one, PrefixSet) for one in after.sets)
    walkers = Walker(before), Walker(after)
    base = 0xFD << family.bits - 8
    for offset in (*range(64), 64, 200):
        for other in (0, 31, offset):
            packet = Seen(family, base + offset, base + other, 6)
            expected, got = (walker.walk(packet) for walker in walkers)
            assert (got.accepted, got.effects, got.packet) == (expected.accepted, expected.effects, expected.packet)


class TestRules:
    def test_one_for_each_length(self) -> None:
        found = split(prefixes("10.0.0.0/24", "10.0.1.0/24", "10.9.0.0/16", "10.8.0.1/32"))
        assert matches(found) == [
            (InPrefix(SOURCE, parse_prefix("10.8.0.1/32")),),
            (InNets(SOURCE, 24, "some-24"),),
            (InPrefix(SOURCE, parse_prefix("10.9.0.0/16")),),
        ]
        assert [(one.name, len(one.elements), one.notes) for one in found.sets] == [("some-24", 2, ("a note",))]

    def test_an_exception_is_one_more_question(self) -> None:
        found = split(prefixes("10.0.0.0/24", "10.0.1.0/24", "!10.0.0.7/32", "!10.0.1.16/28", "10.9.0.0/16"))
        assert matches(found) == [
            (
                InNets(SOURCE, 24, "some-24"),
                InNets(SOURCE, 28, "some-x28", negated=True),
                InNets(SOURCE, 32, "some-x32", negated=True),
            ),
            (InPrefix(SOURCE, parse_prefix("10.9.0.0/16")),),
        ]

    def test_what_says_nothing_new_is_left_out(self) -> None:
        found = split(prefixes("10.0.0.0/8", "10.1.0.0/16", "!11.0.0.0/8", "!10.2.0.0/16", "!10.2.3.0/24"))
        ten = InPrefix(SOURCE, parse_prefix("10.0.0.0/8"))
        assert matches(found) == [(ten, InNets(SOURCE, 16, "some-x16", negated=True))]

    def test_everything(self) -> None:
        """It asks for its family alone, and that the back end says."""
        assert matches(split(prefixes("::/0", "!fd00::/8"))) == [(InNets(SOURCE, 8, "some-x8", negated=True),)]
        assert matches(split(prefixes("0.0.0.0/0"))) == [()]

    def test_an_empty_set_holds_nobody(self) -> None:
        assert matches(split(prefixes())) == []
        assert matches(split(prefixes("!10.0.0.0/8"))) == []

    def test_two_sets_multiply(self) -> None:
        both = (InSet((SOURCE,), "some"), InSet((DESTINATION,), "more"))
        one, two = prefixes("10.0.0.0/8", "11.0.0.0/16"), prefixes("12.0.0.0/8", "13.0.0.0/16", name="more")
        assert len(matches(split(one, two, rule=Rule(both, Drop(), V4)))) == 4


def test_a_limit_stays_one() -> None:
    log = Log("x", 1, Rate(1, Per.DAY))
    rule = Rule((InSet((SOURCE,), "some"),), Continue(), V4, effects=(log,))
    ruleset = Ruleset((Chain("forward", (rule,), Hook.FORWARD),), (prefixes("10.0.0.0/8", "11.0.0.0/16"),))
    first, added = split_prefix_sets(split_effects(ruleset, NFTABLES), NFTABLES).chains
    assert [one.verdict for one in first.rules if isinstance(one, Rule)] == [Jump(added.name)] * 2
    assert added.rules == (replace(rule, matches=()),)


@pytest.mark.parametrize("backend", list(Backend))
def test_unchanged(backend: Backend) -> None:
    rule = Rule((InSet((SOURCE,), "some"),), Drop(), V4)
    ruleset = Ruleset((Chain("forward", (rule,), Hook.FORWARD),), (prefixes("10.0.0.0/8"),))
    same = split_prefix_sets(ruleset, CAPABILITIES[backend]) is ruleset
    assert same is (backend is Backend.IPTABLES)
