"""Rules of a chain as values by which those of two texts can be compared: what each asks, and what it does.

What a rule asks is one set of numbers for each *axis*: a field, a field under a mask, membership of a set, or a match
that is not modelled (0 or 1). Axes are taken as if they had nothing to do with each other. So there are points that no
packet is, but each packet is one point, and what holds for all points holds for all packets.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from compiler.semantics.diagrams.spots import targets
from compiler.semantics.rules.netfilter import (
    Accept,
    Chain,
    Condition,
    Drop,
    Field,
    Goto,
    In,
    InSet,
    Intervals,
    Key,
    Lookup,
    Notice,
    NoTrack,
    Opaque,
    Return,
    Rewrite,
    Rule,
    Set,
    SetHops,
    SetMark,
    Statement,
    Table,
    Translate,
    Unmodelled,
)

#: Axis and numbers, each by its own number, in the order of axes.
Asks = tuple[tuple[int, int], ...]
#: What may be other behind a rule than in front of it: fields, parts of the header, or anything at all.
Changed = frozenset[Field | str]
ANYTHING = "anything"
NOTHING_CHANGED: Changed = frozenset()

_ENDS = (Accept, Drop, Return, Goto, Translate)
_FIRST = (Field.DESTINATION, Field.SOURCE, Field.DESTINATION_PORT, Field.SOURCE_PORT, Field.PROTOCOL)
_ADDRESSES = (Field.SOURCE, Field.DESTINATION)
_IPV4_TOP = (1 << 32) - 1


class Entry(NamedTuple):
    """`asks`: what a packet is asked before anything is done. `does`: all the rest; with `ends` the same for any
    packet, whose way through the chain ends here. `changed`: of packets that go on with the next rule. `rule`: None of
    the end of a list of rules."""

    asks: Asks
    does: Hashable
    ends: bool
    changed: Changed = NOTHING_CHANGED
    rule: Rule | None = None


class Axes:
    """The numbers of axes and of what is asked of them, one for all texts that are compared."""

    def __init__(self, families: frozenset[int]) -> None:
        self.families = tuple((family, family) for family in sorted(families))
        #: By number: what can be asked for; what an axis depends on, nothing of what depends on the whole packet; and
        #: what it holds where nothing is asked.
        self.spans: list[Intervals] = []
        self.of: list[frozenset[Field]] = []
        self.whole: list[Intervals] = []
        self._span_numbers: dict[Intervals, int] = {}
        self._axis_numbers: dict[Hashable, int] = {}
        self._fields: dict[tuple[int, int | None], int] = {}  # by identity: hashing a Field is Python
        self._contents: dict[Hashable, int] = {}
        self._known: dict[int, tuple[Set, int]] = {}
        for field in _FIRST:
            self.field(field)

    def field(self, field: Field, mask: int | None = None) -> int:
        """The axis of a field."""
        known = self._fields.get((id(field), mask))
        if known is None:
            top = mask if mask is not None else field.top
            if field in _ADDRESSES and self.families == ((4, 4),):
                top &= _IPV4_TOP
            whole = self.families if field is Field.FAMILY else ((0, top),)
            known = self._fields[id(field), mask] = self._axis((field, mask), frozenset({field}), whole)
        return known

    def members(self, keys: tuple[Key, ...], found: Set) -> int:
        """The axis of a question to a set."""
        return self._axis((keys, self.content(found)), frozenset(key.field for key in keys), ((0, 1),))

    def match(self, text: str) -> int:
        """The axis of a match that is not modelled; it may look at anything."""
        return self._axis(text, frozenset(), ((0, 1),))

    def content(self, found: Set) -> int:
        """Equal for sets with the same elements, whatever they are called."""
        known = self._known.get(id(found))
        if known is None:
            elements = tuple((element.box, element.verdict, element.member) for element in found.elements)
            known = self._known[id(found)] = found, self._contents.setdefault(elements, len(self._contents))
        return known[1]

    def span(self, numbers: Intervals) -> int:
        """The number of what is asked for."""
        found = self._span_numbers.get(numbers)
        if found is None:
            found = self._span_numbers[numbers] = len(self.spans)
            self.spans.append(numbers)
        return found

    def _axis(self, key: Hashable, of: frozenset[Field], whole: Intervals) -> int:
        found = self._axis_numbers.get(key)
        if found is None:
            found = self._axis_numbers[key] = len(self.of)
            self.of.append(of)
            self.whole.append(whole)
        return found


class Effects:
    """What rules may change of packets that go on behind them; of chains, in any of these tables that have them."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables
        self._known: dict[str, Changed] = {}

    def of_part(self, part: Condition | Statement, table: Table) -> Changed:
        match part:
            case SetMark():
                return frozenset({Field.MARK})
            case NoTrack():
                return frozenset({Field.STATE})
            case SetHops():
                return frozenset({Field.HOPS})
            case Rewrite(what, _):
                return frozenset({what})
            case Unmodelled():
                return frozenset({ANYTHING})
            case _:
                return NOTHING_CHANGED.union(*map(self.of_chain, targets(table, part)))

    def of_chain(self, name: str) -> Changed:
        """What any of its rules may change, or of a chain that it leads to."""
        if name not in self._known:
            parts = [
                (part, table)
                for table in self._tables
                if name in table.chains
                for rule in table.chains[name].rules
                for part in rule.parts
            ]
            self._known[name] = NOTHING_CHANGED.union(*(self.of_part(*one) for one in parts))
        return self._known[name]


