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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat

from compiler.semantics.diagrams.cells import Cells, in_cells
from compiler.semantics.diagrams.diagram_nodes import IN, LEAF, NOTHING, Box, Nodes
from compiler.semantics.diagrams.ranges import Range, merged

__all__ = ["IN", "NOTHING", "Box", "Diagrams", "Range", "merged"]

#: A first field is told apart at once where it has so few parts.
_FEW = 16


class Diagrams(Nodes):
    """All diagrams of one order of fields, and what can be made of them."""

    def __init__(self, sizes: Sequence[int], cells: Mapping[int, Cells] | None = None) -> None:
        super().__init__(sizes, cells)
        self._firsts: dict[tuple[int, ...], int] = {}
        self._wheres: dict[tuple[int, int], int] = {}

    def rows(self, fields: Sequence[int], rows: Iterable[tuple[Range, ...]]) -> int:
        """The packets that match one of the rows, which have a range for each of the fields: a set of netfilter's. A
        field that is there twice must be in both ranges."""
        if len(set(fields)) < len(fields):
            fields, rows = list(dict.fromkeys(fields)), list(_each_once(fields, rows))
        order = sorted(range(len(fields)), key=fields.__getitem__)
        ordered = [fields[n] for n in order]
        same = order == list(range(len(order)))
        found = list(rows) if same else [tuple(row[n] for n in order) for row in rows]
        cells = [self._cells.get(field) for field in ordered]
        if len(fields) > 1 and any(cells) and (whole := in_cells(found, cells)) is not None:
            return self._rows(ordered, whole, [None] * len(cells))
        return self._rows(ordered, found, cells)

    def _rows(self, fields: Sequence[int], rows: Sequence[tuple[Range, ...]], cells: Sequence[Cells | None]) -> int:
        """`cells`: of each field, None where the rows have the numbers that are used inside."""
        if len(fields) == 1:
            return self._parts(fields[0], [(*row[0], IN) for row in rows], cells[0])
        groups: dict[Range, list[tuple[Range, ...]]] = {}
        for row in rows:
            groups.setdefault(row[0], []).append(row[1:])
        parts = [(*span, self._rows(fields[1:], groups[span], cells[1:])) for span in sorted(groups)]
        if all(one[1] < two[0] for one, two in pairwise(parts)):
            return self._parts(fields[0], parts, cells[0])
        return self.first([self._parts(fields[0], [part], cells[0]) for part in parts])

    def _parts(self, field: int, parts: Sequence[tuple[int, int, int]], cells: Cells | None) -> int:
        """A node from (first, last, diagram), which are disjoint where the diagrams differ."""
        kids: dict[int, list[Range]] = {}
        for low, high, kid in parts:
            kids.setdefault(kid, []).append((low, high))
        spans = {kid: merged(own) if cells is None else cells.numbers(own) for kid, own in kids.items()}
        return self._split(field, sorted((low, high, kid) for kid, own in spans.items() for low, high in own))

    def first(self, diagrams: Iterable[int]) -> int:
        """What the first of them says that says anything of the packet."""
        levels = self._levels
        said: dict[int, None] = {}
        for diagram in diagrams:
            if diagram != NOTHING:
                said[diagram] = None
                if levels[diagram] == LEAF:
                    break
        key = tuple(said)
        if len(key) < 2:
            return key[0] if key else NOTHING
        return self._firsts.get(key) or self._swept(key)

    def _swept(self, key: tuple[int, ...]) -> int:
        """Never NOTHING: each of the key says something, and what says something somewhere is in the result."""
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
        firsts, leaves = self._firsts, self._values
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
                said = []
                for place in speaking:
                    kid = now[place]
                    said.append(kid)
                    if kid in leaves:
                        break
                among = tuple(dict.fromkeys(said))
                kid = (among[0] if len(among) == 1 else firsts.get(among)) or self._swept(among)
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
        assert one != LEAF, "a set of packets has no outcomes but IN"
        # Kids that are NOTHING, which is 0, say nothing whatever they meet.
        if one < two:
            kids = [kid and self.where(kid, diagram) for kid in self._kids[among]]
            return self._joined(one, self._starts[among], kids)
        if two < one:
            kids = [kid and self.where(among, kid) for kid in self._kids[diagram]]
            return self._joined(two, self._starts[diagram], kids)
        if len(self._starts[among]) <= len(self._starts[diagram]):
            parts = ((low, a and b and self.where(a, b)) for low, a, b in self._overlaps(among, diagram))
        else:
            parts = ((low, a and b and self.where(a, b)) for low, b, a in self._overlaps(diagram, among))
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
        ends = [*self._starts[few][1:], self._count(self._levels[few])]
        starts, kids = self._starts[many], self._kids[many]
        for low, end, kid in zip(self._starts[few], ends, self._kids[few], strict=True):
            if kid == NOTHING:
                yield low, NOTHING, NOTHING
                continue
            first = bisect_right(starts, low)
            yield low, kid, kids[first - 1]
            for at in range(first, bisect_left(starts, end)):
                yield starts[at], kid, kids[at]

    def relabel(self, diagram: int, outcomes: Mapping[int, int]) -> int:
        """Other diagrams in place of some outcomes, `NOTHING` too; what comes in asks later fields only."""
        done = dict(outcomes)

        def walk(here: int) -> int:
            kids = self._walked(here, done, walk)
            done[here] = found = here if kids is None else self._joined(self._levels[here], self._starts[here], kids)
            return found

        return done[diagram] if diagram in done else walk(diagram)

    def _walked(self, diagram: int, done: Mapping[int, int], walk: Callable[[int], int]) -> list[int] | None:
        """Its kids as they are done, or else become by the walk; None where all stay what they are. An outcome has
        none."""
        known, before = done.get, self._kids[diagram]
        kids = [walk(kid) if (found := known(kid)) is None else found for kid in before]
        return None if tuple(kids) == before else kids

    def replaced(self, diagram: int, outcomes: Mapping[int, int]) -> int:
        """As `relabel`; what comes in may ask any field."""
        levels = self._levels
        level = min((levels[one] for one in outcomes.values()), default=LEAF)
        if level <= levels[diagram] != LEAF:
            parts = [one for one in (diagram, *outcomes.values()) if levels[one] == level]
            starts = sorted({0}.union(*(self._starts[one] for one in parts)))
            if len(starts) <= _FEW:
                return self._replaced_in_each(level, starts, diagram, outcomes)
        done = dict(outcomes)

        def walk(here: int) -> int:
            found, level, kids = here, levels[here], self._walked(here, done, walk)
            if kids is not None:
                made = self._joined if min(map(levels.__getitem__, kids)) > level else self._told_apart
                found = made(level, self._starts[here], kids)
            done[here] = found
            return found

        return done[diagram] if diagram in done else walk(diagram)

    def _replaced_in_each(self, level: int, starts: Sequence[int], diagram: int, outcomes: Mapping[int, int]) -> int:
        """The same, what comes in told apart by the first field first: else that is done at every node."""
        kids: list[int] = []
        before: tuple[int, list[int]] | None = None
        for start in starts:
            here, *inside = (self._kid(one, level, start) for one in (diagram, *outcomes.values()))
            if (here, inside) != before:
                kids.append(self.replaced(here, dict(zip(outcomes, inside, strict=True))))
                before = here, inside
            else:
                kids.append(kids[-1])
        return self._joined(level, starts, kids)

    def _kid(self, diagram: int, level: int, number: int) -> int:
        """What is behind its question for the field, if that comes first."""
        if self._levels[diagram] != level:
            return diagram
        return self._kids[diagram][bisect_right(self._starts[diagram], number) - 1]

    def _told_apart(self, level: int, starts: Sequence[int], kids: Sequence[int]) -> int:
        """A node whose kids ask fields in front of its own, too."""
        parts: dict[int, list[tuple[int, int, int]]] = {}
        for first, end, kid in zip(starts, [*starts[1:], self._count(level)], kids, strict=True):
            parts.setdefault(kid, []).append((first, end - 1, IN))
        return self.first([self.where(self._split(level, own), kid) for kid, own in parts.items()])

    def outside(self, among: int) -> int:
        """The packets that are not in it."""
        return self.relabel(among, {NOTHING: IN, IN: NOTHING})

    def restrict(self, diagram: int, values: Mapping[int, int]) -> int:
        """What it says of packets that have these values in these fields, whatever they have."""
        numbers = {field: self._number(field, value) for field, value in values.items()}
        done: dict[int, int] = {}
        last = max(numbers, default=-1)

        def walk(here: int) -> int:
            found, level = here, self._levels[here]
            if level in numbers:
                kid = self._kid(here, level, numbers[level])
                found = done[kid] if kid in done else walk(kid)
            elif level < last:
                kids = self._walked(here, done, walk)
                found = here if kids is None else self._joined(level, self._starts[here], kids)
            done[here] = found
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

    def combined(self, one: int, two: int, both: Callable[[int, int], int]) -> int:
        """What the first says, where it says nothing the second, and what `both` makes of two outcomes where the first
        says something."""
        done: dict[tuple[int, int], int] = {}

        def walk(a: int, b: int) -> int:
            if a == NOTHING:
                return b
            found = done.get((a, b))
            if found is None:
                level = min(self._levels[a], self._levels[b])
                found = done[a, b] = both(a, b) if level == LEAF else split(level, a, b)
            return found

        def split(level: int, a: int, b: int) -> int:
            if self._levels[a] != level:
                return self._joined(level, self._starts[b], [walk(a, kid) for kid in self._kids[b]])
            if self._levels[b] != level:
                return self._joined(level, self._starts[a], [walk(kid, b) for kid in self._kids[a]])
            starts, kids = list[int](), list[int]()
            others, theirs = self._starts[b], self._kids[b]
            ends = [*self._starts[a][1:], self._count(level)]
            for low, end, kid in zip(self._starts[a], ends, self._kids[a], strict=True):
                first, last = bisect_right(others, low) - 1, bisect_left(others, end)
                starts += [low, *others[first + 1 : last]]
                there = theirs[first:last]
                kids += there if kid == NOTHING else [walk(kid, other) for other in there]
            return self._joined(level, starts, kids)

        return walk(one, two)

    def folded(self, diagram: int, fields: Mapping[int, Callable[[int, int], int]]) -> int:
        """The same without these fields, which have two values: what is to be of a packet is made of what it says with
        0 and with 1, both folded; that asks later fields only."""
        done: dict[int, int] = {}
        last = max(fields, default=-1)

        def walk(here: int) -> int:
            level = self._levels[here]
            if level > last:
                return here
            found = done.get(here)
            if found is None:
                kids = [walk(kid) for kid in self._kids[here]]
                fold = fields.get(level)
                found = fold(*kids) if fold else self._joined(level, self._starts[here], kids)
                done[here] = found
            return found

        return walk(diagram)

    def shift(self, diagram: int, field: int) -> int:
        """What it says of packets with one more in this field; those that have the most already stay."""
        assert field not in self._cells, "one more is about values, not cells"
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


def _each_once(fields: Sequence[int], rows: Iterable[tuple[Range, ...]]) -> Iterator[tuple[Range, ...]]:
    """The rows with one range for each field; none for rows that nothing can match."""
    for row in rows:
        found: dict[int, Range] = {}
        for field, (low, high) in zip(fields, row, strict=True):
            known = found.get(field, (low, high))
            found[field] = max(low, known[0]), min(high, known[1])
        if all(low <= high for low, high in found.values()):
            yield tuple(found.values())
