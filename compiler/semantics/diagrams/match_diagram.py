"""What one condition of a rule holds for, as a set of packets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from compiler.semantics.diagrams.diagram import IN, NOTHING, Range
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.odds import probability
from compiler.semantics.diagrams.space import LEVELS, MARK_BITS, Level, Space
from compiler.semantics.rules.netfilter import Barrier, Condition, Element, Field, In, InSet, Key, Opaque, Table

ALL_BITS = (1 << MARK_BITS) - 1
#: So many answers of stateful matches are told apart.
_MOST_BARRIERS = 4096


class Matches:
    """Sets of packets of one space. A test that is not modelled but pure is one Boolean for each text; one that
    depends on more than the packet (limit, recent, statistic) is another one each time it is asked."""

    def __init__(self, over: Space) -> None:
        self._over, self._made = over, over.made
        self._sets: dict[tuple[int, tuple[Key, ...], str], int] = {}
        self._asked: dict[Condition, int] = {}
        self._defined: dict[tuple[int, str], Callable[[tuple[Key, ...]], int]] = {}
        #: Text of each test that nobody can look into, by its level.
        self.opaque: dict[int, str] = {}
        self._levels: dict[str, int] = {}
        #: Tests of addresses under a mask that is no prefix, which intervals cannot say: Booleans, too.
        self.masked: dict[int, In] = {}
        #: Tests by chance alone, with how likely they hold.
        self.coins: dict[int, Fraction] = {}
        #: Unknowns that are the same whatever becomes of the packet.
        self.settled: set[int] = set()
        #: How many tests that depend on more than the packet were asked.
        self.barriers = 0

    def define(self, table: Table, name: str, members: Callable[[tuple[Key, ...]], int]) -> None:
        """From here on `members` tells which packets are in the set, by what it is asked for, and not its elements."""
        self._defined[id(table), name] = members

    def holds(self, table: Table, condition: Condition) -> int:
        if isinstance(condition, InSet | Barrier):
            return self._holds(table, condition)
        found = self._asked.get(condition)
        if found is None:
            found = self._asked[condition] = self._holds(table, condition)
        return found

    def _holds(self, table: Table, condition: Condition) -> int:
        match condition:
            case In(Field.FAMILY, intervals):
                return IN if any(low <= self._over.version <= high for low, high in intervals) else NOTHING
            case In(Field.MARK, intervals, mask):
                return self.marked(intervals, ALL_BITS if mask is None else mask)
            case In(field, intervals, mask) if mask is not None and values_of((), mask, self._top(field)) is None:
                level = self._boolean(f"{field.value} & {mask:#x} in {intervals}")
                self.masked[level] = condition
                return self._made.inside(level, [(1, 1)])
            case In(field, intervals, mask):
                return self._made.inside(self._over.level(field), self._values(Key(field, mask), intervals))
            case InSet(keys, name, negated):
                members = self._members(table, keys, name)
                return self._made.outside(members) if negated else members
            case Opaque(text, negated):
                level = self._boolean(text)
                return self._made.inside(level, [(0, 0) if negated else (1, 1)])
            case Barrier(text):
                self.barriers += 1
                if self.barriers > _MOST_BARRIERS:
                    raise Unprovable(f"more than {_MOST_BARRIERS} stateful matches on a path, the last: {text}")
                level, share = self._boolean(f"{text} (time {self.barriers})"), probability(text)
                if share is not None:
                    self.coins[level] = share
                    self.settled.add(level)
                return self._made.inside(level, [(1, 1)])

    def coin(self, text: str, share: Fraction) -> int:
        """The packets of which a test by chance holds; the same text is the same throw."""
        level = self._boolean(text)
        self.coins[level] = share
        self.settled.add(level)
        return self._made.inside(level, [(1, 1)])

    def unknown(self, text: str) -> int:
        """The packets of which an unknown is true."""
        level = self._boolean(text)
        self.settled.add(level)
        return self._made.inside(level, [(1, 1)])

    def _boolean(self, text: str) -> int:
        if text not in self._levels:
            self._levels[text] = self._made.add_field(2)
            self.opaque[self._levels[text]] = text
        return self._levels[text]

    def _members(self, table: Table, keys: tuple[Key, ...], name: str) -> int:
        cached = (id(table), keys, name)
        if (id(table), name) in self._defined:
            return self._defined[id(table), name](keys)
        if cached not in self._sets:
            made, elements = self._made, table.sets[name].elements
            if all(element.member for element in elements):
                self._sets[cached] = self.elements(keys, elements)
            else:
                left_out = made.outcome("no member")
                whole = made.first([self.elements(keys, [e], IN if e.member else left_out) for e in elements])
                self._sets[cached] = made.relabel(whole, {left_out: NOTHING})
        return self._sets[cached]

    def elements(self, keys: Sequence[Key], elements: Sequence[Element], then: int = IN) -> int:
        for key in keys:
            if key.field not in LEVELS:
                raise Unprovable(f"a set or map that is asked for the {key.field.value}")
        plain = all(key.mask is None for key in keys)
        rows: Iterable[tuple[Range, ...]]
        if plain:
            rows = [element.box for element in elements]
        else:
            rows = [
                spans
                for element in elements
                if len(spans := tuple(s for k, i in zip(keys, element.box, strict=True) for s in self._values(k, (i,))))
                == len(keys)
            ]
        members = self._made.rows([self._over.level(key.field) for key in keys], rows)
        return members if then == IN else self._made.relabel(members, {IN: then})

    def _values(self, key: Key, intervals: Iterable[Range]) -> list[Range]:
        """Where the field has to be for its number, masked, to be in the intervals."""
        found = values_of(intervals, key.mask, self._top(key.field))
        if found is None:
            raise Unprovable(f"a set that is asked for the {key.field.value} & {key.mask:#x}, which is no prefix")
        return found

    def _top(self, field: Field) -> int:
        return self._made.sizes[self._over.level(field)] - 1

    def marked(self, intervals: Iterable[Range], mask: int) -> int:
        """The marks that lie, masked, in one of the intervals."""

        def build(bit: int, low: int, high: int) -> int:
            """For the bits from `bit` down; low and high are bounds of those bits alone."""
            full = (1 << bit + 1) - 1
            if low > high or high < 0 or low > full:
                return NOTHING
            if low <= 0 and high >= full:
                return IN
            half = 1 << bit
            zero = build(bit - 1, low, min(high, half - 1))
            if not mask & half:
                return zero
            one = build(bit - 1, max(low, half) - half, high - half)
            level = Level.MARK + MARK_BITS - 1 - bit
            return self._made.first([self._made.inside(level, [(0, 0)], zero), self._made.inside(level, [(1, 1)], one)])

        return self._made.first([build(MARK_BITS - 1, low, high) for low, high in intervals])


def values_of(intervals: Iterable[Range], mask: int | None, top: int) -> list[Range] | None:
    """Where a number from 0 to `top` has to be for it, masked, to be in the intervals; None for masks that are of no
    prefix, which ranges cannot say."""
    if mask is None:
        return [(low, min(high, top)) for low, high in intervals if low <= top]
    host = ~mask & top
    if host & (host + 1):
        return None
    spans = [(low + host & ~host, high & ~host) for low, high in intervals]
    return [(low, min(high | host, top)) for low, high in spans if low <= high and low <= top]


def are_disjoint(elements: Sequence[Element]) -> bool:
    """Whether no key can be in two elements, as far as that is quickly seen."""
    if all(low == high for element in elements for low, high in element.box):
        return len({element.box for element in elements}) == len(elements)
    if any(len(element.box) != 1 for element in elements):
        return False
    return all(one[1] < two[0] for one, two in pairwise(sorted(element.box[0] for element in elements)))
