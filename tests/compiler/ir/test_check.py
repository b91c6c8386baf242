"""A malformed ruleset of every kind is found, and every well-formed one passes."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import permutations

import pytest

from compiler.ir.check import check, targets
from compiler.ir.effects import SetMark
from compiler.ir.match import Field, InPrefix, InSet, NeighbourDiscovery, Replies, ToPorts
from compiler.ir.nat import Dnat, Masquerade
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
from compiler.net import Family, Prefix, parse_prefix

V4, V6 = Family.IPV4, Family.IPV6
SOURCE, DESTINATION, PROTOCOL, PORT = Field
TEN, ELEVEN = parse_prefix("10.0.0.0/8"), parse_prefix("11.0.0.0/8")

GOOD = Ruleset(
    chains=(
        Chain(
            "forward",
            (
                Rule((Replies(),), Accept()),
                Rule((InSet((SOURCE, DESTINATION), "pairs"),), Accept(), V4),
                Rule((InSet((PROTOCOL, PORT), "ports"),), Accept()),
                Rule((InSet((DESTINATION,), "blocks"),), Jump("one"), V4),
                Lookup(SOURCE, "map", V4),
            ),
            Hook.FORWARD,
        ),
        Chain("one", (Rule((InPrefix(SOURCE, TEN), ToPorts(6, 80, 80)), Goto("two"), V4), Rule((), Return()))),
        Chain("two", (Rule((), Goto("end")),)),
        Chain("end", (Rule((), Drop()),)),
        Chain("four", (Rule((InPrefix(SOURCE, TEN),), Goto("end")),), family=V4),
    ),
    sets=(
        Set("pairs", V4, (SOURCE, DESTINATION), ((1, 2), (1, 3))),
        Set("ports", None, (PROTOCOL, PORT), ((6, 80),)),
        Set("named", V6, (DESTINATION, PROTOCOL, PORT), ((1, 6, 80),)),
        PrefixSet("blocks", V4, ((TEN, True), (ELEVEN, False))),
    ),
    maps=(PrefixMap("map", V4, ((TEN, Jump("one")), (ELEVEN, Goto("two")))),),
)


def chains(*added: Chain) -> Ruleset:
    return replace(GOOD, chains=(*GOOD.chains, *added))


def rules(*added: Rule | Lookup) -> Ruleset:
    """The good ruleset with a chain of these rules beside."""
    return chains(Chain("added", added))


def sets(*added: Set | PrefixSet) -> Ruleset:
    return replace(GOOD, sets=(*GOOD.sets, *added))


def maps(*added: PrefixMap) -> Ruleset:
    return replace(GOOD, maps=(*GOOD.maps, *added))


def test_a_well_formed_ruleset_passes() -> None:
    check(GOOD)
    check(Ruleset(()))


_TO_FOUR, _OF_FOUR = Jump("four"), InPrefix(SOURCE, TEN)
_LOOP = PrefixMap("m", V4, ((TEN, Jump("a")),))
MALFORMED = {
    # Names
    "two chains of one name": (chains(Chain("two", ())), "two chains share a name"),
    "two sets of one name": (sets(Set("ports", None, (PROTOCOL, PORT), ())), "two sets or maps share a name"),
    "two maps of one name": (maps(PrefixMap("map", V4, ())), "two sets or maps share a name"),
    "a set and a map of one name": (sets(Set("map", None, (PROTOCOL, PORT), ())), "a set and a map share a name"),
    "a chain's name too long": (chains(Chain("x" * 21, ())), "longer than 20 characters"),
    # Elements
    "element too short": (sets(Set("x", V4, (SOURCE, PORT), ((1,),))), "x: element shape"),
    "element too long": (sets(Set("x", V4, (SOURCE,), ((1, 2),))), "x: element shape"),
    "element twice": (sets(Set("x", V4, (SOURCE,), ((1,), (1,)))), "x: elements repeated or unsorted"),
    "elements out of order": (sets(Set("x", V4, (SOURCE,), ((2,), (1,)))), "x: elements repeated or unsorted"),
    "elements by hand": (sets(Set("x", V4, (SOURCE,), ((1,),), by_hand=True)), "x: filled by hand"),
    "an address of IPv6 in a set of IPv4": (sets(Set("x", V4, (SOURCE,), ((1 << 32,),))), "x: a source address is out"),
    "an address below zero": (sets(Set("x", V6, (DESTINATION,), ((-1,),))), "x: a destination address is out"),
    "a port too large": (sets(Set("x", None, (PROTOCOL, PORT), ((6, 65536),))), "x: a destination port is out"),
    "a protocol too large": (sets(Set("x", None, (PROTOCOL,), ((256,),))), "x: a protocol is out of bounds"),
    "a port of ICMP": (sets(Set("x", None, (PROTOCOL, PORT), ((1, 8),))), "x: a port of a protocol that has none"),
    "a prefix with bits behind it": (
        sets(PrefixSet("x", V4, ((Prefix(4, 1, 24), True),))),
        "x: no prefix of the family",
    ),
    "a prefix too long": (maps(PrefixMap("x", V4, ((Prefix(4, 0, 33), Drop()),))), "x: no prefix of the family"),
    "a prefix too large": (maps(PrefixMap("x", V4, ((Prefix(4, 1 << 32, 0), Drop()),))), "x: no prefix of the family"),
    "addresses without family": (sets(Set("x", None, (SOURCE,), ())), "x: family and key disagree"),
    "ports with a family": (sets(Set("x", V4, (PROTOCOL, PORT), ())), "x: family and key disagree"),
    "prefix twice in a set": (sets(PrefixSet("x", V4, ((TEN, True), (TEN, True)))), "x: prefixes repeated"),
    "prefix a member and none": (sets(PrefixSet("x", V4, ((TEN, True), (TEN, False)))), "x: prefixes repeated"),
    "prefix twice in a map": (maps(PrefixMap("x", V4, ((TEN, Return()), (TEN, Drop())))), "x: prefixes repeated"),
    "prefixes out of order": (maps(PrefixMap("x", V4, ((ELEVEN, Drop()), (TEN, Drop())))), "x: prefixes repeated"),
    "prefix of the other family": (maps(PrefixMap("x", V6, ((TEN, Drop()),))), "x: a prefix of the other family"),
    # References
    "jump to nowhere": (rules(Rule((), Jump("none"))), "added: no chain none"),
    "goto to nowhere": (rules(Rule((), Goto("none"))), "added: no chain none"),
    "map to nowhere": (maps(PrefixMap("x", V4, ((TEN, Goto("none")),))), "x: no chain none"),
    "jump to a base chain": (rules(Rule((), Jump("forward"))), "added: forward is a base chain"),
    "map to a base chain": (maps(PrefixMap("x", V4, ((TEN, Jump("forward")),))), "x: forward is a base chain"),
    "lookup in nothing": (rules(Lookup(SOURCE, "none", V4)), "added: no map none"),
    "no such set": (rules(Rule((InSet((SOURCE,), "none"),), Drop(), V4)), "added: no set none"),
    "no such set, behind another match": (
        rules(Rule((Replies(), InSet((SOURCE,), "none")), Drop(), V4)),
        "added: no set none",
    ),
    # Shapes
    "lookup of a port": (rules(Lookup(PORT, "map", V4)), "added: a lookup asks for an address"),
    "more fields than the key": (
        rules(Rule((InSet((SOURCE, DESTINATION, PORT), "pairs"),), Drop(), V4)),
        "added: pairs has another key",
    ),
    "fewer fields than the key": (rules(Rule((InSet((SOURCE,), "pairs"),), Drop(), V4)), "pairs has another key"),
    "an address among ports": (rules(Rule((InSet((SOURCE, PORT), "ports"),), Drop(), V4)), "ports has another key"),
    "two fields for prefixes": (rules(Rule((InSet((SOURCE, PORT), "blocks"),), Drop(), V4)), "blocks has another key"),
    "a prefix of ports": (rules(Rule((InPrefix(PORT, TEN),), Drop(), V4)), "a prefix holds addresses"),
    "accept outside a base chain": (rules(Rule((), Accept())), "added: Accept outside a base chain"),
    # Families
    "lookup of the other family": (rules(Lookup(SOURCE, "map", V6)), "added: map is of the other family"),
    "an address without family": (rules(Rule((InPrefix(SOURCE, TEN),), Drop())), "is of the other family"),
    "a set without family": (
        rules(Rule((InSet((SOURCE, DESTINATION), "pairs"),), Drop())),
        "added: pairs is of the other family",
    ),
    "a set of the other family": (
        rules(Rule((InSet((SOURCE, DESTINATION), "pairs"),), Drop(), V6)),
        "added: pairs is of the other family",
    ),
    "a rule of the other family": (rules(Rule((InPrefix(SOURCE, TEN),), Drop(), V6)), "is of the other family"),
    "neighbour discovery in IPv4": (rules(Rule((NeighbourDiscovery(),), Drop(), V4)), "is of the other family"),
    "a rule in a chain of the other": (
        chains(Chain("x", (Rule((), Drop(), V6),), family=V4)),
        "x: rule of the other family",
    ),
    "a jump to a chain of the other": (rules(Rule((), Jump("four"), V6)), "added: four is of the other family"),
    "a jump that both families share": (
        rules(Rule((), _TO_FOUR, V4), Rule((), _TO_FOUR, V6)),
        "added: four is of the other family",
    ),
    "a match that both families share": (
        rules(Rule((_OF_FOUR,), Drop(), V4), Rule((_OF_FOUR,), Drop(), V6)),
        "is of the other family",
    ),
    "a rule like one that does something, but without it": (
        rules(Rule((), Continue(), effects=(SetMark(1, 1),)), Rule((), Continue())),
        "added: a rule that does nothing",
    ),
    "a jump of both to a chain of one": (rules(Rule((), Jump("four"))), "added: four is of the other family"),
    "a map to a chain of the other": (
        maps(PrefixMap("x", V6, ((Prefix(6, 0, 0), Goto("four")),))),
        "x: four is of the other family",
    ),
    # Cycles
    "jump to itself": (chains(Chain("loop", (Rule((), Jump("loop")),))), "loop: a cycle of jumps"),
    "goto in a circle": (
        chains(Chain("a", (Rule((), Goto("b")),)), Chain("b", (Rule((), Return()), Rule((), Goto("a"))))),
        "a cycle of jumps",
    ),
    "a circle by a map": (
        replace(maps(_LOOP), chains=(Chain("a", (Lookup(SOURCE, "m", V4),)), *GOOD.chains)),
        "a: a cycle of jumps",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_one_does_not(case: str) -> None:
    """Neither as it comes, nor made of a good one."""
    ruleset, message = MALFORMED[case]
    for before in (None, GOOD):
        with pytest.raises(AssertionError, match=re.escape(message)):
            check(ruleset, before)


def without(name: str) -> Ruleset:
    """The good ruleset without a chain, set or map, in which all other things are the same objects."""
    return replace(
        GOOD,
        chains=tuple(one for one in GOOD.chains if one.name != name),
        sets=tuple(one for one in GOOD.sets if one.name != name),
        maps=tuple(one for one in GOOD.maps if one.name != name),
    )


LOST = {
    "a set": (without("ports"), "forward: no set ports"),
    "a set of prefixes": (without("blocks"), "forward: no set blocks"),
    "a map": (without("map"), "forward: no map map"),
    "a chain": (without("end"), "two: no chain end"),
    "the key of a set": (
        replace(without("ports"), sets=(*without("ports").sets, Set("ports", None, (PROTOCOL,), ()))),
        "forward: ports has another key",
    ),
    "the family of a map": (replace(without("map"), maps=(PrefixMap("map", V6, ()),)), "map is of the other family"),
    "the family of a chain": (
        replace(without("end"), chains=(*without("end").chains, Chain("end", (Rule((), Drop()),), family=V6))),
        "two: end is of the other family",
    ),
    "the place of a chain": (
        replace(without("end"), chains=(*without("end").chains, Chain("end", (), Hook.INPUT))),
        "two: end is a base chain",
    ),
    "the place of rules": (
        replace(GOOD, chains=(*GOOD.chains, Chain("more", GOOD.chain("forward").rules[:1]))),
        "more: Accept outside a base chain",
    ),
}


@pytest.mark.parametrize("what", LOST)
def test_what_a_pass_takes_from_rules_that_stay(what: str) -> None:
    ruleset, message = LOST[what]
    check(GOOD)
    for before in (None, GOOD):
        with pytest.raises(AssertionError, match=re.escape(message)):
            check(ruleset, before)


def test_what_stays_is_right() -> None:
    check(replace(GOOD, chains=GOOD.chains[::-1]), GOOD)
    check(chains(Chain("more", GOOD.chain("four").rules, family=V4)), GOOD)


class TestCycles:
    def test_a_diamond_is_none(self) -> None:
        check(chains(Chain("a", (Rule((), Jump("one")), Rule((), Jump("two")))), Chain("b", (Rule((), Jump("a")),))))

    def test_long_ways_need_no_recursion(self) -> None:
        many = [Chain(f"c{n}", (Rule((), Jump(f"c{n + 1}")),)) for n in range(5000)]
        check(Ruleset((*many, Chain("c5000", ()))))
        with pytest.raises(AssertionError, match="cycle"):
            check(Ruleset((*many, Chain("c5000", (Rule((), Jump("c0")),)))))

    def test_a_circle_that_no_base_chain_reaches(self) -> None:
        """It would be loaded all the same, and refused by the kernel."""
        added = (Chain("x", (Rule((), Jump("y")),)), Chain("y", (Rule((), Jump("x")),)))
        with pytest.raises(AssertionError, match="cycle"):
            check(replace(GOOD, chains=(*added, *GOOD.chains)))

    def test_a_circle_behind_the_chain_that_is_asked_first(self) -> None:
        entry, a, b = (Chain(name, (Rule((), Jump(to)),)) for name, to in (("x", "a"), ("a", "b"), ("b", "a")))
        for order in permutations((entry, a, b)):
            with pytest.raises(AssertionError, match="cycle"):
                check(Ruleset(order))


class TestTargets:
    def test_in_rule_order_each_once(self) -> None:
        chain = Chain("x", (Rule((), Goto("end")), Lookup(SOURCE, "map", V4), Rule((), Jump("one")), Rule((), Drop())))
        assert targets(replace(GOOD, chains=(*GOOD.chains, chain)), chain) == ("end", "one", "two")


def test_chain_by_name() -> None:
    assert GOOD.chain("end") == Chain("end", (Rule((), Drop()),))
    with pytest.raises(KeyError):
        GOOD.chain("none")


def test_prefixes_of_a_map_may_nest() -> None:
    check(maps(PrefixMap("x", V4, ((Prefix(4, 0, 0), Drop()), (TEN, Return())))))


@pytest.mark.parametrize("verdict", [Reject(), Continue(), Dnat(1), Masquerade()])
def test_maps_know_few_verdicts(verdict: Verdict) -> None:
    with pytest.raises(AssertionError, match="no verdict for a map"):
        check(maps(PrefixMap("x", V4, ((TEN, verdict),))))
