"""What overlaps, and what follows from it, beside the definitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.ordering import overlap
from compiler.ordering.bits import members
from compiler.ordering.overlap import Box, closed, drained, groups, overlaps, reduced, relaxed

INTERVALS = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: (min(pair), max(pair)))
BOXES = st.lists(st.tuples(INTERVALS, INTERVALS, INTERVALS), max_size=12)
ROWS = st.lists(st.integers(0, 1 << 40), max_size=10).map(lambda rows: [r & (1 << n) - 1 for n, r in enumerate(rows)])


@given(BOXES, st.integers(1, 12))
def test_boxes_overlap_when_a_point_is_in_both(boxes: list[Box], at_a_time: int) -> None:
    points = [
        {(x, y, z) for x in range(a, b + 1) for y in range(c, d + 1) for z in range(e, f + 1)}
        for (a, b), (c, d), (e, f) in boxes
    ]
    expected = [[i for i in range(j) if points[i] & points[j]] for j in range(len(boxes))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_AT_A_TIME", at_a_time)
        assert [members(row) for row in overlaps(boxes)] == expected


@given(BOXES, st.integers(1, 12))
def test_groups_hang_together_and_are_apart(boxes: list[Box], at_a_time: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_AT_A_TIME", at_a_time)
        found = groups(boxes)
    # From the definition: whoever overlaps is in one group, until nothing changes.
    of = list(range(len(boxes)))
    rows = overlaps(boxes)
    for _ in boxes:
        for j, row in enumerate(rows):
            for i in members(row):
                of = [of[i] if group == of[j] else group for group in of]
    assert found == [[j for j, own in enumerate(of) if own == group] for group in dict.fromkeys(of)]


def test_addresses_of_128_bits_are_numbers_like_others() -> None:
    wide, narrow, other = (0, (1 << 128) - 1), (1 << 127, 1 << 127), ((1 << 127) + 1, (1 << 127) + 5)
    assert overlaps([(wide,), (narrow,), (other,), (wide,)]) == [0b0, 0b1, 0b1, 0b111]


@given(ROWS, st.data())
def test_only_different_actions_keep_their_order(rows: list[int], data: st.DataObject) -> None:
    actions = [data.draw(st.sampled_from("AD")) for _ in rows]
    kept = relaxed(rows, actions)
    for j, row in enumerate(rows):
        assert members(kept[j]) == [i for i in members(row) if actions[i] != actions[j]]


@given(ROWS)
def test_all_that_comes_before_is_what_can_be_reached(rows: list[int]) -> None:
    whole, _ = reduced(rows)
    for j, row in enumerate(rows):
        reached = set(members(row))
        for i in members(row):
            reached |= set(members(whole[i]))
        assert set(members(whole[j])) == reached


@given(ROWS)
def test_reduction_says_the_same_with_nothing_to_spare(rows: list[int]) -> None:
    whole, few = reduced(rows)
    assert closed(few) == whole
    for j, row in enumerate(few):
        for i in row:
            less = [other for other in row if other != i]
            assert closed([*few[:j], less, *few[j + 1 :]])[j] != whole[j]


@given(ROWS)
def test_rows_that_are_drained_are_the_rows(rows: list[int]) -> None:
    kept = list(rows)
    assert list(drained(rows)) == kept
    assert rows == []


@pytest.mark.parametrize("boxes", [[], [()]])
def test_nothing_is_fine(boxes: list[Box]) -> None:
    assert overlaps(boxes) == [0] * len(boxes)
