"""What makes one ruleset out of another, for a node whose rules follow a cluster that moves.

Names of sets, maps and chains stay while their content moves, so an update of one pod touches a few elements of large
hashes and nothing else. The parts of a change are applied in the order of the fields, each before the next is begun:
what may be allowed is added first, who is asked changes then, what is not allowed any more goes last. So every packet
meets, at every moment, the verdict of the ruleset before or of the one behind, also one that is between two rules
when a part is applied (docs/DATAPATH.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compiler.ir.ruleset import Chain, PrefixMap, Set, Verdict
from compiler.net import Prefix

#: An element of a set: integers, one for each field of its key.
Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """`sets`, `maps`: new ones, whole. `added`, `mapped`: elements of sets and maps that are there; what a map knew
    with another verdict is replaced in one step. `chains`: new ones and those with other rules, whole. `removed`,
    `unmapped`: elements that go. `gone`: names of chains, sets and maps that nothing asks any more."""

    sets: tuple[Set, ...] = ()
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
