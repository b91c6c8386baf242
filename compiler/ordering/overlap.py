"""Which rules some packet matches together, and what must therefore stay in order.

A rule is a box: an inclusive interval of numbers in each dimension (source, destination, protocol, ports ...), the same
dimensions for all. Two boxes overlap when their intervals do in every dimension.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Hashable, Sequence

#: An inclusive interval for each dimension.
Box = tuple[tuple[int, int], ...]
#: So many boxes are compared with all later ones at a time, to bound the memory.
_AT_A_TIME = 4_096


def overlaps(boxes: Sequence[Box]) -> list[int]:
    """For each box the set of earlier ones that it overlaps."""
    rows = [(1 << number) - 1 for number in range(len(boxes))]
    for dimension in range(len(boxes[0]) if boxes else 0):
        intervals = [box[dimension] for box in boxes]
        meeting = _meeting(intervals, set(intervals))
        for number, box in enumerate(boxes):
            rows[number] &= meeting[box[dimension]]
    return rows


def groups(boxes: Sequence[Box]) -> list[list[int]]:
    """Boxes that hang together by overlaps, directly or over others: groups by their first box, numbers ascending."""
    leader = list(range(len(boxes)))

    def first(number: int) -> int:
        while leader[number] != number:
            leader[number] = number = leader[leader[number]]
        return number

    for start in range(0, len(boxes), _AT_A_TIME):
        near = boxes[start : start + _AT_A_TIME]
        meeting = [_meeting([box[n] for box in near], {box[n] for box in boxes[start:]}) for n in range(len(boxes[0]))]
        known: dict[int, int] = {}  # the boxes near here of each group, by its leader
        for number in range(start, len(boxes)):
            here = number - start
            own = (1 << here) - 1 if here < len(near) else (1 << len(near)) - 1
            for interval, meets in zip(boxes[number], meeting, strict=True):
                own &= meets[interval]
            lead = first(number)
            together = known.pop(lead, 0)
            if here < len(near):
                together |= 1 << here
            own &= ~together
            while own:
                other = first(start + own.bit_length() - 1)
                more = known.pop(other)
                own &= ~more
                together |= more
                lead, behind = min(lead, other), max(lead, other)
                leader[behind] = lead
            if together:
                known[lead] = together
    found: dict[int, list[int]] = {}
    for number in range(len(boxes)):
        found.setdefault(first(number), []).append(number)
    return list(found.values())


def _meeting(intervals: Sequence[tuple[int, int]], asked: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """For each interval that is asked for, all those that meet it: they begin before its end, and end behind its
    beginning."""
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    for number, (low, high) in enumerate(intervals):
        begins[low] = begins.get(low, 0) | 1 << number
        ends[high] = ends.get(high, 0) | 1 << number
    lows, highs = sorted(begins), sorted(ends)
    begun, open_ = [0], [0]
    for low in lows:
        begun.append(begun[-1] | begins[low])
    for high in reversed(highs):
        open_.append(open_[-1] | ends[high])
    open_.reverse()
    return {(low, high): begun[bisect_right(lows, high)] & open_[bisect_left(highs, low)] for low, high in asked}


def relaxed(rows: Sequence[int], actions: Sequence[Hashable]) -> list[int]:
    """Only the overlaps of rules that do different things. Weights that were counted in the old order are then no
    longer those of the new one: a packet may be counted by another rule that does the same."""
    alike: dict[Hashable, int] = {}
    for number, action in enumerate(actions):
        alike[action] = alike.get(action, 0) | 1 << number
    return [row & ~alike[action] for row, action in zip(rows, actions, strict=True)]


def closed(rows: Sequence[int]) -> list[int]:
    """All that comes before each number, directly or over others. Members of a row are smaller than its number."""
    found: list[int] = []
    for row in rows:
        before = row
        while row:
            # The last one first: what comes before it need not be looked at any more.
            last = row.bit_length() - 1
            before |= found[last]
            row &= ~(found[last] | 1 << last)
        found.append(before)
    return found


def reduced(rows: Sequence[int]) -> list[int]:
    """The fewest members of each row that say the same (transitive reduction)."""
    whole = closed(rows)
    found = []
    for row in rows:
        direct = 0
        while row:
            last = row.bit_length() - 1
            direct |= 1 << last
            row &= ~(whole[last] | 1 << last)
        found.append(direct)
    return found
