"""Unions of boxes overlap where any of their boxes do, and only then must they keep their order."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.ordering.ordered import ordered
from compiler.ordering.overlap import Box, overlaps_of_parts

SPANS = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda ends: (min(ends), max(ends)))
PARTS = st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=4)


def meet(one: Box, two: Box) -> bool:
    return all(a <= d and c <= b for (a, b), (c, d) in zip(one, two, strict=True))


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=12))
def test_unions_overlap_where_any_of_their_boxes_do(parts: list[list[Box]]) -> None:
    assert overlaps_of_parts(parts) == [
        sum(1 << m for m in range(n) if any(meet(a, b) for a in own for b in parts[m])) for n, own in enumerate(parts)
    ]


def test_what_lies_in_a_gap_may_come_first() -> None:
    boxes: list[Box] = [((0, 9),), ((4, 5),), ((9, 9),)]
    parts: list[list[Box]] = [[((0, 2),), ((7, 9),)], [((4, 5),)], [((9, 9),)]]
    weights = [Fraction(1), Fraction(50), Fraction(90)]
    together = ordered(boxes, weights, [1, 1, 1], Fraction(0))
    apart = ordered(boxes, weights, [1, 1, 1], Fraction(0), parts=parts)
    assert together is not None
    assert apart is not None
    assert together.row == (0, 2, 1)
    assert apart.row == (1, 0, 2)
    assert apart.optimal
