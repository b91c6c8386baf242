"""Intervals of addresses as few nested prefixes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from compiler.net import Family, Intervals, Prefix


def nested(spans: Intervals, family: Family) -> list[tuple[Prefix, bool]]:
    """These addresses as few prefixes and exceptions from them, the longest decides (ORTC: Draves et al., "Constructing
    optimal IP routing tables", 1999). Sorted, and without the empty prefix, which ipset does not take."""
    half = 1 << family.bits - 1
    found, version = _Nested(spans, family), family.value
    entries = sorted(entry for base in (0, half) for entry in _entries(found.found(base, 1)[0][1]))
    return [(Prefix(version, base, length), member) for base, length, member in entries]


#: How many entries, and which: None, an entry (base, length, whether it is a member), or two of these.
_Cost = tuple[int, Any]
_NOTHING: _Cost = (0, None)


class _Nested:
    def __init__(self, spans: Intervals, family: Family) -> None:
        self._bits = family.bits
        self._lows, self._highs = [low for low, _ in spans], [high for _, high in spans]

    def found(self, base: int, length: int) -> tuple[_Cost, _Cost]:
        """What it takes below a prefix: where the addresses around are no members, and where they are."""
        lows, highs, bits = self._lows, self._highs, self._bits
        last = base + (1 << bits - length) - 1
        n = bisect_left(highs, base)
        if n == len(lows) or lows[n] > last:
            return _NOTHING, (1, (base, length, False))
        if lows[n] <= base and last <= highs[n]:
            return (1, (base, length, True)), _NOTHING
        # Of levels with members on one side only all but the two below are like the one above: nothing is won there.
        m = bisect_left(lows, last + 1, n) - 1
        first, final = lows[n], highs[m]
        first, final = first if first > base else base, final if final < last else last
        shared = bits - (first ^ final).bit_length()
        if shared > length + 2:
            out = self.found(first >> bits - shared << bits - shared, shared)[0]
            return out, _both((1, (base, length, False)), out)
        left, right = self.found(base, length + 1), self.found(base + (1 << bits - length - 1), length + 1)
        out, within = _both(left[0], right[0]), _both(left[1], right[1])
        if within[0] + 1 < out[0]:
            out = _both((1, (base, length, True)), within)
        elif out[0] + 1 < within[0]:
            within = _both((1, (base, length, False)), out)
        return out, within


def _both(one: _Cost, other: _Cost) -> _Cost:
    return one[0] + other[0], (one[1], other[1]) if one[1] and other[1] else one[1] or other[1]


def _entries(tree: Any) -> Iterator[tuple[int, int, bool]]:
    open_ = [tree]
    while open_:
        one = open_.pop()
        if one is not None:
            if len(one) == 3:
                yield one
            else:
                open_ += one
