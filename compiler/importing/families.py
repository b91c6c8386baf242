"""Sections of IPv4 and of IPv6, of what arrives and what the machine sends -> one: what both say is said once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from compiler.importing.sections import Section
from compiler.importing.values import Item, Opaque, Within

#: Of what arrives and of what the machine itself sends.
EITHER = "prerouting or output"


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
    origins = tuple(dict.fromkeys((*one.origins, *two.origins)))
    if isinstance(one, Within) and isinstance(two, Within):
        return replace(one, items=tuple(merged(one.items, two.items)), origins=origins)
    return replace(one, origins=origins)


def _of(item: Item, version: int) -> Item:
    """Of one family alone; what is nested follows from the head."""
    return replace(item, asked=replace(item.asked, version=version))


def both_ways(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Where PREROUTING and OUTPUT of a table have the same list, it stands once, at the hook `EITHER`."""
    found: list[Section] = []
    for section in sections:
        other = next((one for one in found if _is_other_way(one, section) and _same(one.items, section.items)), None)
        if other is None:
            found.append(section)
        else:
            items = tuple(map(_joined, other.items, section.items))
            found[found.index(other)] = replace(other, hook=EITHER, items=items)
    return tuple(found)


def _is_other_way(one: Section, two: Section) -> bool:
    return one.block == two.block and {one.hook, two.hook} == {"prerouting", "output"}


def _same(one: Sequence[Item], two: Sequence[Item]) -> bool:
    """Whether two lists say the same, wherever it stands in files."""
    return len(one) == len(two) and all(
        _key(a) == _key(b) and (not (isinstance(a, Within) and isinstance(b, Within)) or _same(a.items, b.items))
        for a, b in zip(one, two, strict=True)
    )
