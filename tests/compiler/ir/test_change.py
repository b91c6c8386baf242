"""A change is what makes one ruleset out of another, and of no other."""

from __future__ import annotations

import pytest

from compiler.ir.change import Change, applied, canonical, difference, is_same
from compiler.ir.match import Field, InSet
from compiler.ir.ruleset import Chain, Drop, Goto, Lookup, PrefixMap, PrefixSet, Return, Rule, Ruleset, Set
from compiler.net import Family, Prefix

V4 = Family.IPV4


def host(last: int) -> Prefix:
    return Prefix(4, last, 32)


def rules(
    members: tuple[int, ...] = (1, 2), verdicts: dict[int, str] | None = None, ends: str = "b", note: str = ""
) -> Ruleset:
    """A chain that asks a set, then a map, then goes to another."""
    verdicts = {3: "b"} if verdicts is None else verdicts
    elements = tuple((host(n), Goto(name)) for n, name in sorted(verdicts.items()))
    first = Chain(
        "a",
        (
            Rule((InSet((Field.SOURCE,), "s"),), Return(), V4),
            Lookup(Field.SOURCE, "m", V4),
            Rule((), Goto(ends), V4),
        ),
        family=V4,
        notes=(note,),
    )
    others = [Chain(name, (Rule((), Drop()),), notes=(note,)) for name in sorted({ends, *verdicts.values()})]
    return Ruleset(
        (first, *others),
        (Set("s", V4, (Field.SOURCE,), tuple((n,) for n in members)),),
        (PrefixMap("m", V4, elements),),
    )


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (rules(), Change()),
        (rules(note="other"), Change()),
        (rules((2, 5)), Change(added={"s": frozenset({(5,)})}, removed={"s": frozenset({(1,)})})),
        (rules(verdicts={3: "b", 4: "b"}), Change(mapped={"m": {host(4): Goto("b")}})),
        (rules(verdicts={}), Change(unmapped={"m": frozenset({host(3)})})),
    ],
)
def test_what_moves(after: Ruleset, change: Change) -> None:
    assert difference(rules(), after) == change
    assert applied(rules(), change) == canonical(after)
    assert bool(change) == (canonical(after) != canonical(rules()))
    assert change.moves_only


def test_another_verdict_is_mapped_and_unmapped() -> None:
    """So that whoever cannot replace an element knows that there is one."""
    after = rules(verdicts={3: "c"})
    change = difference(rules(), after)
    assert change.mapped == {"m": {host(3): Goto("c")}}
    assert change.unmapped == {"m": frozenset({host(3)})}
    assert [chain.name for chain in change.chains] == ["c"]
    assert applied(rules(), change) == canonical(after)


def test_chains_come_change_and_go_by_their_rules() -> None:
    after = rules(verdicts={}, ends="c")
    change = difference(rules(), after)
    assert [chain.name for chain in change.chains] == ["a", "c"]
    assert change.gone == {"b"}
    assert not change.moves_only
    assert applied(rules(), change) == canonical(after)


def test_sets_and_maps_come_whole_and_go() -> None:
    nothing = Ruleset(())
    change = difference(nothing, rules())
    assert (change.sets, change.maps, change.chains) == (rules().sets, rules().maps, rules().chains)
    assert applied(nothing, change) == canonical(rules())
    back = difference(rules(), nothing)
    assert back == Change(gone=frozenset({"a", "b", "s", "m"}))
    assert applied(rules(), back) == nothing


def test_prefixes_do_not_move() -> None:
    one, two = (
        Ruleset((), maps=(PrefixMap("m", V4, ((Prefix(4, base, 24), Return()),)),)) for base in (0x0A000000, 0x0A000100)
    )
    with pytest.raises(AssertionError, match="m: prefixes do not move"):
        difference(one, two)
    sets = (Ruleset((), (PrefixSet("s", V4, ((Prefix(4, 0, 8), member),)),)) for member in (True, False))
    with pytest.raises(AssertionError, match="s: prefixes do not move"):
        difference(*sets)


@pytest.mark.parametrize(
    "wrong",
    [
        Change(added={"s": frozenset({(1,)})}),
        Change(removed={"s": frozenset({(9,)})}),
        Change(mapped={"m": {host(3): Goto("b")}}),
        Change(mapped={"m": {host(3): Return()}}),
        Change(unmapped={"m": frozenset({host(9)})}),
        Change(gone=frozenset({"z"})),
        Change(sets=rules().sets),
    ],
    ids=str,
)
def test_a_change_of_something_else_is_refused(wrong: Change) -> None:
    with pytest.raises(AssertionError):
        applied(rules(), wrong)


def test_chains_are_the_same_by_what_packets_and_counters_see() -> None:
    chain = Chain("a", (Rule((), Drop()),))
    assert is_same(chain, Chain("a", (Rule((), Drop()),), notes=("other",)))
    assert not is_same(chain, Chain("a", (Rule((), Return()),)))
    assert not is_same(chain, Chain("a", (Rule((), Drop()),), family=V4))
    assert not is_same(None, chain)
