"""A ruleset without the elements that come and go with the pods of other nodes, and where these are known.

The skeleton is what `lower` and the passes make of classes whose exact addresses are samples, one for each of the port
sets that occur. So it changes with the pods of the node and with policies, and costs the same for any cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from compiler.backends.target import Target
from compiler.ir.change import Key, canonical
from compiler.ir.names import Namer
from compiler.ir.ruleset import PrefixSet, Ruleset, Set, Verdict
from compiler.live.groups import Watched
from compiler.live.index import Index
from compiler.live.kept import Kept
from compiler.live.pairs import LivePairs
from compiler.live.steady import steady
from compiler.lower.closing import closing
from compiler.lower.deny import DENY
from compiler.lower.fastpath import is_pairs_alone
from compiler.lower.pods import Layout, Lowered, Part
from compiler.net import Family, PortSet, Prefix
from compiler.passes.expand_maps import set_of
from compiler.resolve.reach import Reach, SharedSet
from compiler.resolve.unknown import Ranges

_SAMPLE = ((0, 0, 0, 0),)
_NOTHING = Reach((), (), ())


@dataclass(frozen=True, slots=True)
class Skeleton:
    """`ruleset` is canonical; sets and maps that are named below have no elements in it. `exact`: by their maps, the
    classes with a chain and exact addresses; `shared`: the selectors behind sets, those first that some class asks
    first; `pairs`: families by set. `split`: maps are sets (`expand_maps.set_of`). `verdicts`: of all ports that
    occur."""

    ruleset: Ruleset
    exact: Mapping[str, Kept]
    shared: Mapping[str, tuple[Watched, Family]]
    pairs: Mapping[str, Family]
    split: bool
    verdicts: Mapping[PortSet, Verdict]

    def filled(self, index: Index, pairs: Mapping[Family, LivePairs]) -> Ruleset:
        """The whole ruleset."""
        sets, maps = self.elements(index, pairs, {*(found.name for found in (*self.ruleset.sets, *self.ruleset.maps))})
        return replace(
            self.ruleset,
            sets=with_elements(self.ruleset.sets, sets),
            maps=tuple(replace(m, elements=maps[m.name]) if m.name in maps else m for m in self.ruleset.maps),
        )

    def elements(
        self, index: Index, pairs: Mapping[Family, LivePairs], names: Iterable[str]
    ) -> tuple[dict[str, tuple[Key, ...]], dict[str, tuple[tuple[Prefix, Verdict], ...]]]:
        """What the sets and maps of these names hold, as far as the skeleton does not say it."""
        wanted = set(names)
        sets: dict[str, tuple[Key, ...]] = {}
        for name, family in self.pairs.items():
            if name in wanted:
                sets[name] = tuple(sorted(set(pairs[family].whole())))
        for name, (watched, family) in self.shared.items():
            if name in wanted:
                sets[name] = tuple((address,) for address in index.addresses(watched.selector, family))
        maps = {} if self.split else {name: self._map(one) for name, one in self.exact.items() if name in wanted}
        for name, one in self.exact.items() if self.split else ():
            sets |= self._sets(name, one, wanted)
        return sets, maps

    def _map(self, one: Kept) -> tuple[tuple[Prefix, Verdict], ...]:
        verdicts = self.verdicts
        return tuple((host(one.family, a), verdicts[ports]) for a, ports in sorted(one.reach.exact.items()))

    def _sets(self, name: str, one: Kept, wanted: set[str]) -> dict[str, tuple[Key, ...]]:
        found: dict[PortSet, list[Key]] = {
            ports: [] for ports in one.tally if set_of(name, self.verdicts[ports]) in wanted
        }
        for address, ports in one.reach.exact.items() if found else ():
            if ports in found:
                found[ports].append((address,))
        return {set_of(name, self.verdicts[ports]): tuple(sorted(keys)) for ports, keys in found.items()}


def host(family: Family, address: int) -> Prefix:
    """An address as a prefix."""
    return Prefix(family.value, address, family.bits)


def skeleton(
    classes: Sequence[Kept],
    with_pairs: Sequence[Family],
    target: Target,
    namer: Namer,
    closed: Mapping[Family, Ranges],
) -> Skeleton:
    """The skeleton of these classes, all of a family in a row; `with_pairs`: the families that have some. `namer` is
    for what other skeletons of the node are to call by the same names. `closed`: as `lower.closing` has it."""
    layout = Layout(target, namer)
    for one in classes:
        if one.reshaped:
            one.part = None
    lowered = [Lowered(one.pods, one.family, _NOTHING, _chain(one, layout)) for one in classes]
    chained = [one for one, low in zip(classes, lowered, strict=True) if low.chain != DENY]
    parts = [_part(one, layout) for one in chained]
    made = layout.ruleset(lowered, dict.fromkeys(with_pairs, _SAMPLE), parts=parts)
    ruleset = canonical(replace(steady(closing(made, closed), target), counted=target.counters))
    pairs = {f"pairs{family.value}": family for family in with_pairs}
    asked = {(watched, one.family) for one in chained for _, watched in one.covering}
    shared = {layout.shared_name(watched.selector, family): (watched, family) for watched, family in asked}
    shared = dict(sorted(shared.items(), key=lambda entry: (entry[1][0].size, entry[0])))
    exact = {f"{one.chain}-a": one for one in chained if one.tally}
    verdicts = {ports: layout.verdict(ports) for one in exact.values() for ports in one.tally}
    split = not target.capabilities.verdict_maps
    virtual = {*pairs, *shared, *(exact if not split else _split(exact, verdicts))}
    maps = tuple(replace(one, elements=()) if one.name in virtual else one for one in ruleset.maps)
    bare = replace(ruleset, sets=with_elements(ruleset.sets, dict.fromkeys(virtual, ())), maps=maps)
    return Skeleton(bare, exact, shared, pairs, split, verdicts)


def _chain(one: Kept, layout: Layout) -> str:
    """The chain that the pods of a class are sent to."""
    if one.counted and not one.covering and is_pairs_alone(one.tally, one.reach.nets):
        return DENY
    if not one.chain:
        one.chain = layout.chain_name(one.pods, one.family)
    return one.chain


def _part(one: Kept, layout: Layout) -> Part:
    """The part of a class as it is with a sample for each of the port sets of its exact addresses."""
    if one.part is None:
        sample = tuple(enumerate(sorted(one.tally, key=str)))
        shared = tuple((SharedSet(cover.chosen, one.family, ()), cover.ports) for cover in one.reach.covers)
        reach = Reach(sample, shared, one.reach.nets)
        one.part = layout.part(Lowered(one.pods, one.family, reach, one.chain))
    return one.part


def _split(exact: Mapping[str, Kept], verdicts: Mapping[PortSet, Verdict]) -> Iterator[str]:
    for name, one in exact.items():
        yield from (set_of(name, verdicts[ports]) for ports in one.tally)


def with_elements(
    sets: Iterable[Set | PrefixSet], elements: Mapping[str, Sequence[Key]]
) -> tuple[Set | PrefixSet, ...]:
    """The sets, those that are named with these elements."""
    return tuple(
        replace(one, elements=tuple(elements[one.name])) if isinstance(one, Set) and one.name in elements else one
        for one in sets
    )
