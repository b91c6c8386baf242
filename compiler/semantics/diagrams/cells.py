"""Values of a field that nobody tells apart, numbered as one.

Of an address, rules and policies ask whether it is in one of some hundred sets, and most addresses have the same
answers as thousands of others. Those with the same answers are a *cell*, and diagrams ask for the number of the cell
instead of the address: a set of 50,000 scattered addresses becomes a handful of intervals. Who asks what has to be
known before; whatever else is asked must be a union of cells, and is refused if it is not, so that a forgotten
question never becomes a wrong answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import prod

from compiler.semantics.diagrams.ranges import Range, merged

#: Where telling intervals apart would take more steps than this, each is a cell of its own.
_MOST_STEPS = 20_000_000


class Unforeseen(Exception):
    """Values that were not asked for before and cut one of the cells in two."""

    def __init__(self, cells: Cells, ranges: Sequence[Range]) -> None:
        super().__init__(ranges)
        self.cells, self.ranges = cells, ranges


class Cells:
    """The cells of a field with values from 0 to `size` - 1, numbered by their lowest values. `questions`: the sets of
    values that will be asked for, each as ranges that may overlap."""

    def __init__(self, size: int, questions: Iterable[Sequence[Range]]) -> None:
        asked = list(questions)
        edges = {0, size}
        for ranges in asked:
            edges.update([low for low, _ in ranges])
            edges.update([high + 1 for _, high in ranges])
        if max(edges) > size:  # of another family
            asked = [_below(size, ranges) for ranges in asked]
            edges = {edge for edge in edges if edge <= size}
        #: The lowest value of each interval whose ends anybody asks for; one more for the end.
        self._starts = sorted(edges)
        self._index = {start: n for n, start in enumerate(self._starts)}
        #: The cell of each interval, and of how many intervals each cell is.
        self._cells = [0] * (len(self._starts) - 1)
        self._sizes = [len(self._cells)]
        steps = 0
        for ranges in asked:
            inside = self._intervals(ranges)
            steps += len(inside)
            if steps > _MOST_STEPS:
                self._cells = list(range(len(self._cells)))
                break
            self._tell_apart(inside)
        self._number()
        self._asked: dict[int, tuple[list[Range], tuple[Range, ...]]] = {}

    def __len__(self) -> int:
        return len(self._sizes)

    def _intervals(self, ranges: Iterable[Range]) -> set[int]:
        """Those that the ranges are made of. Raises KeyError when these end inside one."""
        index, found = self._index, set[int]()
        for low, high in ranges:
            first, end = index[low], index[high + 1]
            if end == first + 1:
                found.add(first)
            else:
                found.update(range(first, end))
        return found

    def _within(self, ranges: Sequence[Range]) -> set[int]:
        """The same for ranges that meet inside an interval, too, or go beyond the field."""
        try:
            return self._intervals(ranges)
        except KeyError:
            return self._intervals(merged(_below(self._starts[-1], ranges)))

    def _tell_apart(self, inside: set[int]) -> None:
        """Cuts each cell that is partly inside."""
        cells, sizes = self._cells, self._sizes
        counts = Counter(map(cells.__getitem__, inside)) if len(inside) > 1 else {cells[one]: 1 for one in inside}
        cut = [cell for cell, count in counts.items() if count < sizes[cell]]
        parted = {cell: len(sizes) + n for n, cell in enumerate(cut)}
        sizes.extend([0] * len(parted))
        for interval in inside if parted else ():
            cell = cells[interval]
            if cell in parted:
                cells[interval] = new = parted[cell]
                sizes[new] += 1
                sizes[cell] -= 1

    def _number(self) -> None:
        numbers: dict[int, int] = {}
        self._cells = [numbers.setdefault(cell, len(numbers)) for cell in self._cells]
        self._sizes = [0] * len(numbers)
        #: The first interval of each cell.
        self._firsts: list[int] = []
        for interval, cell in enumerate(self._cells):
            if cell == len(self._firsts):
                self._firsts.append(interval)
            self._sizes[cell] += 1

    def numbers(self, ranges: Iterable[Range]) -> list[Range]:
        """The cells that the ranges are made of: disjoint, ascending. Raises Unforeseen."""
        if isinstance(ranges, tuple):  # what policies ask for stays what it is, and is asked for again
            known = self._asked.get(id(ranges))
            if known is None:
                known = self._asked[id(ranges)] = (self._numbers(ranges), ranges)
            return known[0]
        return self._numbers(list(ranges))

    def _numbers(self, asked: Sequence[Range]) -> list[Range]:
        if self._is_cell(*asked[:2]):
            cell = self.number(asked[0][0])
            return [(cell, cell)]
        try:
            inside = self._within(asked)
        except KeyError:
            raise Unforeseen(self, asked) from None
        counts = Counter(map(self._cells.__getitem__, inside))
        if any(count != self._sizes[cell] for cell, count in counts.items()):
            raise Unforeseen(self, asked)
        return [(cell, cell) for cell in sorted(counts)]

    def _is_cell(self, *ranges: Range) -> bool:
        """Whether it is one range, and that a cell: the most frequent question."""
        if len(ranges) != 1:
            return False
        low, high = ranges[0]
        first = self._index.get(low)
        return first is not None and self._index.get(high + 1) == first + 1 and self._sizes[self._cells[first]] == 1

    def alone(self, ranges: Iterable[Range]) -> list[int] | None:
        """The cell that each range is in; None when some range is not one interval."""
        index, cells, found = self._index, self._cells, list[int]()
        for low, high in ranges:
            first = index.get(low)
            if first is None or index.get(high + 1) != first + 1:
                return None
            found.append(cells[first])
        return found

    def intervals(self, cell: int) -> int:
        """Of how many intervals the cell is."""
        return self._sizes[cell]

    def number(self, value: int) -> int:
        """The cell of a value."""
        return self._cells[bisect_right(self._starts, value) - 1]

    def value(self, first: int, last: int, usual: int) -> int:
        """A value of these cells: the usual one if it is there, else the lowest."""
        return usual if first <= self.number(usual) <= last else self._starts[self._firsts[first]]

    def pieces(self, starts: Sequence[int]) -> Iterator[Range]:
        """Ranges of values, ascending, whose cells lie between the same two of `starts`, which are ascending cells."""
        parts = [bisect_right(starts, cell) for cell in range(len(self))]
        edges = [n for n, (cell, other) in enumerate(pairwise(self._cells), 1) if parts[cell] != parts[other]]
        for first, end in pairwise([0, *edges, len(self._cells)]):
            yield self._starts[first], self._starts[end] - 1


def _below(size: int, ranges: Sequence[Range]) -> Sequence[Range]:
    """The values that a field has: the others are of another family."""
    return [(low, min(high, size - 1)) for low, high in ranges if low < size]


def in_cells(rows: Iterable[tuple[Range, ...]], cells: Sequence[Cells | None]) -> list[tuple[Range, ...]] | None:
    """The rows with cells in place of values where the column has cells, each row once; None when they are not made of
    whole cells."""
    distinct = dict.fromkeys(rows)
    columns = list(zip(*distinct, strict=True)) or [() for _ in cells]
    for place, known in enumerate(cells):
        if known is not None:
            numbers = known.alone(columns[place])
            if numbers is None:
                return None
            columns[place] = tuple([(number, number) for number in numbers])
    counts = Counter(zip(*columns, strict=True))
    asked = [(place, known) for place, known in enumerate(cells) if known is not None]
    # As many rows as the cells have combinations of intervals are all of them.
    whole = all(count == prod(known.intervals(row[n][0]) for n, known in asked) for row, count in counts.items())
    return list(counts) if whole else None
