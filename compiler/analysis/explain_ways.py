"""The ways of a packet through rules that may ask what nobody can tell from a policy repository.

A test that is not modelled (`-m owner`, `limit`) and every question for an interface's name has two answers, as far as
those before leave a choice: an interface has one name. All ways are followed, and only if they end alike is the verdict
known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from compiler.semantics.rules.journey import Situation, Trace, Unanswerable
from compiler.semantics.rules.netfilter import (
    Barrier,
    Chain,
    Condition,
    Element,
    Field,
    In,
    InSet,
    Intervals,
    Lookup,
    Opaque,
    Rule,
    Ruleset,
    Statement,
    Table,
    Unmodelled,
)
from compiler.semantics.rules.numbers import complement, normal
from compiler.semantics.rules.trace import Tracer

#: Ways that are followed; with more the verdict is not known.
MOST_WAYS = 256
_INTERFACES = {Field.INPUT, Field.OUTPUT}


@dataclass(frozen=True, slots=True)
class Miss:
    """A set or map that was asked, and what for: no element of it has this key. `ipset`: it is one of ipset's."""

    name: str
    key: tuple[tuple[Field, int], ...]
    ipset: bool


@dataclass(frozen=True, slots=True)
class Ways:
    """`trace`: the way if none of the tests in `assumed` (each with the first rule that asked it) holds, None where
    even that has no answer: `stuck` says why and at which rule. `passed` None: not known. `missed`: what named sets
    were asked for in vain on the way."""

    trace: Trace | None
    passed: bool | None
    assumed: Mapping[str, Rule]
    stuck: tuple[str, Rule] | None = None
    missed: tuple[Miss, ...] = ()


@dataclass(frozen=True, slots=True)
class Named(Opaque):
    """Whether the name of an interface lies in the intervals."""

    field: Field = Field.INPUT
    intervals: Intervals = ()


class _Given:
    """Answers that were given on a way, and the names that they leave to each interface. A match has one answer
    wherever it is asked, a barrier one for each rule."""

    def __init__(self) -> None:
        self.answers: dict[tuple[int, str], bool] = {}
        self._names: dict[Field, Intervals] = {field: ((0, field.top),) for field in _INTERFACES}

    def possible(self, test: Opaque | Barrier) -> tuple[bool, ...]:
        """The answers that agree with those before; the first is no where there are two."""
        if not isinstance(test, Named):
            return (False, True)
        names = self._names[test.field]
        inside = _common(names, test.intervals)
        return (True,) if inside == names else (False, True) if inside else (False,)

    def add(self, key: tuple[int, str], test: Opaque | Barrier, answer: bool) -> None:
        self.answers[key] = answer
        if isinstance(test, Named):
            kept = test.intervals if answer else complement(test.intervals, test.field.top)
            self._names[test.field] = _common(self._names[test.field], kept)

    def copy(self) -> _Given:
        found = _Given()
        found.answers = dict(self.answers)
        found._names = dict(self._names)
        return found


class _Recorder(Tracer):
    """Remembers what sets were asked for in vain."""

    missed: dict[tuple[int, str, tuple[int, ...]], Table]

    def find(self, table: Table, name: str, numbers: tuple[int, ...]) -> Element | None:
        found = super().find(table, name, numbers)
        if found is None:
            self.missed[id(table), name, numbers] = table
        return found


