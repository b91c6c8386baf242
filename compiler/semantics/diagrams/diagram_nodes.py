"""Decision diagrams as they are stored: nodes, each made once; what they say can be asked.

`diagram` tells what they are, and combines them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from operator import eq

from compiler.semantics.diagrams.cells import Cells
from compiler.semantics.diagrams.ranges import Range, merged

#: The diagrams that say nothing of any packet, which as a set is none; and that have every packet in the set.
NOTHING, IN = 0, 1
#: The level of outcomes.
LEAF = 1 << 30

#: Nodes after which a proof is given up, within a minute and a GiB: ten thousand rules like ClassBench's take 160,000.
MOST = 1_000_000

#: The inclusive range of values of each field that matters, by its number.
Box = Mapping[int, Range]


class Unprovable(Exception):
    """No diagram can hold the meaning of what is to be proved, or none of a reasonable size; the message says why."""


class Nodes:
    """All diagrams of one order of fields. Fields are numbered in that order; `sizes`: how many values each has.
    `cells`: of fields whose values are told apart by these only. What asks for less than whole cells raises
    Unforeseen."""

    def __init__(self, sizes: Sequence[int], cells: Mapping[int, Cells] | None = None) -> None:
        self.sizes = list(sizes)
        #: Nodes after which it is given up.
        self.most = MOST
        self._cells = dict(cells or {})
        self._levels: list[int] = []
        self._starts: list[tuple[int, ...]] = []
        self._kids: list[tuple[int, ...]] = []
        self._nodes: dict[tuple[int, tuple[int, ...], tuple[int, ...]], int] = {}
        self._leaves: dict[Hashable, int] = {}
        self._values: dict[int, Hashable] = {}
        #: The fields that a diagram asks, and each such set once.
        self._asked: dict[int, frozenset[int]] = {}
        self._alike: dict[frozenset[int], frozenset[int]] = {}
        self.outcome("nothing")
        self.outcome("in")

    def __len__(self) -> int:
        """How many different functions there are by now."""
        return len(self._levels)

    def add_field(self, size: int) -> int:
        """One more field behind all others; its number."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    def _count(self, field: int) -> int:
        """How many numbers it has inside: of cells or of values."""
        cells = self._cells.get(field)
        return self.sizes[field] if cells is None else len(cells)

    # Making

    def outcome(self, value: Hashable) -> int:
        """The diagram that says `value` of every packet."""
        found = self._leaves.get(value)
        if found is None:
            found = self._leaves[value] = self._store(LEAF, (), ())
            self._values[found] = value
        return found

    def inside(self, field: int, ranges: Iterable[Range], then: int = IN) -> int:
        """`then` where the field is in one of the ranges, else nothing; `then` asks later fields only."""
        spans = self._cells[field].numbers(ranges) if field in self._cells else merged(ranges)
        return self._split(field, ((low, high, then) for low, high in spans))

    def box(self, box: Box, then: int = IN) -> int:
        """`then` for the packets of the box."""
        for field in sorted(box, reverse=True):
            then = self.inside(field, [box[field]], then)
        return then

    def _split(self, field: int, parts: Iterable[tuple[int, int, int]]) -> int:
        """A node from disjoint, ascending (first, last, diagram)."""
        starts, kids, end = [0], [NOTHING], 0
        for low, high, kid in parts:
            if low > end and kids[-1] != NOTHING:
                starts.append(end)
                kids.append(NOTHING)
            if kid != kids[-1]:
                if low == starts[-1]:
                    starts.clear()
                    kids.clear()
                starts.append(low)
                kids.append(kid)
            end = high + 1
        if end < self._count(field) and kids[-1] != NOTHING:
            starts.append(end)
            kids.append(NOTHING)
        return self._node(field, starts, kids)

    def _node(self, level: int, starts: Sequence[int], kids: Sequence[int]) -> int:
        """`starts` are the first values of the intervals, 0 the first of all; neighbouring `kids` differ."""
        if len(kids) == 1:
            return kids[0]
        key = (level, tuple(starts), tuple(kids))
        found = self._nodes.get(key)
        if found is None:
            found = self._nodes[key] = self._store(*key)
        return found

    def _store(self, level: int, starts: tuple[int, ...], kids: tuple[int, ...]) -> int:
        self._levels.append(level)
        self._starts.append(starts)
        self._kids.append(kids)
        if len(self._levels) > self.most:
            raise Unprovable(f"it takes more than {self.most:,} nodes of decision diagrams")
        return len(self._levels) - 1

    def _joined(self, level: int, starts: Sequence[int], kids: Sequence[int]) -> int:
        """A node whose neighbours may be equal."""
        if not any(map(eq, kids, kids[1:])):
            return self._node(level, starts, kids)
        kept = [n for n in range(len(kids)) if n == 0 or kids[n] != kids[n - 1]]
        return self._node(level, [starts[n] for n in kept], [kids[n] for n in kept])

    # Asking

    def outcomes(self) -> Mapping[Hashable, int]:
        """Every outcome so far, with its diagram."""
        return self._leaves

    def whole(self, diagram: int) -> Hashable:
        """The outcome that it says of every packet; KeyError where it says several."""
        return self._values[diagram]

    def width(self, diagram: int) -> int:
        """Into how many intervals it splits the first field that it asks, or the one behind that, if those are more."""
        own = self._kids[diagram]
        return max(len(own), max((len(self._kids[kid]) for kid in own[:3]), default=0))

    def said(self, diagram: int) -> Iterator[Hashable]:
        """The outcomes that it has for some packet, `NOTHING` too."""
        return (self._values[here] for here in self._below(diagram) if self._levels[here] == LEAF)

    def extent(self, diagram: int) -> int:
        """Of how many nodes and outcomes it is."""
        return len(self._below(diagram))

    def first_field(self, diagram: int) -> int:
        """The first field that it asks; `LEAF` where it asks none."""
        return self._levels[diagram]

    def asked(self, diagram: int) -> frozenset[int]:
        """The fields that it asks."""
        found = self._asked.get(diagram)
        if found is None:
            level = self._levels[diagram]
            if level == LEAF:
                return frozenset()
            kids = {self.asked(kid) for kid in set(self._kids[diagram])}
            whole = frozenset({level}.union(*kids))
            found = self._asked[diagram] = self._alike.setdefault(whole, whole)
        return found

    def pieces(self, diagram: int, field: int) -> list[Range]:
        """The ranges of the field within which it says the same, whatever the others are; ascending."""
        starts = {0}.union(*(self._starts[here] for here in self._below(diagram) if self._levels[here] == field))
        if field in self._cells:
            return list(self._cells[field].pieces(sorted(starts)))
        return [(low, end - 1) for low, end in pairwise([*sorted(starts), self.sizes[field]])]

    def _below(self, diagram: int) -> set[int]:
        seen, todo = {diagram}, [diagram]
        while todo:
            fresh = set(self._kids[todo.pop()]) - seen
            seen |= fresh
            todo.extend(fresh)
        return seen

    def says(self, diagram: int, packet: Mapping[int, int]) -> Hashable:
        """The outcome for a packet, fields by number; what it lacks is 0."""
        while self._levels[diagram] != LEAF:
            level = self._levels[diagram]
            number = self._number(level, packet.get(level, 0))
            diagram = self._kids[diagram][bisect_right(self._starts[diagram], number) - 1]
        return self._values[diagram]

    def _number(self, field: int, value: int) -> int:
        """What stands for a value inside."""
        return self._cells[field].number(value) if field in self._cells else value

    def value(self, field: int, numbers: Range, usual: int) -> int:
        """A value that these numbers in a box of `differences` stand for: the usual one if they do, else the lowest."""
        if field in self._cells:
            return self._cells[field].value(*numbers, usual)
        return usual if numbers[0] <= usual <= numbers[1] else numbers[0]

    def _along(self, diagram: int, starts: Sequence[int]) -> Iterator[int]:
        """Its kid at each of the starts, which are ascending and have all of its own among them."""
        own, kids, n = self._starts[diagram], self._kids[diagram], 0
        last = len(own) - 1
        for start in starts:
            if n < last and own[n + 1] == start:
                n += 1
            yield kids[n]

    def differences(self, one: int, two: int) -> Iterator[tuple[dict[int, Range], Hashable, Hashable]]:
        """Disjoint boxes of packets of which the two say different things, and these; none when they are equal. Every
        pair of different parts is shown once, not in each place where it occurs. A box has cells of fields that have
        such: `value` tells what they stand for."""
        shown: set[tuple[int, int]] = set()

        def walk(a: int, b: int, box: dict[int, Range]) -> Iterator[tuple[dict[int, Range], Hashable, Hashable]]:
            if a == b or (a, b) in shown:
                return
            shown.add((a, b))
            level = min(self._levels[a], self._levels[b])
            if level == LEAF:
                shown.discard((a, b))
                yield box, self._values[a], self._values[b]
                return
            sides = [self._starts[x] if self._levels[x] == level else () for x in (a, b)]
            starts = sorted({*sides[0], *sides[1]})
            ends = [*(start - 1 for start in starts[1:]), self._count(level) - 1]
            kids = [self._along(x, starts) if side else repeat(x) for x, side in zip((a, b), sides, strict=True)]
            for low, high, own, other in zip(starts, ends, *kids, strict=False):
                yield from walk(own, other, {**box, level: (low, high)})

        yield from walk(one, two, {})
