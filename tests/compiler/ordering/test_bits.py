"""Sets of numbers as integers do what sets do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compiler.ordering.bits import Sums, members, renumbered, set_of

NUMBERS = st.sets(st.integers(0, 300))


@given(NUMBERS)
def test_members_are_what_was_put_in(numbers: set[int]) -> None:
    assert members(set_of(numbers)) == sorted(numbers)


@given(st.lists(st.integers(0, 1 << 12), min_size=12, max_size=12), st.sets(st.integers(0, 11)))
def test_renumbered_is_the_relation_of_the_chosen(masks: list[int], chosen: set[int]) -> None:
    row = sorted(chosen)
    expected = [set_of(n for n, other in enumerate(row) if masks[job] >> other & 1) for job in row]
    assert renumbered(masks, row) == expected


@given(st.lists(st.integers(0, 10**30), max_size=40), NUMBERS)
def test_sums_are_exact(values: list[int], numbers: set[int]) -> None:
    assert Sums(values).over(set_of(numbers)) == sum(values[n] for n in numbers if n < len(values))