class Follower:
    """Follows packets through one ruleset; good for many."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._tracer = _Recorder(without_interfaces(ruleset), self._answer)
        self._given = _Given()
        self._left: list[_Given] = []
        self._asked: dict[str, Rule] = {}

    def follow(self, situation: Situation) -> Ways:
        """Raises ValueError when jumps lead in a circle."""
        self._left, self._asked, self._tracer.missed = [_Given()], {}, {}
        first = self._next(situation)
        missed = tuple(_misses(self._tracer.missed))
        passed = {first.passed if isinstance(first, Trace) else None}
        for _ in range(MOST_WAYS):
            if not self._left:
                break
            found = self._next(situation)
            passed.add(found.passed if isinstance(found, Trace) else None)
        known = passed.pop() if len(passed) == 1 and not self._left else None
        if isinstance(first, Trace):
            return Ways(first, known, self._asked, missed=missed)
        return Ways(None, None, self._asked, (first.what, first.rule), missed)

    def _next(self, situation: Situation) -> Trace | Unanswerable:
        self._given = self._left.pop()
        try:
            return self._tracer.trace(situation)
        except Unanswerable as error:
            return error

    def _answer(self, test: Opaque | Barrier, rule: Rule) -> bool:
        """Gives the first answer; the other one, if there is one, is left for later."""
        key = (id(rule) if isinstance(test, Barrier) else 0, test.text)
        if key not in self._given.answers:
            first, *others = self._given.possible(test)
            for other in others:
                self._left.append(self._given.copy())
                self._left[-1].add(key, test, other)
                self._asked.setdefault(test.text, rule)
            self._given.add(key, test, first)
        return self._given.answers[key]


def _misses(found: Mapping[tuple[int, str, tuple[int, ...]], Table]) -> Iterator[Miss]:
    """Sets that rules list themselves have no names, but such as no other set may have."""
    for (_, name, numbers), table in found.items():
        if not name.startswith("__"):
            ipset = table.sets[name].place.text.startswith(("create ", "-N "))
            yield Miss(name, tuple(zip(_fields(table, name), numbers, strict=True)), ipset)


def _fields(table: Table, name: str) -> tuple[Field, ...]:
    """What a set is asked for; all rules that ask it ask for the same kinds of numbers."""
    for chain in table.chains.values():
        for rule in chain.rules:
            for part in rule.parts:
                if isinstance(part, InSet | Lookup) and part.set == name:
                    return tuple(key.field for key in part.keys)
    raise AssertionError(name)


def without_interfaces(ruleset: Ruleset) -> Ruleset:
    """The ruleset with every question for an interface as a test that is not modelled: pods' interfaces have names
    that only their node knows."""
    return Ruleset(tuple(_table(table) for table in ruleset.tables))


def _table(table: Table) -> Table:
    changed = {
        name: replace(chain, rules=tuple(map(_rule, chain.rules)))
        for name, chain in table.chains.items()
        if _asks_interfaces(chain)
    }
    return replace(table, chains={**table.chains, **changed}) if changed else table


def _asks_interfaces(chain: Chain) -> bool:
    return any(_interfaces(part) for rule in chain.rules for part in rule.parts)


def _interfaces(part: Condition | Statement) -> bool:
    match part:
        case In(field):
            return field in _INTERFACES
        case InSet(keys) | Lookup(keys):
            return any(key.field in _INTERFACES for key in keys)
    return False


def _rule(rule: Rule) -> Rule:
    return replace(rule, parts=tuple(_part(part) if _interfaces(part) else part for part in rule.parts))


def _part(part: Condition | Statement) -> Condition | Statement:
    match part:
        case In(field, intervals):
            negated = bool(intervals) and intervals[0][0] == 0
            names = complement(intervals, field.top) if negated else intervals
            return Named(f"{field.value} {' or '.join(_names(names))}", negated, field, names)
        case InSet(keys, name, negated):
            return Opaque(f"{' . '.join(key.field.value for key in keys)} in {name}", negated)
        case Lookup(keys, name):
            return Unmodelled(f"{' . '.join(key.field.value for key in keys)} in {name}")
    raise AssertionError(part)


def _common(one: Intervals, two: Intervals) -> Intervals:
    found = ((max(a, c), min(b, d)) for a, b in one for c, d in two)
    return normal((low, high) for low, high in found if low <= high)


def _names(intervals: Intervals) -> Iterator[str]:
    """Names of interfaces as rules write them: `eth0`, `veth*`."""
    for low, high in intervals:
        name = low.to_bytes(16, "big").rstrip(b"\0").decode("ascii", "backslashreplace")
        yield name if low == high else f"{name}*"
