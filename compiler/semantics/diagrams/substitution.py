"""What rules that come later say of a packet to which something happened first: their diagram, asked for the packet
as it has become."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence

from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import MARK_BITS, Level, Space
from compiler.semantics.diagrams.variables import Answer, Kind, Variables
from compiler.semantics.rules.effects import AS_IT_CAME, Asked, Change, Effect, Unknown, Value, changed
from compiler.semantics.rules.netfilter import AddressType, Field, In, State

#: Levels from here on have names.
_VARIABLES = Level.MARK + MARK_BITS
_UNTRACKED = Change(untracked=True)
_TYPES = {Field.SOURCE: Level.SOURCE_TYPE, Field.DESTINATION: Level.DESTINATION_TYPE}


class Substitution:
    """Of one space, its tests and its variables."""

    def __init__(self, over: Space, matches: Matches, variables: Variables) -> None:
        self._over, self._made, self._matches, self._variables = over, over.made, matches, variables
        self._known: dict[tuple[Change, tuple[tuple[Asked, int], ...], int], int] = {}

    def after(self, effect: Effect, diagram: int) -> int:
        """The outcomes stay as they are: they are about what happens behind."""
        asked = Counter(what for what, _ in effect.events if isinstance(what, Asked))
        if effect.change == AS_IT_CAME and not asked:
            return diagram
        key = (effect.change, tuple(sorted(asked.items())), diagram)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._after(effect.change, asked, diagram)
        return found

    def leaves_alone(self, effect: Effect, diagram: int) -> bool:
        """Whether `after` is the diagram itself, as far as that is seen from what the diagram asks."""
        change, asked = effect.change, self._made.asked(diagram)
        fixed, flipped = self._mark(change)
        touched = {*fixed, *flipped, *([int(Level.STATE)] * change.untracked)}
        touched.update([int(Level.HOPS)] * (change.hops != AS_IT_CAME.hops))
        for field, _ in change.given:
            touched.update((self._over.level(field), int(_TYPES.get(field, Level.STATE))))
        if asked & touched:
            return False
        events = any(isinstance(what, Asked) for what, _ in effect.events)
        named = (self._variables.name(level) for level in asked if level >= _VARIABLES)
        return not any(
            (isinstance(name, Answer) and change.but_mark != AS_IT_CAME) or (isinstance(name, Asked) and events)
            for name in named
        ) and not (change.given and any(level in asked for level in self._matches.masked))

    def _after(self, change: Change, asked: Mapping[Asked, int], diagram: int) -> int:
        made = self._made
        fixed, flipped = self._mark(change)
        if change.untracked:
            fixed[int(Level.STATE)] = int(State.UNTRACKED)
        if change.but_mark in (AS_IT_CAME, _UNTRACKED) and not asked:
            return made.swap(made.restrict(diagram, fixed), flipped)
        moved: dict[int, Unknown | Kind] = {}
        for field, value in change.given:
            self._give(field, value, fixed, moved)
        for level, test in self._matches.masked.items():
            given = dict(change.given).get(test.field)
            if given is not None:
                if isinstance(given, int):
                    fixed[level] = int(_holds(test, given))
                else:
                    moved[level] = Unknown(f"{given.name}: {self._matches.opaque[level]}", 0, 1)
        diagram = made.swap(made.restrict(diagram, fixed), flipped)
        if change.hops != (0, 0, 255):
            diagram = self._hops(change.hops, diagram)
        there = made.asked(diagram)
        for level, name in moved.items():
            if level in there:
                diagram = self.moved(diagram, level, name)
        return self._renamed(change, asked, there, diagram)

    def _mark(self, change: Change) -> tuple[dict[int, int], list[int]]:
        fixed, flipped = dict[int, int](), list[int]()
        for n in range(MARK_BITS):
            bit, level = 1 << MARK_BITS - 1 - n, Level.MARK + n
            if not change.keep & bit:
                fixed[level] = int(bool(change.flip & bit))
            elif change.flip & bit:
                flipped.append(level)
        return fixed, flipped

    def _give(self, field: Field, value: Value, fixed: dict[int, int], moved: dict[int, Unknown | Kind]) -> None:
        level = self._over.level(field)
        if isinstance(value, int):
            fixed[level] = value
        else:
            moved[level] = value
        if field in _TYPES:
            kind = kind_of(self._over.version, value)
            if kind is None:
                moved[_TYPES[field]] = Kind(value)
            else:
                fixed[_TYPES[field]] = int(kind)

    def _hops(self, hops: tuple[int, int, int], diagram: int) -> int:
        add, low, high = hops
        if low == high:
            return self._made.restrict(diagram, {int(Level.HOPS): low})
        pieces = {value: min(max(value + add, low), high) for value in range(256)}
        spans = self._made.pieces(diagram, int(Level.HOPS))
        return self._made.first(
            self._made.where(
                self._made.inside(Level.HOPS, [(v, v) for v, to in pieces.items() if first <= to <= last]),
                self._made.restrict(diagram, {int(Level.HOPS): first}),
            )
            for first, last in spans
        )

    def moved(self, diagram: int, level: int, value: Unknown | Kind) -> int:
        """Another variable in the level's place."""
        to = self._variables.level(value)
        low = value.low if isinstance(value, Unknown) else 0
        top = low + self._made.sizes[to] - 1
        spans = [
            (max(first, low) - low, min(last, top) - low, first)
            for first, last in self._made.pieces(diagram, level)
            if first <= top and last >= low
        ]
        return self._told_apart(diagram, level, to, spans)

    def _told_apart(self, diagram: int, level: int, to: int, spans: Sequence[tuple[int, int, int]]) -> int:
        made = self._made
        return made.first(
            made.where(made.inside(to, [(first, last)]), made.restrict(diagram, {level: value}))
            for first, last, value in spans
        )

    def _renamed(self, change: Change, asked: Mapping[Asked, int], there: frozenset[int], diagram: int) -> int:
        """Matches that are not modelled may answer otherwise for what has become of the packet; a stateful one that was
        asked before is asked once more."""
        but_mark = change.but_mark
        targets: dict[int, int] = {}
        for level in there:
            name = self._variables.name(level)
            if isinstance(name, Answer) and but_mark != AS_IT_CAME:
                targets[level] = self._variables.level(name._replace(change=changed(but_mark, name.change)))
            elif isinstance(name, Asked) and (times := asked.get(name._replace(time=1), 0)):
                targets[level] = self._variables.level(name._replace(time=name.time + times))
        while targets:  # none before the one that takes its place has left it
            level = next((one for one, to in targets.items() if to == one or to not in targets), min(targets))
            to = targets.pop(level)
            diagram = diagram if to == level else self.renamed(diagram, level, to)
        return diagram

    def renamed(self, diagram: int, level: int, to: int) -> int:
        """Another Boolean in one's place."""
        return self._told_apart(diagram, level, to, [(0, 0, 0), (1, 1, 1)])


def kind_of(version: int, value: Value) -> AddressType | None:
    """What every machine's routing table says of an address; None where they differ."""
    if isinstance(value, Unknown):
        return AddressType.LOCAL if value.own else None
    text = ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value)
    if text.is_loopback:
        return AddressType.LOCAL
    if text.is_multicast:
        return AddressType.MULTICAST
    return AddressType.BROADCAST if version == 4 and value == (1 << 32) - 1 else None


def _holds(test: In, value: int) -> bool:
    assert test.mask is not None, "a test under a mask"
    return any(low <= value & test.mask <= high for low, high in test.intervals)
