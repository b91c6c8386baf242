"""Sets of small numbers as integers: number j is in the set when bit j is set.

An operation on two sets of thousands of rules is one instruction for each 30 of them, which is what makes relations
between all pairs of ten thousand rules affordable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import lshift

#: Where one in so many is a member, all numbers are looked at faster than members are found one by one.
_DENSE = 6
_FLAGS = bytes.maketrans(b"01", b"\0\1")


def members(mask: int) -> list[int]:
    """The numbers in a set, ascending."""
    digits = bin(mask)[:1:-1]
    if _DENSE * mask.bit_count() > len(digits):
        return list(compress(range(len(digits)), digits.encode().translate(_FLAGS)))
    found = []
    at = digits.find("1")
    while at >= 0:
        found.append(at)
        at = digits.find("1", at + 1)
    return found


def set_of(numbers: Iterable[int]) -> int:
    """The set of these numbers."""
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


class Sums:
    """Sums of values over sets, exactly, at the price of one operation for each binary digit of the largest value."""

    def __init__(self, values: Sequence[int]) -> None:
        """The values of the numbers 0, 1, ...; none is negative."""
        width = max((value.bit_length() for value in values), default=0)
        planes = [0] * width
        for number, value in enumerate(values):
            for digit in members(value):
                planes[digit] |= 1 << number
        self._digits = [digit for digit, plane in enumerate(planes) if plane]
        self._planes = [planes[digit] for digit in self._digits]

    def over(self, mask: int) -> int:
        """The sum over the members of a set."""
        counts = map(int.bit_count, map(mask.__and__, self._planes))
        return sum(map(lshift, counts, self._digits)) if mask else 0
