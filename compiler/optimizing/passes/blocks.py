"""Boxes by the blocks of their first two dimensions, to find those that hold a packet.

A block is an interval of 2^n numbers that begins at a multiple of 2^n, as prefixes do. Those that hold a number are
found by asking, for each size that there is, whether the block of that size around it is known. Intervals that are none
are kept as the smallest block around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.ordering.overlap import Box

#: A tree of these: by size, then by the first number.
_Numbers = dict[int, dict[int, list[int]]]


class Blocks:
    """Boxes by their numbers."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._firsts: dict[int, dict[int, _Numbers]] = {}
        for number, box in enumerate(boxes):
            (size, first), (inner, second) = _block(*box[0]), _block(*box[1])
            under = self._firsts.setdefault(size, {}).setdefault(first, {})
            under.setdefault(inner, {}).setdefault(second, []).append(number)

    def near(self, one: int, two: int) -> Iterator[list[int]]:
        """Lists, ascending each, that have all boxes with these numbers in their first two dimensions, and maybe more
        of the same blocks."""
        for size, blocks in self._firsts.items():
            under = blocks.get(one >> size)
            if under is not None:
                for inner, numbers in under.items():
                    found = numbers.get(two >> inner)
                    if found is not None:
                        yield found


def _block(low: int, high: int) -> tuple[int, int]:
    """Bits of the smallest block around an interval, and which of its size it is."""
    size = (low ^ high).bit_length()
    return size, low >> size
