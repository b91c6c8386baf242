"""Diagrams against functions written out point by point, and against another project's decision diagrams."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.semantics.diagrams import diagram as diagram_module
from compiler.semantics.diagrams import diagram_nodes
from compiler.semantics.diagrams.diagram import IN, NOTHING, Diagrams, Range, merged
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from tests.compiler.semantics.bdd import Lists

SIZES = (16, 8, 2, 4)
POINTS = tuple(dict(enumerate(point)) for point in product(*map(range, SIZES)))
Rule = tuple[Mapping[int, Range], str]


def within(box: Mapping[int, Range], point: Mapping[int, int]) -> bool:
    return all(low <= point[field] <= high for field, (low, high) in box.items())


def naive(rules: list[Rule], point: Mapping[int, int]) -> str:
    return next((says for box, says in rules if within(box, point)), "nothing")


@st.composite
def boxes(draw: st.DrawFn, sizes: tuple[int, ...] = SIZES) -> Mapping[int, Range]:
    box = {}
    for field, size in enumerate(sizes):
        if draw(st.booleans()):
            low, high = sorted((draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))))
            box[field] = (low, high)
    return box


rules = st.lists(st.tuples(boxes(), st.sampled_from(("accept", "drop", "other"))), max_size=8)


def listed(made: Diagrams, found: list[Rule]) -> int:
    return made.first(made.box(box, made.outcome(says)) for box, says in found)


@given(rules)
def test_a_list_of_rules_says_what_its_first_match_says(found: list[Rule]) -> None:
    made = Diagrams(SIZES)
    diagram = listed(made, found)
    for point in POINTS:
        assert made.says(diagram, point) == naive(found, point)
    assert set(made.said(diagram)) == {naive(found, point) for point in POINTS}


@given(rules, rules)
def test_equal_functions_are_the_same_diagram_and_others_are_not(one: list[Rule], two: list[Rule]) -> None:
    made = Diagrams(SIZES)
    a, b = listed(made, one), listed(made, two)
    same = all(naive(one, point) == naive(two, point) for point in POINTS)
    assert (a == b) == same
    assert (next(made.differences(a, b), None) is None) == same
    for box, says, other in made.differences(a, b):
        for point in POINTS:
            if within(box, point):
                assert (naive(one, point), naive(two, point)) == (says, other)


@given(rules)
def test_however_a_function_is_written_it_is_the_same_diagram(found: list[Rule]) -> None:
    made = Diagrams(SIZES)
    pointwise = [({f: (v, v) for f, v in point.items()}, says) for point in POINTS if (says := naive(found, point))]
    written_out: list[Rule] = [(box, says) for box, says in pointwise if says != "nothing"]
    assert listed(made, written_out[::-1]) == listed(made, found)


@given(rules, st.sampled_from(POINTS))
def test_one_point_more_is_found(found: list[Rule], point: dict[int, int]) -> None:
    """A difference in a single bit of a single packet."""
    made = Diagrams(SIZES)
    box = {field: (value, value) for field, value in point.items()}
    before = listed(made, found)
    after = made.first([made.box(box, made.outcome("changed")), before])
    assert list(made.differences(before, after)) == [(box, naive(found, point), "changed")]


@given(rules, rules)
def test_operations_point_by_point(found: list[Rule], among: list[Rule]) -> None:
    made = Diagrams(SIZES)
    diagram, chosen = listed(made, found), made.first(made.box(box) for box, _ in among)
    held = [any(within(box, point) for box, _ in among) for point in POINTS]
    where, outside = made.where(chosen, diagram), made.outside(chosen)
    renamed = made.relabel(diagram, {NOTHING: made.outcome("accept"), made.outcome("drop"): NOTHING})
    other_way = made.swap(diagram, (2,))
    fixed = made.restrict(diagram, {0: 5, 2: 1})
    shifted = made.shift(diagram, 1)
    for point, inside in zip(POINTS, held, strict=True):
        says = naive(found, point)
        assert made.says(where, point) == (says if inside else "nothing")
        assert made.says(outside, point) == ("nothing" if inside else "in")
        assert made.says(renamed, point) == {"nothing": "accept", "drop": "nothing"}.get(says, says)
        assert made.says(other_way, point) == naive(found, {**point, 2: 1 - point[2]})
        assert made.says(fixed, point) == naive(found, {**point, 0: 5, 2: 1})
        assert made.says(shifted, point) == naive(found, {**point, 1: min(point[1] + 1, SIZES[1] - 1)})


spans = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)).map(lambda pair: (min(pair), max(pair))), max_size=5)


@given(st.lists(st.tuples(spans, spans), max_size=4))
def test_sets_hold_their_rows(found: list[tuple[list[Range], list[Range]]]) -> None:
    """Rows may overlap, and their columns come in any order of fields."""
    made = Diagrams(SIZES)
    rows = [(one, two) for ones, twos in found for one in ones for two in twos]
    by_column = made.rows((1, 0), rows)
    for point in POINTS:
        held = any(one[0] <= point[1] <= one[1] and two[0] <= point[0] <= two[1] for one, two in rows)
        assert made.says(by_column, point) == ("in" if held else "nothing")
    assert made.rows((0, 1), [(two, one) for one, two in rows]) == by_column


@given(st.lists(st.tuples(spans, spans, spans), max_size=3))
def test_a_field_that_a_set_asks_twice_must_be_in_both(
    found: list[tuple[list[Range], list[Range], list[Range]]],
) -> None:
    """nft takes `ip daddr . tcp dport . ip daddr`."""
    made = Diagrams(SIZES)
    rows = [row for columns in found for row in product(*columns)]
    twice = made.rows((1, 0, 1), rows)
    for point in POINTS:
        held = any(
            one[0] <= point[1] <= one[1] and two[0] <= point[0] <= two[1] and more[0] <= point[1] <= more[1]
            for one, two, more in rows
        )
        assert made.says(twice, point) == ("in" if held else "nothing")


@given(spans)
def test_merged_ranges_are_the_same_values(found: list[Range]) -> None:
    joined = list(merged(found))
    values = {value for low, high in found for value in range(low, high + 1)}
    assert [value for low, high in joined for value in range(low, high + 1)] == sorted(values)
    assert all(one[1] + 1 < two[0] for one, two in pairwise(joined))


def test_a_set_of_everything_is_everything() -> None:
    made = Diagrams(SIZES)
    assert made.inside(0, [(0, 7), (8, 15)]) == IN
    assert made.inside(0, []) == NOTHING
    assert made.outside(made.inside(1, [(0, 3)])) == made.inside(1, [(4, 7)])


BITS = (32, 16, 8)
wide = st.lists(st.tuples(boxes(tuple(1 << bits for bits in BITS)), st.booleans()), max_size=10)


@settings(max_examples=60)
@given(wide, wide)
def test_another_kind_of_diagram_agrees(
    one: list[tuple[Mapping[int, Range], bool]], two: list[tuple[Mapping[int, Range], bool]]
) -> None:
    made, others = Diagrams([1 << bits for bits in BITS]), Lists(BITS)

    def ours(rows: list[tuple[Mapping[int, Range], bool]]) -> int:
        return made.relabel(
            listed(made, [(box, "in" if accept else "drop") for box, accept in rows]), {made.outcome("drop"): NOTHING}
        )

    assert (ours(one) == ours(two)) == (others.accepts(one) == others.accepts(two))
    both = [*one, *two]
    shuffled = [row for n, row in enumerate(both) if not any(row[0] == earlier[0] for earlier in both[:n])]
    assert (ours(both) == ours(shuffled)) is (others.accepts(both) == others.accepts(shuffled)) is True


@given(rules, st.integers(0, len(SIZES) - 1))
def test_pieces_of_a_field_are_all_that_matters_of_it(found: list[Rule], field: int) -> None:
    made = Diagrams(SIZES)
    diagram = listed(made, found)
    pieces = made.pieces(diagram, field)
    assert [low for low, _ in pieces] == [0, *(high + 1 for _, high in pieces[:-1])]
    assert pieces[-1][1] == SIZES[field] - 1
    for low, high in pieces:
        inside = {made.restrict(diagram, {field: value}) for value in range(low, high + 1)}
        assert len(inside) == 1
    assert (field in made.asked(diagram)) == (len(pieces) > 1)


@given(rules, rules, rules)
def test_other_diagrams_in_place_of_outcomes(found: list[Rule], one: list[Rule], two: list[Rule]) -> None:
    """They ask the same fields."""
    made = Diagrams(SIZES)
    places = {made.outcome("accept"): listed(made, one), NOTHING: listed(made, two)}
    whole = made.replaced(listed(made, found), places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagram_module, "_FEW", 0)  # as where the first field has many parts
        assert made.replaced(listed(made, found), places) == whole
    for point in POINTS:
        said = naive(found, point)
        wanted = {"accept": naive(one, point), "nothing": naive(two, point)}.get(said, said)
        assert made.says(whole, point) == wanted


def test_what_grows_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty questions about one end in front of the same about the other: each answer has to be remembered."""
    monkeypatch.setattr(diagram_nodes, "MOST", 10_000)
    made = Diagrams([2] * 40)
    with pytest.raises(Unprovable, match="more than 10,000 nodes"):
        made.first(made.where(made.inside(n, [(1, 1)]), made.inside(n + 20, [(1, 1)])) for n in range(20))
