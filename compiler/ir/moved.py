"""What a change of elements alone makes of a ruleset, at the price of what moves: what is sorted is copied."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeVar

from compiler.ir.change import Change, Key
from compiler.ir.ruleset import PrefixMap, Ruleset, Set, Verdict
from compiler.net import Prefix

_Element = TypeVar("_Element")
#: Beyond so many moves, or this part of all, sorting is cheaper than finding each place.
_FEW = 16


def moved(ruleset: Ruleset, change: Change) -> Ruleset:
    """The ruleset behind the change, which `moves_only`; its elements are sorted, and stay so."""
    assert change.moves_only, "chains, sets and maps stay"
    names = {*change.added, *change.removed, *change.mapped, *change.unmapped}
    if not names:
        return ruleset
    sets = tuple(
        _set(found, change.removed.get(found.name, ()), change.added.get(found.name, ()))
        if found.name in names and isinstance(found, Set)
        else found
        for found in ruleset.sets
    )
    maps = tuple(
        _map(found, change.unmapped.get(found.name, ()), change.mapped.get(found.name, {}))
        if found.name in names
        else found
        for found in ruleset.maps
    )
    return replace(ruleset, sets=sets, maps=maps)


def _set(found: Set, gone: Collection[Key], new: Collection[Key]) -> Set:
    return replace(found, elements=_sorted(found.elements, gone, new, lambda element: element))


def _map(found: PrefixMap, gone: Collection[Prefix], new: Mapping[Prefix, Verdict]) -> PrefixMap:
    """What is mapped anew is among what is gone, too."""
    return replace(found, elements=_sorted(found.elements, gone, new.items(), itemgetter(0)))


def _sorted(
    old: tuple[_Element, ...], gone: Collection[Any], new: Collection[_Element], key: Callable[[Any], Any]
) -> tuple[_Element, ...]:
    elements = list(old)
    if len(gone) + len(new) > max(_FEW, len(elements) // _FEW):
        left = set(gone)
        return tuple(sorted([*(one for one in elements if key(one) not in left), *new], key=key))
    for one in gone:
        at = bisect_left(elements, one, key=key)
        assert at < len(elements), "it was there"
        assert key(elements[at]) == one, "it was there"
        del elements[at]
    for element in new:
        elements.insert(bisect_left(elements, key(element), key=key), element)
    return tuple(elements)
