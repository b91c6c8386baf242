"""Sections of IPv4 and of IPv6 -> one program: what both say is said once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from compiler.importing.sections import Section
from compiler.importing.values import Item, Opaque, Within


def together(four: Sequence[Section], six: Sequence[Section]) -> tuple[Section, ...]:
    """Sections of the same block and hook become one, each family's order kept. Where nothing else says whose a
    statement is, `version` does."""
    others = {(section.block, section.hook): section for section in six}
    found = []
    for section in four:
        other = others.pop((section.block, section.hook), None)
        both = (section.items, () if other is None else other.items)
        whole = section.whole or (other is not None and other.whole)
        found.append(replace(section, items=tuple(merged(*both)), whole=whole))
    found += [replace(section, items=tuple(merged((), section.items))) for section in others.values()]
    return tuple(found)


def merged(four: Sequence[Item], six: Sequence[Item]) -> Iterator[Item]:
    """Two lists, each in its own order."""
    one, two = ([_key(item) for item in items] for items in (four, six))
    for tag, begin, end, first, last in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from map(_joined, four[begin:end], six[first:last])
        else:
            yield from (_of(item, 4) for item in four[begin:end])
            yield from (_of(item, 6) for item in six[first:last])


def _key(item: Item) -> Hashable:
    """What must be the same to be one: of lists, their heads alone."""
    if isinstance(item, Within):
        return item.asked
    action = item.action
    return (item.asked, action, item.words) if isinstance(action, Opaque) else (item.asked, action)


def _joined(one: Item, two: Item) -> Item:
    origins = (*one.origins, *two.origins)
    if isinstance(one, Within) and isinstance(two, Within):
        return replace(one, items=tuple(merged(one.items, two.items)), origins=origins)
    return replace(one, origins=origins)


def _of(item: Item, version: int) -> Item:
    """Of one family alone; what is nested follows from the head."""
    return replace(item, asked=replace(item.asked, version=version))
