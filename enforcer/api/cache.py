"""Events of an API server -> batches: the last state of each object that differs from what was taken last.

The server's list is the truth, whatever was known before. Between lists an event counts when it is newer than what is
held of its object; what can't be put in order is answered by another list. Nothing is taken before every kind has been
listed once. Not for several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from compiler.live.batch import Batch
from enforcer.api.objects import Read, Value, same
from enforcer.api.wire import KINDS, NAMESPACES, NODES, PODS, POLICIES, Key, Kind
from enforcer.sources.source import Problem

#: A resourceVersion, and what the object of that version means.
Held: TypeAlias = tuple[int, Value | None]

_GONE: Held = (0, None)


@dataclass(slots=True)
class _Table:
    """The objects of one kind. `version`: everything up to it has been seen; `before`: what was taken last of those
    that have changed since; `problems` of objects that have some. `all_new`: nothing was taken yet."""

    listed: bool = False
    version: int = 0
    held: dict[Key, Held] = field(default_factory=dict)
    before: dict[Key, Value | None] = field(default_factory=dict)
    problems: dict[Key, tuple[Problem, ...]] = field(default_factory=dict)
    all_new: bool = True

    def put(self, key: Key, version: int, read: Read) -> None:
        _, known = self.held.get(key, _GONE)
        value = known if same(known, read.value) else read.value
        self._changed(key, known, value)
        self.held[key] = (version, value)
        if read.problems:
            self.problems[key] = read.problems
        else:
            self.problems.pop(key, None)

    def drop(self, key: Key) -> None:
        _, known = self.held.pop(key, _GONE)
        self._changed(key, known, None)
        self.problems.pop(key, None)

    def take(self) -> dict[Key, Value | None]:
        if self.all_new:
            self.all_new = False
            return {key: value for key, (_, value) in self.held.items() if value is not None}
        before, self.before = self.before, {}
        now = {key: self.held.get(key, _GONE)[1] for key in before}
        return {key: value for key, value in now.items() if not same(value, before[key])}

    def _changed(self, key: Key, known: Value | None, value: Value | None) -> None:
        if not self.all_new and value is not known:
            self.before.setdefault(key, known)


class Cache:
    """What is known of every kind."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self._tables = {kind: _Table() for kind in kinds}
        self.synced = False

    @property
    def changed(self) -> bool:
        """Whether a batch may have something in it."""
        return self.synced and any(table.all_new or table.before for table in self._tables.values())

    def version(self, kind: Kind, key: Key) -> int | None:
        """The resourceVersion that is held of an object, None of one that is not there."""
        held = self._tables[kind].held.get(key)
        return None if held is None else held[0]

    def listed(self, kind: Kind, version: int, found: Mapping[Key, tuple[int, Read] | None]) -> None:
        """The objects of that kind as of `version`, all of them; None of one that is held at its version."""
        table = self._tables[kind]
        for key in [key for key in table.held if key not in found]:
            table.drop(key)
        for key, state in found.items():
            if state is not None:
                table.put(key, *state)
        table.version, table.listed = version, True
        self.synced = self.synced or all(table.listed for table in self._tables.values())

    def happened(self, kind: Kind, key: Key, version: int, read: Read | None) -> bool:
        """An object was added, modified or (None) deleted. False when that can't be put in order: an event about an
        object that is not held, older than what was seen of others, may be late, or about one that is long gone."""
        table = self._tables[kind]
        known = self.version(kind, key)
        if known is None:
            if version <= table.version:
                return read is None
        elif version < known or (version == known and read is not None):
            return True
        if read is None:
            table.drop(key)
        else:
            table.put(key, version, read)
        table.version = max(table.version, version)
        return True

    def passed(self, kind: Kind, version: int) -> None:
        """A bookmark: everything up to that version has been told."""
        self._tables[kind].version = max(self._tables[kind].version, version)

    def at(self, kind: Kind) -> int:
        """Up to which version that kind has been seen: where a watch goes on."""
        return self._tables[kind].version

    def take(self) -> Batch:
        """What differs from what was taken last; empty before `synced`."""
        if not self.synced:
            return Batch()
        taken: dict[Kind, Any] = {kind: table.take() for kind, table in self._tables.items()}
        return Batch(
            pods=taken.get(PODS, {}),
            namespaces={name: value for (_, name), value in taken.get(NAMESPACES, {}).items()},
            nodes={name: value for (_, name), value in taken.get(NODES, {}).items()},
            policies={(kind.name, *key): value for kind in POLICIES for key, value in taken.get(kind, {}).items()},
        )

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with objects, in the order of kinds and keys."""
        return tuple(
            problem
            for table in self._tables.values()
            for _, problems in sorted(table.problems.items())
            for problem in problems
        )
