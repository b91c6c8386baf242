"""Lists of items -> the same in fewer words: as a person would write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from itertools import groupby
from typing import Any

from compiler.importing.numbers import joined
from compiler.importing.values import (
    ANYONE,
    EVERYTHING,
    Addresses,
    Asked,
    Item,
    Log,
    Notrack,
    Opaque,
    Side,
    Statement,
    Verdict,
    Within,
)

#: So many statements that differ in their sources alone become one with a set.
_MANY = 3


def tidied(items: Iterable[Item]) -> tuple[Item, ...]:
    """The same for every packet. A list with one statement is this statement; what is told of packets just before they
    are judged is told by the judgement; statements below each other that differ in their source's address alone are
    one."""
    return tuple(_gathered(_logged(_flattened(items))))


def _flattened(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        if not isinstance(item, Within):
            yield item
            continue
        inner = tidied(item.items)
        only = inner[0] if len(inner) == 1 else None
        both = None if only is None or _is_opaque(only) else conjunction(item.asked, only.asked)
        if only is None or both is None:
            yield replace(item, items=inner)
        elif only.asked == EVERYTHING or not _is_leave(only):
            yield replace(only, asked=both, origins=(*item.origins, *only.origins))


def _logged(items: Iterable[Item]) -> Iterator[Item]:
    before: Item | None = None
    for item in items:
        both = None if before is None else _judged(before, item)
        if before is not None and both is None:
            yield before
        before = item if both is None else both
    if before is not None:
        yield before


def _judged(one: Item, two: Item) -> Statement | None:
    """Both as one, where the first tells of the packets that the second allows, denies or rejects."""
    if isinstance(one, Within) or isinstance(two, Within) or one.asked != two.asked or one.asked.chance:
        return None
    log, verdict = one.action, two.action
    if not isinstance(log, Log) or not isinstance(verdict, Verdict) or verdict.log is not None:
        return None
    if verdict.verb not in ("allow", "deny", "reject"):
        return None
    return replace(two, action=replace(verdict, log=log), origins=(*one.origins, *two.origins))


def _is_leave(item: Item) -> bool:
    return isinstance(item, Statement) and item.action == Verdict("leave")


def _is_opaque(item: Item) -> bool:
    return isinstance(item, Statement) and isinstance(item.action, Opaque)


def conjunction(one: Asked, two: Asked) -> Asked | None:
    """Both; None where they ask the same thing differently, or what must be asked first."""
    if two.chance and one.chance:
        return None
    found: dict[str, Any] = {}
    for field in fields(Asked):
        a, b, anything = (getattr(asked, field.name) for asked in (one, two, EVERYTHING))
        if field.name in ("source", "target"):
            side = _both(a, b)
            if side is None:
                return None
            found[field.name] = side
        elif anything in (a, b) or a == b:
            found[field.name] = b if a == anything else a
        else:
            return None
    if found["source_ports"] is not None and one.ports != two.ports and None not in (one.ports, two.ports):
        return None
    return Asked(**found)


def _both(one: Side, two: Side) -> Side | None:
    found: dict[str, Any] = {}
    for field in fields(Side):
        a, b, anything = (getattr(side, field.name) for side in (one, two, ANYONE))
        if anything not in (a, b) and a != b:
            return None
        found[field.name] = b if a == anything else a
    return Side(**found)


def _gathered(items: Iterable[Item]) -> Iterator[Item]:
    for key, group in groupby(items, _but_source):
        some = list(group)
        if key is None or len(some) < _MANY:
            yield from some
            continue
        first = some[0]
        intervals = [one for item in some for one in _addresses(item).intervals]
        found = Addresses(_addresses(first).version, joined(intervals))
        source = replace(first.asked.source, addresses=found)
        origins = tuple(dict.fromkeys(origin for item in some for origin in item.origins))
        yield replace(first, asked=replace(first.asked, source=source), origins=origins)


def _but_source(item: Item) -> object:
    """What statements that can be one have in common; None for one that cannot."""
    if isinstance(item, Within) or not isinstance(item.action, Verdict | Notrack) or item.asked.chance:
        return None
    addresses = item.asked.source.addresses
    if addresses is None or addresses.without:
        return None
    asked = replace(item.asked, source=replace(item.asked.source, addresses=None))
    return asked, item.action, tuple(origin.comment for origin in item.origins), item.origins[-1:][0].chain


def _addresses(item: Item) -> Addresses:
    found = item.asked.source.addresses
    assert found is not None, "statements with a source"
    return found
