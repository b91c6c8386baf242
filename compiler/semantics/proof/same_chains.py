"""Chains of two rulesets that do the same, by what is found side by side (`side_by_side`), without a diagram."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from compiler.semantics.diagrams.spots import Spot, refuse_moving_sets, spot
from compiler.semantics.proof.entries import NOTHING_CHANGED, Axes, Changed, Effects, Entry, Reader, changes
from compiler.semantics.proof.side_by_side import alike, paired
from compiler.semantics.rules.netfilter import Barrier, Chain, InSet, Lookup, Ruleset, Table

#: Ends a list of rules behind which others come.
_ON = Entry((), "the next rule", True)


class Compared(NamedTuple):
    """`second`: the second ruleset, with the first's own chains where these are found to do the same; itself where none
    are. `equal`: whether all of it is found to."""

    second: Ruleset
    equal: bool


def same_chains(one: Ruleset, two: Ruleset) -> Compared:
    """Compares chains of the same name, each for itself, whatever those do that it leads to. Raises `Unprovable` as
    diagrams do."""
    refuse_moving_sets(one)
    refuse_moving_sets(two)
    if [_head(table) for table in one.tables] != [_head(table) for table in two.tables]:
        return Compared(two, equal=False)
    tables, equal = [], _shape(one) == _shape(two)
    for table, other in zip(one.tables, two.tables, strict=True):
        found = _found(table, other)
        equal = equal and len(found) == len(other.chains)
        own = {name: table.chains[name] for name in found if _says_the_same(table.chains[name], table, other)}
        tables.append(replace(other, chains={**other.chains, **own}) if own else other)
    changed = any(new is not old for new, old in zip(tables, two.tables, strict=True))
    return Compared(Ruleset(tuple(tables)) if changed else two, equal)


def _head(table: Table) -> tuple[str, frozenset[int]]:
    return table.name, table.families


def _shape(ruleset: Ruleset) -> list[object]:
    return [[(name, chain.base) for name, chain in table.chains.items()] for table in ruleset.tables]


def _found(one: Table, two: Table) -> list[str]:
    """The chains that do the same in both."""
    axes, effects = Axes(two.families), Effects((one, two))
    readers = Reader(one, axes, effects), Reader(two, axes, effects)
    found = []
    for name, chain in two.chains.items():
        other = one.chains.get(name)
        if other is None or other.base != chain.base:
            continue
        if _same(list(readers[0].entries(other)), list(readers[1].entries(chain)), axes):
            found.append(name)
    return found


def _says_the_same(chain: Chain, one: Table, two: Table) -> bool:
    """Whether the sets that it asks have the same names in the second table."""
    parts = (part for rule in chain.rules for part in rule.parts)
    names = {part.set for part in parts if isinstance(part, InSet | Lookup)}
    return all(name in two.sets and _elements(one, name) == _elements(two, name) for name in names)


def _elements(table: Table, name: str) -> list[object]:
    return [(element.box, element.verdict, element.member) for element in table.sets[name].elements]


def _same(one: Sequence[Entry], two: Sequence[Entry], axes: Axes) -> bool:
    """Cut where something changes what later rules may ask, which must stand in both."""
    if [entry[:3] for entry in one] == [entry[:3] for entry in two]:
        return _remembers_alike(zip(one, two, strict=True))
    cuts = list(_cut(one)), list(_cut(two))
    if [entry[:3] for _, entry in cuts[0]] != [entry[:3] for _, entry in cuts[1]]:
        return False
    known: list[Entry] = []
    changed: Changed = NOTHING_CHANGED
    pairs: list[tuple[Entry, Entry]] = []
    for (before, cut), (after, other) in zip(*cuts, strict=True):
        end = cut if cut.rule is None else _ON
        a, b = [*before, end], [*after, end]
        # What earlier rules end does not come here.
        if not alike(a, b, axes) and not (known and alike([*known, *a], [*known, *b], axes)):
            return False
        pairs += [*paired(a, b), (cut, other)]
        changed |= cut.changed
        known = [entry for entry in [*known, *before] if entry.ends and not changes(entry, changed, axes)]
    return _remembers_alike(pairs)


def _cut(entries: Sequence[Entry]) -> Iterator[tuple[list[Entry], Entry]]:
    """Rows of entries with what comes behind them: one that changes something, or the end."""
    row: list[Entry] = []
    for entry in entries:
        if entry.changed or entry.rule is None:
            yield row, entry
            row = []
        else:
            row.append(entry)


def _remembers_alike(pairs: Iterable[tuple[Entry, Entry]]) -> bool:
    """Whether stateful matches that share what they remember do so in both texts."""
    one: dict[Spot, Spot] = {}
    two: dict[Spot, Spot] = {}
    for a, b in pairs:
        if a.rule is None or b.rule is None:
            continue
        for at, (part, other) in enumerate(zip(reversed(a.rule.parts), reversed(b.rule.parts), strict=False), 1):
            if isinstance(part, Barrier) and isinstance(other, Barrier):
                here, there = spot(a.rule, len(a.rule.parts) - at), spot(b.rule, len(b.rule.parts) - at)
                if one.setdefault(here, there) != there or two.setdefault(there, here) != here:
                    return False
    return True
