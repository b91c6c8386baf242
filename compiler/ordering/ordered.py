"""Boxes with weights and costs -> their order: which of them hang together, and the best order of each such group."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import lcm

from compiler.ordering.jobs import Jobs
from compiler.ordering.order import Ordering, order_apart
from compiler.ordering.overlap import Box, drained, groups, overlaps, overlaps_of_parts, relaxed

#: More boxes than these that hang together are not ordered: what comes before each takes up to a bit for each other.
LARGEST = 120_000


def ordered(
    boxes: Sequence[Box],
    weights: Sequence[Fraction],
    costs: Sequence[int],
    threshold: Fraction,
    actions: Sequence[Hashable] | None = None,
    parts: Sequence[Sequence[Box]] = (),
) -> Ordering | None:
    """Boxes that overlap keep their order; with `actions`, of each box one, only those that do different things; with
    `parts`, what each box holds, one box at least, only those whose parts overlap. None when too many hang together."""
    factor = lcm(*(weight.denominator for weight in weights))  # groups have one unit
    hanging = groups(boxes)
    if max(map(len, hanging), default=0) > LARGEST:
        return None
    apart = []
    for group in hanging:
        before = overlaps_of_parts([parts[n] for n in group]) if parts else overlaps([boxes[n] for n in group])
        if actions is not None:
            before = relaxed(before, [actions[n] for n in group])
        jobs = Jobs.of([int(weights[n] * factor) for n in group], [costs[n] for n in group], drained(before))
        apart.append((group, replace(jobs, unit=jobs.unit / factor)))
    return order_apart(apart, threshold)


def moved(row: Sequence[int]) -> int:
    """The fewest members that change places."""
    return len(row) - len(standing(row))


def standing(row: Sequence[int]) -> frozenset[int]:
    """A longest choice of members that keep their order: all others move."""
    ends: list[int] = []  # of choices of each length, the least last member
    earlier: dict[int, int | None] = {}
    for job in row:
        at = bisect_left(ends, job)
        earlier[job] = ends[at - 1] if at else None
        ends[at : at + 1] = [job]
    found = set()
    last = ends[-1] if ends else None
    while last is not None:
        found.add(last)
        last = earlier[last]
    return frozenset(found)


def comparisons(weights: Sequence[Fraction], row: Iterable[int]) -> Fraction:
    """Rules that all packets together are compared with in this order."""
    return sum((weights[job] * at for at, job in enumerate(row, 1)), Fraction(0))
