"""Who stands and who moves, and what differs by actions alone."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from compiler.ordering.ordered import moved, ordered, standing


@given(st.integers(0, 7).flatmap(lambda count: st.permutations(range(count))))
def test_a_longest_choice_stands(row: list[int]) -> None:
    stay = standing(row)
    assert [job for job in row if job in stay] == sorted(stay)
    longest = max(len(one) for n in range(len(row) + 1) for one in combinations(row, n) if list(one) == sorted(one))
    assert len(stay) == longest
    assert moved(row) == len(row) - longest


def test_boxes_of_one_action_pass_each_other() -> None:
    boxes = [((0, 9),), ((0, 9),), ((20, 29),), ((5, 25),)]
    weights = [Fraction(n) for n in (1, 5, 2, 9)]
    strict = ordered(boxes, weights, [1] * 4, Fraction(0))
    loose = ordered(boxes, weights, [1] * 4, Fraction(0), actions="AADA")
    assert strict is not None
    assert loose is not None
    assert strict.row == (0, 1, 2, 3)
    assert loose.row == (2, 3, 1, 0)
