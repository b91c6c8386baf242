"""Ranges of numbers, first and last inclusive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> Iterator[Range]:
    """The same values as few disjoint ranges that do not touch, ascending."""
    last: Range | None = None
    for low, high in sorted(ranges):
        if last is None:
            last = (low, high)
        elif low <= last[1] + 1:
            if high > last[1]:
                last = (last[0], high)
        else:
            yield last
            last = (low, high)
    if last is not None:
        yield last


def runs(numbers: Iterable[int]) -> list[Range]:
    """The same numbers as few ranges, ascending."""
    found: list[Range] = []
    low = last = -2
    for number in sorted(numbers):
        if number > last + 1:
            found.append((low, last))
            low = number
        last = number
    found.append((low, last))
    return found[1:]
