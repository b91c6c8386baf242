"""What makes one ruleset out of another, for a node whose rules follow a cluster that moves.

Names of sets, maps and chains stay while their content moves, so an update of one pod touches a few elements of large
hashes and nothing else. A change is applied in three steps, each before the next is begun:

1. what is new: `sets`, `maps` and those of `chains` that are not there yet. Nothing leads to them so far.
2. `added`, `mapped` and the chains that have other rules: at once, or in this order and that of their entries where
   the kernel cannot. What is asked first comes first, so that nobody's new address is judged by a set that a more
   exact answer was to come before.
3. `removed`, `unmapped`, in the order of their entries (what is asked last goes first), and `gone`.

So a packet meets the verdict of the ruleset before or of the one behind, also one that is between two rules when a
step is taken (docs/DATAPATH.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TypeVar

from compiler.ir.ruleset import Chain, PrefixMap, PrefixSet, Ruleset, Set, Verdict
from compiler.net import Prefix

#: An element of a set: integers, one for each field of its key.
Key = tuple[int, ...]

_Named = TypeVar("_Named", Chain, Set | PrefixSet, PrefixMap)
_Moved = TypeVar("_Moved", frozenset[Key], frozenset[Prefix], dict[Prefix, Verdict])


@dataclass(frozen=True, slots=True)
class Change:
    """`sets`, `maps`: new ones, whole. `added`, `mapped`: elements of sets and maps that are there; what a map knew
    with another verdict is replaced in one step, and in `unmapped`, too. `chains`: new ones and those with other rules,
    whole. `removed`, `unmapped`: elements that go. `gone`: names of chains, sets and maps that nothing asks any more.

    Sets and maps of prefixes do not move: no two of their elements could be exchanged without a gap. With other content
    they have other names."""

    sets: tuple[Set | PrefixSet, ...] = ()
    maps: tuple[PrefixMap, ...] = ()
    added: Mapping[str, frozenset[Key]] = field(default_factory=dict)
    chains: tuple[Chain, ...] = ()
    mapped: Mapping[str, Mapping[Prefix, Verdict]] = field(default_factory=dict)
    removed: Mapping[str, frozenset[Key]] = field(default_factory=dict)
    unmapped: Mapping[str, frozenset[Prefix]] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return any((self.sets, self.maps, self.added, self.chains, self.mapped, self.removed, self.unmapped, self.gone))

    @property
    def moves_only(self) -> bool:
        """Whether elements come and go and everything else stays: the change of nearly every event."""
        return not (self.sets or self.maps or self.chains or self.gone)


def canonical(ruleset: Ruleset) -> Ruleset:
    """The ruleset in one order and without notes: equal for rulesets with the same names, rules and elements."""
    return replace(ruleset, chains=_bare(ruleset.chains), sets=_bare(ruleset.sets), maps=_bare(ruleset.maps), notes=())


def _bare(found: Iterable[_Named]) -> tuple[_Named, ...]:
    return tuple(replace(one, notes=()) for one in sorted(found, key=lambda one: one.name))


def applied(ruleset: Ruleset, change: Change) -> Ruleset:
    """The `canonical` ruleset that a change makes. AssertionError for a change of another ruleset: something new that
    is there, something moved or gone that is not, an element that comes and is there or goes and is not."""
    chains = {chain.name: chain for chain in ruleset.chains}
    sets = {found.name: found for found in ruleset.sets}
    maps = {found.name: found for found in ruleset.maps}
    there = {*sets, *maps}
    assert change.gone <= there | chains.keys(), f"not there: {change.gone - there}"
    assert there.isdisjoint(new.name for new in (*change.sets, *change.maps)), "new, and there"
    for name in {*change.added, *change.removed}:
        sets[name] = _moved_set(sets[name], change.added.get(name, frozenset()), change.removed.get(name, frozenset()))
    for name in {*change.mapped, *change.unmapped}:
        maps[name] = _moved_map(maps[name], change.mapped.get(name, {}), change.unmapped.get(name, frozenset()))
    chains.update((chain.name, chain) for chain in change.chains)
    sets.update((found.name, found) for found in change.sets)
    maps.update((found.name, found) for found in change.maps)
    for name in change.gone:
        for part in (chains, sets, maps):
            part.pop(name, None)
    return canonical(
        replace(ruleset, chains=tuple(chains.values()), sets=tuple(sets.values()), maps=tuple(maps.values()))
    )


def _moved_set(found: Set | PrefixSet, added: frozenset[Key], removed: frozenset[Key]) -> Set:
    assert isinstance(found, Set), f"{found.name}: prefixes do not move"
    before = set(found.elements)
    assert before.isdisjoint(added), f"{found.name}: comes, and is there"
    assert removed <= before, f"{found.name}: goes, and is not there"
    return replace(found, elements=tuple(sorted((before | added) - removed)))


def _moved_map(found: PrefixMap, mapped: Mapping[Prefix, Verdict], unmapped: frozenset[Prefix]) -> PrefixMap:
    before = dict(found.elements)
    assert all(is_host(prefix) for prefix in (*before, *mapped)), f"{found.name}: prefixes do not move"
    assert all(before.get(prefix) != verdict for prefix, verdict in mapped.items()), f"{found.name}: known"
    assert unmapped <= before.keys(), f"{found.name}: goes, and is not there"
    assert before.keys() & mapped.keys() <= unmapped, f"{found.name}: comes, and is there"
    after = {prefix: verdict for prefix, verdict in before.items() if prefix not in unmapped} | {**mapped}
    return replace(found, elements=tuple(sorted(after.items(), key=itemgetter(0))))


def difference(before: Ruleset, after: Ruleset) -> Change:
    """What makes the second ruleset out of the first; notes are nothing. AssertionError where one name stands for two
    things that cannot become each other."""
    old_sets = {found.name: found for found in before.sets}
    old_maps = {found.name: found for found in before.maps}
    old_chains = {chain.name: chain for chain in before.chains}
    added: dict[str, frozenset[Key]] = {}
    removed: dict[str, frozenset[Key]] = {}
    mapped: dict[str, dict[Prefix, Verdict]] = {}
    unmapped: dict[str, frozenset[Prefix]] = {}
    for found in after.sets:
        old = old_sets.get(found.name)
        if old is None or old.elements == found.elements:
            continue
        assert isinstance(found, Set), f"{found.name}: prefixes do not move"
        assert isinstance(old, Set), f"{found.name}: prefixes do not move"
        assert (found.key, found.family) == (old.key, old.family), f"{found.name}: two kinds of elements"
        added[found.name] = frozenset(found.elements) - frozenset(old.elements)
        removed[found.name] = frozenset(old.elements) - frozenset(found.elements)
    for map_ in after.maps:
        known = old_maps.get(map_.name)
        if known is None or known.elements == map_.elements:
            continue
        one, two = dict(known.elements), dict(map_.elements)
        assert all(is_host(prefix) for prefix in (*one, *two)), f"{map_.name}: prefixes do not move"
        mapped[map_.name] = {prefix: verdict for prefix, verdict in two.items() if one.get(prefix) != verdict}
        unmapped[map_.name] = frozenset(prefix for prefix, verdict in one.items() if two.get(prefix) != verdict)
    names = {found.name for part in (after.chains, after.sets, after.maps) for found in part}
    return Change(
        sets=tuple(found for found in after.sets if found.name not in old_sets),
        maps=tuple(found for found in after.maps if found.name not in old_maps),
        added=_some(added),
        chains=tuple(chain for chain in after.chains if not is_same(old_chains.get(chain.name), chain)),
        mapped=_some(mapped),
        removed=_some(removed),
        unmapped=_some(unmapped),
        gone=frozenset({*old_chains, *old_sets, *old_maps} - names),
    )


def _some(moved: dict[str, _Moved]) -> dict[str, _Moved]:
    return {name: elements for name, elements in moved.items() if elements}


def is_host(prefix: Prefix) -> bool:
    """Whether it is one address."""
    return prefix.length == prefix.family.bits


def is_same(one: Chain | None, two: Chain) -> bool:
    """Whether packets and counters cannot tell the chains apart: equal but for notes."""
    if one is None or one.rules != two.rules:
        return False
    return (one.hook, one.table, one.family) == (two.hook, two.table, two.family)
