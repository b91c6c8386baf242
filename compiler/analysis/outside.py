"""The addresses that no pod and no node has, in as few ranges as policies can tell apart."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge

from compiler.net import Family, Prefix, address_text

#: (family, first address, last address), inclusive.
Range = tuple[Family, int, int]
_ENTRIES = 6


@dataclass(frozen=True, slots=True)
class Stretch:
    """Addresses that lie in the same blocks; `free` is one that no pod or node has."""

    first: int
    last: int
    free: int | None


def stretches(family: Family, cuts: Iterable[Sequence[int]], taken: Collection[int]) -> Iterator[Stretch]:
    """The whole address space, cut at each of these sorted first addresses."""
    starts = list(dict.fromkeys(merge(*cuts)))
    for n, first in enumerate(starts):
        last = starts[n + 1] - 1 if n + 1 < len(starts) else (1 << family.bits) - 1
        free = first
        while free in taken:
            free += 1
        yield Stretch(first, last, free if free <= last else None)


def joined(found: Iterable[tuple[Family, Stretch, Hashable]]) -> dict[Hashable, tuple[Range, ...]]:
    """What a policy says of stretches -> ranges: neighbours of one kind are one range, and those that pods and nodes
    fill go with the one before. Sorted within a family."""
    ranges: dict[Hashable, list[Range]] = {}
    last: tuple[Family, Hashable] | None = None
    for family, stretch, kind in found:
        if stretch.free is None:
            continue
        if last == (family, kind):
            ranges[kind][-1] = (family, ranges[kind][-1][1], stretch.last)
        else:
            ranges.setdefault(kind, []).append((family, stretch.first, stretch.last))
        last = (family, kind)
    return {kind: tuple(listed) for kind, listed in ranges.items()}


def union(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same addresses, neighbours as one range."""
    found: list[Range] = []
    for family, first, last in sorted(ranges, key=lambda span: (span[0].value, *span[1:])):
        if found and found[-1][0] is family and first <= found[-1][2] + 1:
            found[-1] = (family, found[-1][1], max(last, found[-1][2]))
        else:
            found.append((family, first, last))
    return tuple(found)


def title(ranges: Sequence[Range], most: int = _ENTRIES) -> str:
    """Ranges as people write them: blocks where they are some, `BLOCK except BLOCKS` where that is shorter; of each
    family `most` are named and the others counted."""
    parts = []
    for family in Family:
        own = [(first, last) for kind, first, last in ranges if kind is family]
        if own:
            parts.append(_shorter(family, own, most))
    return " and ".join(parts)


def _shorter(family: Family, ranges: Sequence[tuple[int, int]], most: int) -> str:
    plain = [span_text(family, first, last) for first, last in ranges]
    whole = Prefix(family.value, 0, 0)
    holes, at = [], 0
    for first, last in ranges:
        if first > at:
            holes.append((at, first - 1))
        at = last + 1
    if at < 1 << family.bits:
        holes.append((at, (1 << family.bits) - 1))
    cut = [span_text(family, first, last) for first, last in holes]
    if sum(map(len, cut)) + len(str(whole)) < sum(map(len, plain)):
        return str(whole) + (f" except {_listed(cut, most)}" if cut else "")
    return _listed(plain, most)


def _listed(texts: Sequence[str], most: int) -> str:
    if len(texts) <= most:
        return ", ".join(texts)
    return ", ".join(texts[:most]) + f" and {len(texts) - most} more"


def span_text(family: Family, first: int, last: int) -> str:
    """An address, a block, or `FIRST-LAST`."""
    size = last - first + 1
    length = family.bits - size.bit_length() + 1
    if size == 1:
        return address_text(family, first)
    if size & (size - 1) == 0 and first % size == 0:
        return f"{address_text(family, first)}/{length}"
    return f"{address_text(family, first)}-{address_text(family, last)}"


def holds(ranges: Iterable[Range], family: Family, address: int) -> bool:
    return any(kind is family and first <= address <= last for kind, first, last in ranges)
