"""Which boxes of many hold a box, alone or together, and which is the first that meets it.

Some thousand boxes at a time are sorted by their ends in each dimension; what meets or holds an interval is then a set
of bits out of two tables, and of a box what all dimensions agree on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from compiler.optimizing.passes.blocks import Blocks
from compiler.optimizing.regions import UNIVERSE, begins_in, holds, takers
from compiler.ordering.overlap import Box

#: So many boxes at a time, to bound the memory.
_AT_A_TIME = 4_096
#: More boxes, or more pieces at a time, than these are not put together to hold a box.
_MOST_BOXES, _MOST_PIECES = 400, 200
#: So many boxes are looked at one by one.
_FEW = 32


class Entry(NamedTuple):
    """A box of a rule; one box of each list of them after the other, by `owner`. `asks`: what a packet must meet
    besides to be in it."""

    box: Box
    owner: int
    group: Hashable = None
    asks: frozenset[Hashable] = frozenset()


class Query(NamedTuple):
    """Packets in the box that meet all of `asks`, and entries of these groups whose owner lies between the two
    numbers, both excluded."""

    box: Box
    after: int
    before: int
    groups: tuple[Hashable, ...] = (None,)
    asks: frozenset[Hashable] = frozenset()


def held(entries: Sequence[Entry], queries: Sequence[Query]) -> list[tuple[int, ...] | None]:
    """For each query the owners whose boxes together hold its box: one that does alone, the first of these; else those
    that take something of it, in their order; None where there are none, or none were found within bounds."""
    alone: list[int | None] = [None] * len(queries)
    begins = set[int]()  # whose first packet some entry holds; without one there is no more to ask
    tree = _Tree(entries)
    for number, query in enumerate(queries):
        for entry in tree.first(query):
            begins.add(number)
            owner = alone[number]
            if (owner is None or entry.owner < owner) and holds(entry.box, query.box):
                alone[number] = entry.owner
    answers: list[tuple[int, ...] | None] = [None if one is None else (one,) for one in alone]
    together: dict[int, list[Entry]] = {number: [] for number in sorted(begins) if alone[number] is None}
    ends = set[int]()
    for part in _parts(entries) if together else ():
        for number, near in together.items():
            query = queries[number]
            if len(near) <= _MOST_BOXES and part.is_near(query):
                among = part.among(query)
                near += part.entries(part.meeting(query.box) & among, _MOST_BOXES + 1 - len(near))
                if number not in ends and part.last(query.box) & among:
                    ends.add(number)
    for number in ends:
        if len(together[number]) <= _MOST_BOXES:
            cuts = ((one.owner, one.box) for one in together[number])
            answers[number] = takers(queries[number].box, cuts, _MOST_PIECES)
    return answers


def begun(entries: Sequence[Entry], queries: Sequence[Query]) -> list[bool]:
    """For each query whether there is an entry for it that holds the first packet of its box: no others hold it all."""
    tree = _Tree(entries)
    return [next(tree.first(query), None) is not None for query in queries]


def first_other(entries: Sequence[Entry], queries: Sequence[Query]) -> list[int | None]:
    """For each query the first owner between its two numbers that meets its box, and is of none of its groups."""
    found: list[int | None] = [None] * len(queries)
    for part in _parts(entries):
        for number, query in enumerate(queries):
            if found[number] is None and part.is_near(query) and (meeting := part.meeting(query.box)):
                meeting &= ~part.of(query)
                if meeting and (meeting := meeting & part.between(query)):
                    found[number] = part.owner(meeting)
    return found


class _Tree:
    """Entries by the blocks of addresses that their boxes are in; where many are in the same, sorted by their ends."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._blocks = Blocks([entry.box for entry in entries])
        self._sorted: dict[int, list[_Part]] = {}

    def first(self, query: Query) -> Iterator[Entry]:
        """Those for the query that hold the first packet of its box."""
        box = query.box
        for numbers in self._blocks.near(box[0][0], box[1][0]):
            if len(numbers) > _FEW:
                yield from self._of_many(numbers, query)
                continue
            for number in numbers:
                entry = self._entries[number]
                between = query.after < entry.owner < query.before
                if between and entry.group in query.groups and entry.asks <= query.asks and begins_in(box, entry.box):
                    yield entry

    def _of_many(self, numbers: Sequence[int], query: Query) -> Iterator[Entry]:
        parts = self._sorted.get(numbers[0])
        if parts is None:
            parts = self._sorted[numbers[0]] = list(_parts([self._entries[number] for number in numbers]))
        for part in parts:
            if part.is_near(query) and (among := part.first(query.box)):
                yield from part.entries(among & part.among(query), len(numbers))


