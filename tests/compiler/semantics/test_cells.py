"""Diagrams over cells say what diagrams over values say, and nothing is asked of a part of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.semantics.diagrams import cells as module
from compiler.semantics.diagrams.cells import Cells, Unforeseen
from compiler.semantics.diagrams.diagram import IN, NOTHING, Diagrams, Range

SIZE, PORTS = 12, 3
SIZES = (SIZE, SIZE, PORTS)
POINTS = tuple(product(*map(range, SIZES)))
#: The fields that have cells.
ENDS = (0, 1)


def spans(size: int) -> st.SearchStrategy[Range]:
    return st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).map(lambda pair: (min(pair), max(pair)))


sets = st.lists(spans(SIZE), min_size=1, max_size=4)
rules = st.lists(st.tuples(sets, sets, spans(PORTS), st.sampled_from(("accept", "drop"))), max_size=6)


def held(ranges: list[Range], value: int) -> bool:
    return any(low <= value <= high for low, high in ranges)


def told(found: list[tuple[list[Range], list[Range], Range, str]]) -> Mapping[int, Cells]:
    return {field: Cells(SIZE, [rule[:2][field] for rule in found]) for field in ENDS}


@given(rules, rules)
def test_lists_of_rules(found: list[tuple[list[Range], list[Range], Range, str]], other: list) -> None:  # type: ignore[type-arg]
    made = Diagrams(SIZES, told(found + other))

    def listed(chosen: list[tuple[list[Range], list[Range], Range, str]]) -> int:
        return made.first(
            made.inside(0, one, made.inside(1, two, made.inside(2, [port], made.outcome(says))))
            for one, two, port, says in chosen
        )

    def naive(chosen: list[tuple[list[Range], list[Range], Range, str]], point: tuple[int, ...]) -> str:
        a, b, c = point
        return next((s for one, two, p, s in chosen if held(one, a) and held(two, b) and held([p], c)), "nothing")

    diagram, second = listed(found), listed(other)
    for point in POINTS:
        assert made.says(diagram, dict(enumerate(point))) == naive(found, point)
    assert (diagram == second) == all(naive(found, point) == naive(other, point) for point in POINTS)
    for box, says, others in made.differences(diagram, second):
        point = tuple(made.value(n, box.get(n, (0, 0)), 5) for n in range(3))
        assert (says, others) == (naive(found, point), naive(other, point))
    for field, low in product(ENDS, (0, 7)):
        fixed = made.restrict(diagram, {field: low})
        for point in POINTS:
            moved = tuple(low if n == field else value for n, value in enumerate(point))
            assert made.says(fixed, dict(enumerate(point))) == naive(found, moved)


@given(st.lists(st.tuples(spans(SIZE), spans(SIZE), spans(PORTS)), max_size=12), st.booleans())
def test_rows(rows: list[tuple[Range, Range, Range]], single: bool) -> None:
    """A question for the values of each column beside which the others are the same, and for each alone."""
    if single:
        rows = [((a, a), (b, b), port) for (a, _), (b, _), port in rows]
    asked: dict[int, dict[object, list[Range]]] = {field: {} for field in ENDS}
    for row in rows:
        for field in ENDS:
            rest = tuple(span for n, span in enumerate(row) if n != field)
            asked[field].setdefault(rest, []).append(row[field])
            if not single:
                asked[field].setdefault(row[field], []).append(row[field])
    made = Diagrams(SIZES, {field: Cells(SIZE, asked[field].values()) for field in ENDS})
    diagram = made.rows((0, 1, 2), rows)
    assert made.rows((2, 1, 0), [row[::-1] for row in rows]) == diagram
    for point in POINTS:
        inside = any(all(low <= v <= high for v, (low, high) in zip(point, row, strict=True)) for row in rows)
        assert made.says(diagram, dict(enumerate(point))) == ("in" if inside else "nothing")


@given(st.lists(sets, max_size=4), sets)
def test_whatever_cuts_a_cell_is_refused(questions: list[list[Range]], asked: list[Range]) -> None:
    alike = [tuple(held(ranges, value) for ranges in questions) for value in range(SIZE)]
    made = Diagrams((SIZE,), {0: Cells(SIZE, questions)})
    answers: dict[tuple[bool, ...], set[bool]] = {}
    for value in range(SIZE):
        answers.setdefault(alike[value], set()).add(held(asked, value))
    if all(len(found) == 1 for found in answers.values()):
        diagram = made.inside(0, asked)
        assert all(made.says(diagram, {0: v}) == ("in" if held(asked, v) else "nothing") for v in range(SIZE))
    else:
        with pytest.raises(Unforeseen):
            made.inside(0, asked)


@given(st.lists(sets, max_size=4))
def test_as_few_cells_as_can_be(questions: list[list[Range]]) -> None:
    found = Cells(SIZE, questions)
    alike = [tuple(held(ranges, value) for ranges in questions) for value in range(SIZE)]
    assert len(found) == len(set(alike))
    assert [alike[found.value(cell, cell, 0)] for cell in range(len(found))] == list(dict.fromkeys(alike))


@given(st.lists(sets, min_size=1, max_size=4))
def test_pieces_are_values(questions: list[list[Range]]) -> None:
    made = Diagrams((SIZE, 2), {0: Cells(SIZE, questions)})
    diagram = made.first(made.inside(0, ranges, made.outcome(n)) for n, ranges in enumerate(questions))
    pieces = made.pieces(diagram, 0)
    assert [value for low, high in pieces for value in range(low, high + 1)] == list(range(SIZE))
    for low, high in pieces:
        assert len({made.says(diagram, {0: value}) for value in range(low, high + 1)}) == 1


def test_too_much_to_tell_apart_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_STEPS", 3)
    found = Cells(SIZE, [[(0, 0), (2, 2)], [(4, 4), (6, 6)]])
    assert len(found) == 8
    made = Diagrams((SIZE,), {0: found})
    assert made.inside(0, [(0, SIZE - 1)]) == IN
    assert made.inside(0, []) == NOTHING
