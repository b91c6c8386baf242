"""Which entries of a list some point meets together, found for many at once.

Sets of entries are integers: bit n for the n-th. What is told apart by more than one interval of an axis is taken for
all that lies around them, so a set may hold too many; `meet` and `holds` tell of two entries exactly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from compiler.semantics.proof.entries import Entry
from compiler.semantics.rules.netfilter import Intervals

#: So many entries are looked at together, to bound the memory.
AT_A_TIME = 8_192
Spans = Sequence[Intervals]


def meet(one: Entry, two: Entry, spans: Spans) -> bool:
    """Whether some point lies in what both ask."""
    asked = dict(two.asks)
    return all(axis not in asked or _touch(spans[span], spans[asked[axis]]) for axis, span in one.asks)


def holds(one: Entry, two: Entry, spans: Spans) -> bool:
    """Whether each point of the second lies in the first."""
    asked = dict(two.asks)
    return all(
        axis in asked and (span == asked[axis] or _within(spans[asked[axis]], spans[span])) for axis, span in one.asks
    )


def _touch(one: Intervals, two: Intervals) -> bool:
    return any(a <= d and c <= b for a, b in one for c, d in two)


def _within(one: Intervals, two: Intervals) -> bool:
    return all(any(c <= a and b <= d for c, d in two) for a, b in one)


def numbers(mask: int) -> Iterator[int]:
    """The members of a set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Few:
    """Some entries, for which questions about others are answered."""

    def __init__(self, entries: Sequence[Entry], spans: Spans) -> None:
        self.every = (1 << len(entries)) - 1
        asked: dict[int, dict[int, int]] = {}
        for number, entry in enumerate(entries):
            for axis, span in entry.asks:
                by_span = asked.setdefault(axis, {})
                by_span[span] = by_span.get(span, 0) | 1 << number
        self._axes = {axis: _Axis(by_span, self.every, spans) for axis, by_span in asked.items()}
        #: Those that most do not ask come first: they leave the fewest.
        self._by_use = sorted(self._axes, key=lambda axis: self._axes[axis].free.bit_count())

    def meeting(self, entry: Entry, among: int) -> int:
        """At least those of `among` that some point meets together with the entry."""
        for axis, span in entry.asks:
            own = self._axes.get(axis)
            if own is not None:
                among &= own.meeting(span)
                if not among:
                    break
        return among

    def holding(self, entry: Entry, among: int) -> int:
        """At least those of `among` that all points of the entry meet."""
        asked = dict(entry.asks)
        for axis in self._by_use:
            if not among:
                break
            own = self._axes[axis]
            among &= own.holding(asked[axis]) if axis in asked else own.free
        return among


class _Axis:
    """Of some entries the questions on one axis. `free`: those that do not ask."""

    def __init__(self, by_span: Mapping[int, int], every: int, spans: Spans) -> None:
        self._spans = spans
        self._meeting: dict[int, int] = {}
        begins: dict[int, int] = {}
        ends: dict[int, int] = {}
        asked = 0
        for span, entries in by_span.items():
            asked |= entries
            for low, high in spans[span]:
                begins[low] = begins.get(low, 0) | entries
                ends[high] = ends.get(high, 0) | entries
        self.free = every & ~asked
        self._lows, self._highs = sorted(begins), sorted(ends)
        #: By the number of lows that are not above a number, and of highs that are below it.
        self._begun, self._open = [0], [0]
        for low in self._lows:
            self._begun.append(self._begun[-1] | begins[low])
        for high in reversed(self._highs):
            self._open.append(self._open[-1] | ends[high])
        self._open.reverse()

    def meeting(self, span: int) -> int:
        found = self._meeting.get(span)
        if found is None:
            found = self.free
            for low, high in self._spans[span]:
                found |= self._between(high, low)
            self._meeting[span] = found
        return found

    def holding(self, span: int) -> int:
        asked = self._spans[span]
        return self.free | self._between(asked[0][0], asked[-1][1])

    def _between(self, low: int, high: int) -> int:
        """Those that begin at `low` at the latest and end at `high` at the earliest."""
        return self._begun[bisect_right(self._lows, low)] & self._open[bisect_left(self._highs, high)]
