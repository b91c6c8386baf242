"""Which rules some packet matches together, and what must therefore stay in order.

A rule is a box: an inclusive interval of numbers in each dimension (source, destination, protocol, ports ...), the same
dimensions for all. Two boxes overlap when their intervals do in every dimension.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence

from compiler.ordering.bits import members

#: An inclusive interval for each dimension.
Box = tuple[tuple[int, int], ...]
#: So many boxes are compared with all later ones at a time, to bound the memory.
_AT_A_TIME = 4_096


def overlaps(boxes: Sequence[Box]) -> list[int]:
    """For each box the set of earlier ones that it overlaps."""
    rows = [0] * len(boxes)
    for start, number, met in _met(boxes):
        rows[number] |= met << start
    return rows


def overlaps_of_parts(parts: Sequence[Sequence[Box]]) -> list[int]:
    """The same for unions of boxes, each of one at least: they overlap where any of their boxes do."""
    count = len(parts)
    # The first part of each union by its number, then all others.
    owners = [*range(count), *(number for number, own in enumerate(parts) for _ in own[1:])]
    rows = overlaps([*(own[0] for own in parts), *(part for own in parts for part in own[1:])])
    found = rows[:count]
    for owner, row in zip(owners[count:], rows[count:], strict=True):
        found[owner] |= row & (1 << owner) - 1
        others = members(row >> owner + 1)
        for other in (owners[owner + 1 + place] for place in others):
            if other != owner:
                found[max(other, owner)] |= 1 << min(other, owner)
    return found


def groups(boxes: Sequence[Box]) -> list[list[int]]:
    """Boxes that hang together by overlaps, directly or over others: groups by their first box, numbers ascending."""
    leader = list(range(len(boxes)))

    def first(number: int) -> int:
        while leader[number] != number:
            leader[number] = number = leader[leader[number]]
        return number

    known: dict[int, int] = {}  # the boxes near the start of each group, by its leader
    near = -1
    for start, number, met in _met(boxes):
        if start != near:
            near, known = start, {}
        here = number - start
        lead = first(number)
        together = known.pop(lead, 0)
        if here < _AT_A_TIME:
            together |= 1 << here
        met &= ~together
        while met:
            other = first(start + met.bit_length() - 1)
            more = known.pop(other)
            met &= ~more
            together |= more
            lead, behind = min(lead, other), max(lead, other)
            leader[behind] = lead
        if together:
            known[lead] = together
    found: dict[int, list[int]] = {}
    for number in range(len(boxes)):
        found.setdefault(first(number), []).append(number)
    return list(found.values())


def _met(boxes: Sequence[Box]) -> Iterator[tuple[int, int, int]]:
    """In turn for a few boxes from `start` on: for each box number from there on which of the few it overlaps that come
    before it, counted from `start`; none are left out behind the few. All pairs together are never in memory."""
    columns = [[box[n] for box in boxes] for n in range(len(boxes[0]) if boxes else 0)]
    different = [list(dict.fromkeys(column)) for column in columns]
    # The dimension that tells most boxes apart first, those that tell none not at all.
    chosen = sorted((n for n, values in enumerate(different) if len(values) > 1), key=lambda n: -len(different[n]))
    places = [{interval: place for place, interval in enumerate(different[n])} for n in chosen]
    of = [tuple(place[box[n]] for n, place in zip(chosen, places, strict=True)) for box in boxes]
    for start in range(0, len(boxes), _AT_A_TIME):
        behind = start + _AT_A_TIME
        meeting = []
        for n in chosen:
            meets = _meeting(columns[n][start:behind], set(columns[n][start:]))
            meeting.append([meets.get(interval, 0) for interval in different[n]])
        every = (1 << len(boxes[start:behind])) - 1
        for number in range(start, len(boxes)):
            met = (1 << number - start) - 1 if number < behind else every
            for place, found in zip(of[number], meeting, strict=True):
                met &= found[place]
                if not met:
                    break
            if met or number < behind:
                yield start, number, met


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


def reduced(rows: Iterable[int]) -> tuple[list[int], list[tuple[int, ...]]]:
    """All that comes before each number, directly or over others, and the fewest that say so (transitive reduction).
    Members of a row are smaller than its number."""
    found: list[int] = []
    few: list[tuple[int, ...]] = []
    for row in rows:
        before, direct = row, []
        while row:
            # The last one first: what comes before it need not be looked at any more.
            last = row.bit_length() - 1
            direct.append(last)
            before |= found[last]
            row &= ~(found[last] | 1 << last)
        found.append(before)
        few.append(tuple(direct))
    return found, few


def closed(direct: Iterable[Iterable[int]]) -> list[int]:
    """All that comes before each number, from what comes directly before it."""
    found: list[int] = []
    for others in direct:
        before = 0
        for other in others:
            before |= found[other] | 1 << other
        found.append(before)
    return found


def drained(rows: list[int]) -> Iterator[int]:
    """The rows one by one, each of which leaves the list: of 100,000 they take 700 megabytes."""
    rows.reverse()
    while rows:
        yield rows.pop()