def _parts(entries: Sequence[Entry]) -> Iterator[_Part]:
    for start in range(0, len(entries), _AT_A_TIME):
        yield _Part(entries[start : start + _AT_A_TIME])


class _Part:
    """Some of the entries; sets of them are bits."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._owners = [one.owner for one in entries]
        sides = list(zip(*(one.box for one in entries), strict=True))
        # Those that most rules ask come first, and a dimension that none asks needs no table.
        order = sorted(range(len(sides)), key=lambda side: -len(set(sides[side])))
        self._sides = [(side, _Side(sides[side])) for side in order if set(sides[side]) != {UNIVERSE[side]}]
        self._kinds: dict[tuple[Hashable, frozenset[Hashable]], int] = {}
        for number, one in enumerate(entries):
            kind = one.group, one.asks
            self._kinds[kind] = self._kinds.get(kind, 0) | 1 << number
        self._known: dict[tuple[tuple[Hashable, ...], frozenset[Hashable]], int] = {}

    def is_near(self, query: Query) -> bool:
        """Whether some may be between the query's numbers."""
        return query.after < self._owners[-1] and query.before > self._owners[0]

    def between(self, query: Query) -> int:
        """Those between the query's numbers."""
        low, high = bisect_right(self._owners, query.after), bisect_left(self._owners, query.before)
        return (1 << high) - (1 << low) if low < high else 0

    def of(self, query: Query) -> int:
        """Those of its groups that ask no more than it does."""
        kind = query.groups, query.asks
        found = self._known.get(kind)
        if found is None:
            found = 0
            for (group, asks), members in self._kinds.items():
                if group in query.groups and asks <= query.asks:
                    found |= members
            self._known[kind] = found
        return found

    def among(self, query: Query) -> int:
        return self.between(query) & self.of(query)

    def meeting(self, box: Box) -> int:
        found = -1
        for dimension, side in self._sides:
            found &= side.meeting(*box[dimension])
            if not found:
                break
        return found

    def holding(self, box: Box) -> int:
        found = -1
        for dimension, side in self._sides:
            found &= side.holding(*box[dimension])
            if not found:
                break
        return found

    def first(self, box: Box) -> int:
        """Those that hold the packet of the box that is first in all dimensions."""
        found = -1
        for dimension, side in self._sides:
            low = box[dimension][0]
            found &= side.holding(low, low)
            if not found:
                break
        return found

    def last(self, box: Box) -> int:
        """Those that hold the last."""
        found = -1
        for dimension, side in self._sides:
            high = box[dimension][1]
            found &= side.holding(high, high)
            if not found:
                break
        return found

    def owner(self, members: int) -> int:
        """Of the first."""
        return self._owners[(members & -members).bit_length() - 1]

    def entries(self, members: int, most: int) -> Iterator[Entry]:
        while members and most:
            first = members & -members
            yield self._entries[first.bit_length() - 1]
            members ^= first
            most -= 1


class _Side:
    """The intervals of some boxes in one dimension: for each of their ends those that have begun by then, and those
    that end there or behind it."""

    def __init__(self, intervals: Sequence[tuple[int, int]]) -> None:
        begins: dict[int, int] = {}
        ends: dict[int, int] = {}
        for number, (low, high) in enumerate(intervals):
            begins[low] = begins.get(low, 0) | 1 << number
            ends[high] = ends.get(high, 0) | 1 << number
        self._lows, self._highs = sorted(begins), sorted(ends)
        self._begun, self._open = [0], [0]
        for low in self._lows:
            self._begun.append(self._begun[-1] | begins[low])
        for high in reversed(self._highs):
            self._open.append(self._open[-1] | ends[high])
        self._open.reverse()

    def meeting(self, low: int, high: int) -> int:
        return self._begun[bisect_right(self._lows, high)] & self._open[bisect_left(self._highs, low)]

    def holding(self, low: int, high: int) -> int:
        return self._begun[bisect_right(self._lows, low)] & self._open[bisect_left(self._highs, high)]
