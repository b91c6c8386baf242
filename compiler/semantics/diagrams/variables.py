"""What a packet's way depends on beside the fields of its header, each a level of the diagrams behind all others.

| name | values |
|---|---|
| Answer | of a match that is not modelled: 1 when it holds |
| Asked | of a stateful match: 1 when it holds |
| Kind | `AddressType` of an address that NAT gives |
| Unknown | what the text leaves open, counted from its `low` |
| Choice | what routing decides and no rule can ask: 0 or 1 |
"""

from __future__ import annotations

from typing import NamedTuple

from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import Space
from compiler.semantics.rules.effects import AS_IT_CAME, Asked, Change, Unknown, Value
from compiler.semantics.rules.netfilter import Field


class Answer(NamedTuple):
    """`when`: where in the machine the packet is, "" as long as that is not said; `change`: what has become of it."""

    text: str
    when: str = ""
    change: Change = AS_IT_CAME


class Kind(NamedTuple):
    address: Value


class Choice(NamedTuple):
    text: str


Name = Answer | Asked | Kind | Unknown | Choice


class Variables:
    """The levels of one space by name, and the names by level."""

    def __init__(self, over: Space, matches: Matches) -> None:
        self._over, self._matches = over, matches
        self._levels: dict[Name, int] = {}
        self._names: dict[int, Name] = {}

    def level(self, name: Name) -> int:
        if name not in self._levels:
            level = self._over.made.add_field(self._size(name))
            self._levels[name], self._names[level] = level, name
        return self._levels[name]

    def name(self, level: int) -> Name | None:
        """None for levels of the header."""
        matches = self._matches
        fixed = level in matches.masked or level in matches.settled
        if level not in self._names and level in matches.opaque and not fixed:
            name = Answer(matches.opaque[level])
            self._levels[name], self._names[level] = level, name
        return self._names.get(level)

    def names(self) -> dict[Name, int]:
        return dict(self._levels)

    def _size(self, name: Name) -> int:
        match name:
            case Kind():
                return Field.SOURCE_TYPE.top + 1
            case Unknown(_, low, high, own):
                return (min(high, self._over.made.sizes[self._over.source] - 1) if own else high) - low + 1
        return 2
