"""Which boxes hold a box, alone or together: against counting points."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.optimizing.passes import cover
from compiler.optimizing.passes.cover import Entry, Query, first_other, held
from compiler.optimizing.regions import UNIVERSE, meet, takers, without
from compiler.ordering.overlap import Box

SIDES = [(low, high) for low in range(4) for high in range(low, 4)]


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Of two dimensions that matter; in the others there is nothing to tell."""
    return (draw(st.sampled_from(SIDES)), draw(st.sampled_from(SIDES)), *UNIVERSE[2:])


def points(box: Box) -> set[tuple[int, ...]]:
    return set(product(*(range(low, high + 1) for low, high in box[:2])))


BESIDES = st.frozensets(st.sampled_from("xy"))
ENTRIES = st.lists(st.tuples(boxes(), st.sampled_from([None, "a", "b"]), BESIDES), max_size=9)
QUERIES = st.builds(Query, boxes(), st.integers(-1, 9), st.integers(0, 10), st.just((None, "a")), BESIDES)


@given(boxes(), boxes())
def test_pieces_are_what_is_left(box: Box, cut: Box) -> None:
    pieces = [points(piece) for piece in without(box, cut)]
    assert set().union(*pieces) == points(box) - points(cut)
    assert sum(map(len, pieces)) == len(points(box) - points(cut))
    assert meet(box, cut) is bool(points(box) & points(cut))


@settings(max_examples=300)
@given(ENTRIES, QUERIES)
def test_held_and_met(made: list[tuple[Box, str | None, frozenset[str]]], query: Query) -> None:
    box, after, before, _, asks = query
    entries = [Entry(one, number, group, more) for number, (one, group, more) in enumerate(made)]
    among = [one for one in entries if after < one.owner < before and one.group != "b" and one.asks <= asks]
    (found,) = held(entries, [query])
    alone = [one.owner for one in among if points(box) <= points(one.box)]
    if alone:
        assert found == (alone[0],)
    elif points(box) <= set().union(*(points(one.box) for one in among)):
        assert found is not None
        assert points(box) <= set().union(*(points(entries[n].box) for n in found))
    else:
        assert found is None
    others = [one.owner for one in entries if after < one.owner < before and one not in among and meet(one.box, box)]
    assert first_other(entries, [query]) == [others[0] if others else None]


def test_parts_of_many() -> None:
    """More entries than are sorted at a time, one for each number; all of them hold what none does alone."""
    many = 10_000
    entries = [Entry(((n, n), *UNIVERSE[1:]), n) for n in range(many)]
    assert many > 2 * cover._AT_A_TIME
    asked = [Query(((n, n), *UNIVERSE[1:]), -1, many) for n in (0, 4_096, 9_999)]
    assert held(entries, asked) == [(0,), (4_096,), (9_999,)]
    near = [Query(((n, n + 1), *UNIVERSE[1:]), -1, many) for n in (4_095, 9_999)]
    assert held(entries, near) == [(4_095, 4_096), None]
    assert held(entries, [near[0]._replace(before=4_096)]) == [None]
    assert first_other(entries, [query._replace(groups=()) for query in near]) == [4_095, 9_999]


def test_a_budget_ends_the_search() -> None:
    """A hole in each of many places: right answers take as many pieces."""
    wide = ((0, 999), *UNIVERSE[1:])
    holes = [(n, ((2 * n, 2 * n), *UNIVERSE[1:])) for n in range(500)]
    rest = [(n, ((2 * n - 999, 2 * n - 999), *UNIVERSE[1:])) for n in range(500, 1000)]
    assert takers(wide, holes + rest, 100) is None
    assert takers(wide, holes + rest, 1000) == tuple(range(1000))
