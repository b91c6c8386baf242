"""Elements that come and go in a sorted ruleset: the same as by `applied`, which builds everything anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.ir.change import Change, applied, canonical, difference
from compiler.ir.match import Field
from compiler.ir.moved import moved
from compiler.ir.ruleset import Chain, Goto, PrefixMap, Return, Ruleset, Set, Verdict
from compiler.net import Family, Prefix

KEY = (Field.SOURCE, Field.PORT)
VERDICTS: tuple[Verdict, ...] = (Return(), Goto("a"), Goto("b"))
CHAINS = (Chain("a", ()), Chain("b", ()))

keys = st.frozensets(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=120)
verdicts = st.dictionaries(st.integers(0, 60), st.sampled_from(VERDICTS), max_size=60)


def ruleset(one: frozenset[tuple[int, int]], other: frozenset[tuple[int, int]], leads: dict[int, Verdict]) -> Ruleset:
    hosts = tuple((Prefix(4, address, 32), verdict) for address, verdict in sorted(leads.items()))
    sets = tuple(Set(name, Family.IPV4, KEY, tuple(sorted(held))) for name, held in (("one", one), ("other", other)))
    return canonical(Ruleset(CHAINS, sets, (PrefixMap("leads", Family.IPV4, hosts),)))


rulesets = st.builds(ruleset, keys, keys, verdicts)


@given(rulesets, rulesets)
def test_the_same_as_everything_anew(before: Ruleset, after: Ruleset) -> None:
    change = difference(before, after)
    assert moved(before, change) == applied(before, change) == after


def test_what_does_not_move_is_the_same_object() -> None:
    before = ruleset(frozenset({(1, 1)}), frozenset({(2, 2)}), {1: Return()})
    found = moved(before, Change(added={"one": frozenset({(0, 1)})}))
    assert found.sets[0].elements == ((0, 1), (1, 1))
    assert found.sets[1] is before.sets[1]
    assert found.maps[0] is before.maps[0]
    assert moved(before, Change()) is before


def test_what_goes_was_there() -> None:
    before = ruleset(frozenset({(1, 1)}), frozenset(), {})
    with pytest.raises(AssertionError, match="it was there"):
        moved(before, Change(removed={"one": frozenset({(7, 7)})}))
