"""From two skeletons, and what has come and gone between them, to the change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from compiler.ir.change import Change, Key, difference
from compiler.ir.ruleset import Ruleset, Verdict
from compiler.live.index import Index
from compiler.live.kept import Kept
from compiler.live.pairs import LivePairs
from compiler.live.skeleton import Skeleton, host, with_elements
from compiler.net import Family, PortSet, Prefix
from compiler.passes.expand_maps import set_of

#: An address, and the ports that it had and has now among the exact ones of a class.
Move = tuple[int, PortSet | None, PortSet | None]


def change(old: Skeleton | None, new: Skeleton, index: Index, pairs: Mapping[Family, LivePairs]) -> Change:
    """What makes the ruleset of the new skeleton out of that of the old one."""
    if old is None:
        base = difference(Ruleset((), families=new.ruleset.families, counted=new.ruleset.counted), new.ruleset)
        return _filled(base, new, index, pairs)
    base = Change() if old is new else difference(old.ruleset, new.ruleset)
    moved = _Moved(old, new)
    for name in old.pairs.keys() & new.pairs.keys():
        found = pairs[new.pairs[name]]
        moved.add(name, found.added)
        moved.remove(name, found.removed)
    for name in old.exact.keys() & new.exact.keys():
        moved.exact(name, old.exact[name], new.exact[name])
    for name, (watched, family) in new.shared.items():
        if watched.moved and name in old.shared:
            steps = [(address, step) for (kind, address), step in watched.moved.items() if kind is family and step]
            moved.add(name, [(address,) for address, step in steps if step > 0])
            moved.remove(name, [(address,) for address, step in steps if step < 0])
    return _filled(moved.onto(base), new, index, pairs)


def _filled(base: Change, new: Skeleton, index: Index, pairs: Mapping[Family, LivePairs]) -> Change:
    if not base.sets and not base.maps:
        return base
    sets, maps = new.elements(index, pairs, [found.name for found in (*base.sets, *base.maps)])
    return replace(
        base,
        sets=with_elements(base.sets, sets),
        maps=tuple(replace(one, elements=maps[one.name]) if one.name in maps else one for one in base.maps),
    )


class _Moved:
    """Elements of sets and maps that are in both skeletons, in the order of what is asked first."""

    def __init__(self, old: Skeleton, new: Skeleton) -> None:
        self._old, self._new = old, new
        self._stay = None if old is new else {s.name for s in old.ruleset.sets} & {s.name for s in new.ruleset.sets}
        self._added: dict[str, set[Key]] = {}
        self._removed: dict[str, set[Key]] = {}
        self._mapped: dict[str, dict[Prefix, Verdict]] = {}
        self._unmapped: dict[str, set[Prefix]] = {}

    def add(self, name: str, keys: Iterable[Key]) -> None:
        if self._stay is None or name in self._stay:
            self._added.setdefault(name, set()).update(keys)

    def remove(self, name: str, keys: Iterable[Key]) -> None:
        if self._stay is None or name in self._stay:
            self._removed.setdefault(name, set()).update(keys)

    def exact(self, name: str, old: Kept, new: Kept) -> None:
        """What has changed in the map of that name."""
        for address, was, now in _moves(old, new):
            if self._new.split:
                if was is not None:
                    self.remove(set_of(name, self._old.verdicts[was]), [(address,)])
                if now is not None:
                    self.add(set_of(name, self._new.verdicts[now]), [(address,)])
                continue
            if was is not None:
                self._unmapped.setdefault(name, set()).add(host(new.family, address))
            if now is not None:
                self._mapped.setdefault(name, {})[host(new.family, address)] = self._new.verdicts[now]

    def onto(self, base: Change) -> Change:
        """With what the skeletons themselves tell."""
        added, removed = (
            {**of_base, **{name: frozenset(keys) for name, keys in own if keys}}
            for of_base, own in (
                (base.added, self._added.items()),
                (base.removed, reversed(self._removed.items())),
            )
        )
        return replace(
            base,
            added=added,
            removed=removed,
            mapped={**base.mapped, **self._mapped},
            unmapped={**{name: frozenset(gone) for name, gone in self._unmapped.items()}, **base.unmapped},
        )


def _moves(old: Kept, new: Kept) -> Iterator[Move]:
    if old is new:
        for address, was in new.before.items():
            now = new.reach.exact.get(address)
            if was != now:
                yield address, was, now
        return
    one, two = old.reach.exact, new.reach.exact
    if not old.before and one == two:
        return
    for address in {*one, *two, *old.before}:
        was = old.before[address] if address in old.before else one.get(address)
        if was != two.get(address):
            yield address, was, two.get(address)
