"""`Diagrams` once more, made of another project's binary decision diagrams (OxiDD): a second opinion on whole proofs.

Both sides of a proof are built by the same code as ever; what they are made of, and so every union, substitution and
comparison, is another one. A diagram is here a set of packets for each outcome, as Boolean functions of the bits of
all fields, the highest bit first. Where a field has fewer values than its bits, the codes that are too many mean the
last value. Cells and narrowing, which only save time, are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import cast

from oxidd.bcdd import BCDDFunction, BCDDManager

from compiler.semantics.diagrams.diagram import Diagrams
from compiler.semantics.diagrams.diagram_nodes import IN, LEAF, NOTHING, Box
from compiler.semantics.diagrams.ranges import Range, merged
from compiler.semantics.diagrams.space import Space, space
from tests.compiler.semantics.bdd import prefixes

#: (outcome, packets), the outcomes ascending, none without packets; the sets are disjoint.
Parts = tuple[tuple[int, BCDDFunction], ...]


class BddDiagrams:
    """What `policy_diagram` and `text_diagram` use of `Diagrams`, by the same names."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._manager = BCDDManager(1 << 21, 1 << 19, 1)
        self._true, self._false = self._manager.true(), self._manager.false()
        self.sizes: list[int] = []
        self._fields: list[int] = []  # of each bit
        self._first: list[int] = []  # bit of each field
        self._parts: list[Parts] = []
        self._numbers: dict[Parts, int] = {}
        self._leaves: dict[Hashable, int] = {}
        self._values: dict[int, Hashable] = {}
        for size in sizes:
            self.add_field(size)
        assert self._store({}) == NOTHING
        self._leaves["nothing"], self._values[NOTHING] = NOTHING, "nothing"
        assert self.outcome("in") == IN

    def add_field(self, size: int) -> int:
        bits = (size - 1).bit_length()
        self._first.append(len(self._fields))
        self._fields += [len(self.sizes)] * bits
        self._manager.add_vars(bits)
        self.sizes.append(size)
        return len(self.sizes) - 1

    def _store(self, parts: Mapping[int, BCDDFunction]) -> int:
        key = tuple((leaf, parts[leaf]) for leaf in sorted(parts) if parts[leaf] != self._false)
        if key not in self._numbers:
            self._numbers[key] = len(self._parts)
            self._parts.append(key)
        return self._numbers[key]

    # Making

    def outcome(self, value: Hashable) -> int:
        if value not in self._leaves:
            leaf = len(self._parts)
            self._leaves[value], self._values[leaf] = leaf, value
            assert self._store({leaf: self._true}) == leaf
        return self._leaves[value]

    def outcomes(self) -> Mapping[Hashable, int]:
        return self._leaves

    def inside(self, field: int, ranges: Iterable[Range], then: int = IN) -> int:
        last = self.sizes[field] - 1
        bits = last.bit_length()
        blocks = [
            self._block(field, base, length)
            for low, high in merged(ranges)
            for base, length in prefixes(low, (1 << bits) - 1 if high >= last else high, bits)
        ]
        among = self._union(blocks)
        return self._store({leaf: among & packets for leaf, packets in self._parts[then]})

    def box(self, box: Box, then: int = IN) -> int:
        for field in sorted(box, reverse=True):
            then = self.inside(field, [box[field]], then)
        return then

    def rows(self, fields: Sequence[int], rows: Iterable[tuple[Range, ...]]) -> int:
        return self.first([reduce(self._narrowed, zip(fields, row, strict=True), IN) for row in rows])

    def _narrowed(self, then: int, asked: tuple[int, Range]) -> int:
        field, span = asked
        return self.inside(field, [span], then)

    def _block(self, field: int, base: int, length: int) -> BCDDFunction:
        found, bits = self._true, (self.sizes[field] - 1).bit_length()
        for n in reversed(range(length)):
            bit = self._manager.var(self._first[field] + n)
            found = (bit if base >> bits - 1 - n & 1 else ~bit) & found
        return found

    def _union(self, sets: list[BCDDFunction]) -> BCDDFunction:
        while len(sets) > 1:
            sets = [one | two for one, two in zip(sets[::2], [*sets[1::2], self._false], strict=False)]
        return sets[0] if sets else self._false

    # Combining

    def first(self, diagrams: Iterable[int]) -> int:
        lists = [dict(self._parts[diagram]) for diagram in diagrams]
        while len(lists) > 1:
            lists = [self._behind(one, two) for one, two in zip(lists[::2], [*lists[1::2], {}], strict=False)]
        return self._store(lists[0]) if lists else NOTHING

    def _behind(self, one: dict[int, BCDDFunction], two: dict[int, BCDDFunction]) -> dict[int, BCDDFunction]:
        silent = ~self._union(list(one.values()))
        found = dict(one)
        for leaf, packets in two.items():
            found[leaf] = found.get(leaf, self._false) | (packets & silent)
        return found

    def where(self, among: int, diagram: int) -> int:
        packets = dict(self._parts[among])
        assert packets.keys() <= {IN}, "a set of packets has no outcomes but IN"
        own = packets.get(IN, self._false)
        return self._store({leaf: own & found for leaf, found in self._parts[diagram]})

    def _all(self, diagram: int) -> Parts:
        """Nothing among the outcomes."""
        parts = self._parts[diagram]
        silent = ~self._union([packets for _, packets in parts])
        return parts if silent == self._false else ((NOTHING, silent), *parts)

    def relabel(self, diagram: int, outcomes: Mapping[int, int]) -> int:
        found: dict[int, BCDDFunction] = {}
        for leaf, packets in self._all(diagram):
            for other, more in self._parts[outcomes.get(leaf, leaf)]:
                found[other] = found.get(other, self._false) | (packets & more)
        return self._store(found)

    #: Sets of packets have no order of fields to keep.
    replaced = relabel

    def combined(self, one: int, two: int, both: Callable[[int, int], int]) -> int:
        silent = ~self._union([packets for _, packets in self._parts[one]])
        found = {leaf: packets & silent for leaf, packets in self._parts[two]}
        for mine, packets in self._parts[one]:
            for theirs, others in self._all(two):
                for leaf, more in self._parts[both(mine, theirs)]:
                    found[leaf] = found.get(leaf, self._false) | (packets & others & more)
        return self._store(found)

    def outside(self, among: int) -> int:
        return self.relabel(among, {NOTHING: IN, IN: NOTHING})

    def _substituted(self, diagram: int, bits: Mapping[int, BCDDFunction]) -> int:
        substitution = BCDDFunction.make_substitution(bits.items())
        return self._store({leaf: packets.substitute(substitution) for leaf, packets in self._parts[diagram]})

    def _bits(self, field: int) -> range:
        return range(self._first[field], self._first[field] + (self.sizes[field] - 1).bit_length())

    def restrict(self, diagram: int, values: Mapping[int, int]) -> int:
        bits = {
            bit: self._true if values[field] >> place & 1 else self._false
            for field in values
            for place, bit in enumerate(reversed(self._bits(field)))
        }
        return self._substituted(diagram, bits) if bits else diagram

    def swap(self, diagram: int, fields: Collection[int]) -> int:
        bits = {bit: ~self._manager.var(bit) for field in fields for bit in self._bits(field)}
        return self._substituted(diagram, bits) if bits else diagram

    def shift(self, diagram: int, field: int) -> int:
        """Each bit is turned when all lower ones are set; all stay when every one is."""
        carry, bits = self._true, dict[int, BCDDFunction]()
        most = dict(self._parts[self.inside(field, [(self.sizes[field] - 1,) * 2])])[IN]
        for bit in reversed(self._bits(field)):
            own = self._manager.var(bit)
            bits[bit] = (own & ~carry) | (~own & carry) | most
            carry = carry & own
        return self._substituted(diagram, bits)

    # Asking

    def whole(self, diagram: int) -> Hashable:
        return self._values[diagram]

    def said(self, diagram: int) -> Iterable[Hashable]:
        return [self._values[leaf] for leaf, _ in self._all(diagram)]

    def first_field(self, diagram: int) -> int:
        return min(self.asked(diagram), default=LEAF)

    def asked(self, diagram: int) -> frozenset[int]:
        return frozenset(self._fields[bit] for bit in self._asked_bits(diagram))

    def _asked_bits(self, diagram: int) -> set[int]:
        seen: set[BCDDFunction] = set()
        found: set[int] = set()
        todo = [packets for _, packets in self._parts[diagram]]
        while todo:
            here = todo.pop()
            if here not in seen and (bit := here.node_var()) is not None:
                seen.add(here)
                found.add(bit)
                todo += here.cofactors() or ()
        return found

    def pieces(self, diagram: int, field: int) -> list[Range]:
        found: list[tuple[int, int, int]] = []
        for low, high, here in self._pieces(diagram, list(self._bits(field)), 0):
            if found and found[-1][2] == here:
                low = found.pop()[0]
            found.append((low, high, here))
        last = self.sizes[field] - 1
        return [(low, min(high, last)) for low, high, _ in found if low <= last]

    def _pieces(self, diagram: int, bits: list[int], low: int) -> Iterator[tuple[int, int, int]]:
        """(first, last, what it says there) of the values that begin as `low` does, by their last bits."""
        size = 1 << len(bits)
        if self._asked_bits(diagram).isdisjoint(bits):
            yield low, low + size - 1, diagram
            return
        for start, value in ((low, self._false), (low + size // 2, self._true)):
            yield from self._pieces(self._substituted(diagram, {bits[0]: value}), bits[1:], start)

    def width(self, diagram: int) -> int:
        """Too wide to narrow anything."""
        return 1 << 30


def bdd_space(version: int) -> Space:
    """As `space`, of OxiDD's diagrams."""
    ours = space(version)
    made = BddDiagrams(ours.made.sizes)
    return Space(version, cast(Diagrams, made), ours.source, ours.destination)