class Reader:
    """Of a table. `axes`, `effects`: of all that it is compared with."""

    def __init__(self, table: Table, axes: Axes, effects: Effects) -> None:
        self._table, self._axes, self._effects = table, axes, effects
        self._sides: dict[tuple[int, int], tuple[Set, Intervals]] = {}

    def entries(self, chain: Chain) -> Iterator[Entry]:
        """The chain's rules in their order, without those that no packet meets or that do nothing, and its end."""
        policy = Return() if chain.base is None else Accept() if chain.base.accepts else Drop()
        for rule in chain.rules:
            found = self._entry(rule, policy)
            if found is not None:
                yield found
        yield Entry((), (policy,), True)

    def _entry(self, rule: Rule, policy: Statement) -> Entry | None:
        asked: dict[int, Intervals] = {}
        at = 0
        for part in rule.parts:
            if not isinstance(part, In | InSet | Opaque):
                break
            at += 1
            for axis, numbers in self._asked(part):
                known = asked.get(axis)
                asked[axis] = numbers if known is None else common(known, numbers)
        rest = rule.parts[at:]
        if not rest or not all(asked.values()):
            return None
        axes = self._axes
        asks = tuple((n, axes.span(numbers)) for n, numbers in sorted(asked.items()) if numbers != axes.whole[n])
        does = tuple(self._meant(part, policy) for part in rest)
        ends = isinstance(rest[-1], _ENDS) and all(isinstance(part, _PLAIN) for part in rest[:-1])
        changed = NOTHING_CHANGED
        if not ends:
            changed = changed.union(*(self._effects.of_part(part, self._table) for part in rest))
        return Entry(asks, does, ends, changed, rule)

    def _asked(self, part: In | InSet | Opaque) -> Iterator[tuple[int, Intervals]]:
        match part:
            case In(field, numbers, mask):
                axis = self._axes.field(field, mask)
                yield axis, common(numbers, self._axes.whole[axis])
            case Opaque(text, negated):
                yield self._axes.match(text), ((int(not negated),) * 2,)
            case InSet(keys, name, negated):
                found = self._table.sets[name]
                yield self._axes.members(keys, found), ((int(not negated),) * 2,)
                if not negated:  # and so each key lies where some element has it
                    for n, key in enumerate(keys):
                        if key.mask is None:
                            axis = self._axes.field(key.field)
                            yield axis, common(self._side(found, n), self._axes.whole[axis])

    def _side(self, found: Set, key: int) -> Intervals:
        """The numbers that members have for a key."""
        known = self._sides.get((id(found), key))
        if known is None:
            known = found, union(element.box[key] for element in found.elements if element.member)
            self._sides[id(found), key] = known
        return known[1]

    def _meant(self, part: Condition | Statement, policy: Statement) -> Hashable:
        match part:
            case InSet(keys, name, negated):
                return keys, self._axes.content(self._table.sets[name]), negated
            case Lookup(keys, name):
                return keys, self._axes.content(self._table.sets[name])
            case Return():
                return policy
            case _:
                return part


#: What does the same to every packet, which then goes on with the rest of the rule.
_PLAIN = (SetMark, NoTrack, SetHops, Rewrite, Notice)


def changes(entry: Entry, changed: Changed, axes: Axes) -> bool:
    """Whether a packet of which so much has changed may meet the entry otherwise than before."""
    return bool(changed) and any(
        ANYTHING in changed or not axes.of[axis] or not axes.of[axis].isdisjoint(changed) for axis, _ in entry.asks
    )


def common(one: Intervals, two: Intervals) -> Intervals:
    """The numbers of both."""
    found = [(max(a, c), min(b, d)) for a, b in one for c, d in two if a <= d and c <= b]
    return tuple(found)


def union(many: Iterable[tuple[int, int]]) -> Intervals:
    """The numbers of any."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(many):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return tuple(found)


def without(one: Intervals, two: Intervals) -> Intervals:
    """The numbers of the first alone."""
    found = list(one)
    for low, high in two:
        found = [part for a, b in found for part in ((a, min(b, low - 1)), (max(a, high + 1), b)) if part[0] <= part[1]]
    return tuple(found)
