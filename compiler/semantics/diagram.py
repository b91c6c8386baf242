"""Decision diagrams over packets: canonical, so that two functions are equal exactly when they are the same diagram.

A *diagram* is a function from packets to *outcomes*. A packet is one integer for each *field*; fields have an order,
and a node asks one field: it splits the field's range into intervals, each with the diagram that goes on from there.
Nodes are shared (one node for one function), neighbours differ, and a node that would tell nothing apart is never
made: that is what makes them canonical, as with binary decision diagrams, of which these are the form for integers.
A set of 100,000 addresses is one node.

The outcome `NOTHING` is special: "this rule says nothing, go on with the next". It makes lists of rules an algebra
of three operations, from which and, or and not follow:

- `first((a, b, ...))`: what the first says that says anything, as in a chain of rules;
- `where(a, b)`: what b says of the packets that are in a, else nothing;
- `relabel(a, outcomes)`: other diagrams in place of a's outcomes.

Diagrams are plain integers, good for the `Diagrams` that made them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat

#: The diagrams that say nothing of any packet, which as a set is none; and that have every packet in the set.
NOTHING, IN = 0, 1

Range = tuple[int, int]
#: The inclusive range of values of each field that matters, by its number.
Box = Mapping[int, Range]

_LEAF = 1 << 30


class Diagrams:
    """All diagrams of one order of fields. Fields are numbered in that order; `sizes`: how many values each has."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)
        self._levels: list[int] = []
        self._starts: list[tuple[int, ...]] = []
        self._kids: list[tuple[int, ...]] = []
        self._nodes: dict[tuple[int, tuple[int, ...], tuple[int, ...]], int] = {}
        self._leaves: dict[Hashable, int] = {}
        self._values: dict[int, Hashable] = {}
        self._firsts: dict[tuple[int, ...], int] = {}
        self._wheres: dict[tuple[int, int], int] = {}
        self.outcome("nothing")
        self.outcome("in")

    def __len__(self) -> int:
        """How many different functions there are by now."""
        return len(self._levels)

    def add_field(self, size: int) -> int:
        """One more field behind all others; its number."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    # Making

    def outcome(self, value: Hashable) -> int:
        """The diagram that says `value` of every packet."""
        found = self._leaves.get(value)
        if found is None:
            found = self._leaves[value] = self._store(_LEAF, (), ())
            self._values[found] = value
        return found

    def inside(self, field: int, ranges: Iterable[Range], then: int = IN) -> int:
        """`then` where the field is in one of the ranges, else nothing; `then` asks later fields only."""
        return self._split(field, ((low, high, then) for low, high in merged(ranges)))

    def box(self, box: Box, then: int = IN) -> int:
        """`then` for the packets of the box."""
        for field in sorted(box, reverse=True):
            then = self._split(field, ((*box[field], then),))
        return then

    def rows(self, fields: Sequence[int], rows: Iterable[tuple[Range, ...]]) -> int:
        """The packets that match one of the rows, which have a range for each of the fields: a set of netfilter's."""
        order = sorted(range(len(fields)), key=fields.__getitem__)
        ordered = [fields[n] for n in order]
        same = order == list(range(len(order)))
        return self._rows(ordered, list(rows) if same else [tuple(row[n] for n in order) for row in rows])

    def _rows(self, fields: Sequence[int], rows: Sequence[tuple[Range, ...]]) -> int:
        if len(fields) == 1:
            return self.inside(fields[0], (row[0] for row in rows))
        groups: dict[Range, list[tuple[Range, ...]]] = {}
        for row in rows:
            groups.setdefault(row[0], []).append(row[1:])
        parts = [(*span, self._rows(fields[1:], groups[span])) for span in sorted(groups)]
        if all(one[1] < two[0] for one, two in pairwise(parts)):
            return self._split(fields[0], parts)
        return self.first([self._split(fields[0], (part,)) for part in parts])

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
        if end < self.sizes[field] and kids[-1] != NOTHING:
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
        return len(self._levels) - 1

    # Combining

    def first(self, diagrams: Iterable[int]) -> int:
        """What the first of them says that says anything of the packet."""
        levels = self._levels
        said: dict[int, None] = {}
        for diagram in diagrams:
            if diagram != NOTHING:
                said[diagram] = None
                if levels[diagram] == _LEAF:
                    break
        key = tuple(said)
        if len(key) < 2:
            return key[0] if key else NOTHING
        found = self._firsts.get(key)
        if found is None:
            found = self._firsts[key] = self._sweep(key)
        return found

    def _sweep(self, key: tuple[int, ...]) -> int:
        """`first`, interval by interval of the first field that any of them asks; few of many speak in each."""
        level = min(self._levels[diagram] for diagram in key)
        now: dict[int, int] = {}
        events: list[tuple[int, int, int]] = []
        for place, diagram in enumerate(key):
            if self._levels[diagram] == level:
                events.extend(zip(self._starts[diagram], repeat(place), self._kids[diagram]))
            else:
                now[place] = diagram
        events.sort()
        speaking = sorted(now)
        starts: list[int] = []
        kids: list[int] = []
        n, many = 0, len(events)
        while n < many:
            start = events[n][0]
            while n < many and events[n][0] == start:
                _, place, kid = events[n]
                n += 1
                if kid != NOTHING:
                    if place not in now:
                        insort(speaking, place)
                    now[place] = kid
                elif place in now:
                    del now[place]
                    del speaking[bisect_left(speaking, place)]
            if len(speaking) < 2:
                kid = now[speaking[0]] if speaking else NOTHING
            else:
                kid = self.first([now[place] for place in speaking])
            if not kids or kid != kids[-1]:
                starts.append(start)
                kids.append(kid)
        return self._node(level, starts, kids)

    def where(self, among: int, diagram: int) -> int:
        """What `diagram` says of the packets that are in `among`; nothing of others."""
        if among == NOTHING or diagram == NOTHING:
            return NOTHING
        if among in (IN, diagram):
            return diagram
        key = (among, diagram)
        found = self._wheres.get(key)
        if found is None:
            found = self._wheres[key] = self._meet(among, diagram)
        return found

    def _meet(self, among: int, diagram: int) -> int:
        one, two = self._levels[among], self._levels[diagram]
        assert one != _LEAF, "a set of packets has no outcomes but IN"
        if one < two:
            kids = [self.where(kid, diagram) for kid in self._kids[among]]
            return self._joined(one, self._starts[among], kids)
        if two < one:
            kids = [self.where(among, kid) for kid in self._kids[diagram]]
            return self._joined(two, self._starts[diagram], kids)
        if len(self._starts[among]) <= len(self._starts[diagram]):
            parts = ((low, self.where(a, b)) for low, a, b in self._overlaps(among, diagram))
        else:
            parts = ((low, self.where(a, b)) for low, b, a in self._overlaps(diagram, among))
        starts, kids = [0], [NOTHING]
        for low, kid in parts:
            if kid != kids[-1]:
                if low == starts[-1]:
                    starts.pop()
                    kids.pop()
                starts.append(low)
                kids.append(kid)
        return self._node(one, starts, kids)

    def _overlaps(self, few: int, many: int) -> Iterator[tuple[int, int, int]]:
        """(start, kid of `few`, kid of `many`), ascending; where `few` says nothing, that alone. The cost follows
        what `few` says something of, not the size of `many`."""
        ends = [*self._starts[few][1:], self.sizes[self._levels[few]]]
        starts, kids = self._starts[many], self._kids[many]
        for low, end, kid in zip(self._starts[few], ends, self._kids[few], strict=True):
            if kid == NOTHING:
                yield low, NOTHING, NOTHING
                continue
            first = bisect_right(starts, low)
            yield low, kid, kids[first - 1]
            for at in range(first, bisect_left(starts, end)):
                yield starts[at], kid, kids[at]

    def _along(self, diagram: int, starts: Sequence[int]) -> Iterator[int]:
        """Its kid at each of the starts, which are ascending and have all of its own among them."""
        own, kids, n = self._starts[diagram], self._kids[diagram], 0
        last = len(own) - 1
        for start in starts:
            if n < last and own[n + 1] == start:
                n += 1
            yield kids[n]

    def _joined(self, level: int, starts: Sequence[int], kids: Sequence[int]) -> int:
        """A node whose neighbours may be equal."""
        kept = [n for n in range(len(kids)) if n == 0 or kids[n] != kids[n - 1]]
        return self._node(level, [starts[n] for n in kept], [kids[n] for n in kept])

    def relabel(self, diagram: int, outcomes: Mapping[int, int]) -> int:
        """Other diagrams in place of some outcomes, `NOTHING` too; what comes in asks later fields only."""
        done = dict(outcomes)

        def walk(here: int) -> int:
            found = done.get(here)
            if found is None:
                level = self._levels[here]
                if level == _LEAF:
                    return here
                found = done[here] = self._joined(level, self._starts[here], [walk(kid) for kid in self._kids[here]])
            return found

        return walk(diagram)

    def outside(self, among: int) -> int:
        """The packets that are not in it."""
        return self.relabel(among, {NOTHING: IN, IN: NOTHING})

    def restrict(self, diagram: int, values: Mapping[int, int]) -> int:
        """What it says of packets that have these values in these fields, whatever they have."""
        done: dict[int, int] = {}
        last = max(values, default=-1)

        def walk(here: int) -> int:
            level = self._levels[here]
            if level > last:
                return here
            if level in values:
                return walk(self._kids[here][bisect_right(self._starts[here], values[level]) - 1])
            found = done.get(here)
            if found is None:
                found = done[here] = self._joined(level, self._starts[here], [walk(kid) for kid in self._kids[here]])
            return found

        return walk(diagram)

    def swap(self, diagram: int, fields: Collection[int]) -> int:
        """What it says of packets with 0 for 1 and 1 for 0 in these fields, which have two values."""
        done: dict[int, int] = {}
        last = max(fields, default=-1)

        def walk(here: int) -> int:
            level = self._levels[here]
            if level > last:
                return here
            found = done.get(here)
            if found is None:
                kids = [walk(kid) for kid in self._kids[here]]
                found = done[here] = self._node(level, self._starts[here], kids[::-1] if level in fields else kids)
            return found

        return walk(diagram)

    def shift(self, diagram: int, field: int) -> int:
        """What it says of packets with one more in this field; those that have the most already stay."""
        done: dict[int, int] = {}

        def walk(here: int) -> int:
            level = self._levels[here]
            if level > field:
                return here
            found = done.get(here)
            if found is None:
                starts, kids = self._starts[here], self._kids[here]
                if level == field:
                    at = bisect_right(starts, 1) - 1
                    starts, kids = (0, *(start - 1 for start in starts[at + 1 :])), kids[at:]
                found = done[here] = self._joined(level, starts, list(map(walk, kids)))
            return found

        return walk(diagram)

    # Asking

    def outcomes(self) -> Mapping[Hashable, int]:
        """Every outcome so far, with its diagram."""
        return self._leaves

    def width(self, diagram: int) -> int:
        """Into how many intervals it splits the first field that it asks, or the one behind that, if those are more."""
        own = self._kids[diagram]
        return max(len(own), max((len(self._kids[kid]) for kid in own[:3]), default=0))

    def said(self, diagram: int) -> Iterator[Hashable]:
        """The outcomes that it has for some packet, `NOTHING` too."""
        return (self._values[here] for here in self._below(diagram) if self._levels[here] == _LEAF)

    def asked(self, diagram: int) -> frozenset[int]:
        """The fields that it asks."""
        return frozenset(map(self._levels.__getitem__, self._below(diagram))) - {_LEAF}

    def pieces(self, diagram: int, field: int) -> list[Range]:
        """The ranges of the field within which it says the same, whatever the others are; ascending."""
        starts = {0}.union(*(self._starts[here] for here in self._below(diagram) if self._levels[here] == field))
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
        while self._levels[diagram] != _LEAF:
            value = packet.get(self._levels[diagram], 0)
            diagram = self._kids[diagram][bisect_right(self._starts[diagram], value) - 1]
        return self._values[diagram]

    def differences(self, one: int, two: int) -> Iterator[tuple[dict[int, Range], Hashable, Hashable]]:
        """Disjoint boxes of packets of which the two say different things, and these; none when they are equal. Every
        pair of different parts is shown once, not in each place where it occurs."""
        shown: set[tuple[int, int]] = set()

        def walk(a: int, b: int, box: dict[int, Range]) -> Iterator[tuple[dict[int, Range], Hashable, Hashable]]:
            if a == b or (a, b) in shown:
                return
            shown.add((a, b))
            level = min(self._levels[a], self._levels[b])
            if level == _LEAF:
                shown.discard((a, b))
                yield box, self._values[a], self._values[b]
                return
            sides = [self._starts[x] if self._levels[x] == level else () for x in (a, b)]
            starts = sorted({*sides[0], *sides[1]})
            ends = [*(start - 1 for start in starts[1:]), self.sizes[level] - 1]
            kids = [self._along(x, starts) if side else repeat(x) for x, side in zip((a, b), sides, strict=True)]
            for low, high, own, other in zip(starts, ends, *kids, strict=False):
                yield from walk(own, other, {**box, level: (low, high)})

        yield from walk(one, two, {})


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
