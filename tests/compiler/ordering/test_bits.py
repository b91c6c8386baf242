"""Sets of numbers as integers do what sets do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compiler.ordering.bits import Sums, members, set_of

NUMBERS = st.sets(st.integers(0, 300))


@given(NUMBERS)
def test_members_are_what_was_put_in(numbers: set[int]) -> None:
    assert members(set_of(numbers)) == sorted(numbers)


@given(st.lists(st.integers(0, 10**30), max_size=40), NUMBERS)
def test_sums_are_exact(values: list[int], numbers: set[int]) -> None:
    assert Sums(values).over(set_of(numbers)) == sum(values[n] for n in numbers if n < len(values))
