"""What neighbouring rules of nft become together: a look-up in a set, or in a map to verdicts, and what that costs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from compiler.optimizing.readers.nftables_shapes import Asking, Shape, Spans
from compiler.ordering.prices import BEHIND, PRICES, Kind, Tool

#: Of a look-up, in the unit of `prices`: in a hash, of one field and of several; in a tree of intervals, with so many.
#: Measured on packets' whole way, where elements are in no cache: one costs as much as 15 comparisons of addresses.
_HASH, _CONCATENATED = 600, 740
_TREE = ((10, 1_340), (1_000, 3_200), (10_000, 4_100))
_LARGEST_TREE = 5_000
#: Registers of a key, in bytes (NFT_DATA_VALUE_MAXLEN, linux/netfilter/nf_tables.h).
_KEY = 64
#: So many concatenations a rule may stand for.
_MOST = 64
_PROTOCOL = ("meta l4proto", "ip protocol")


class Joint(NamedTuple):
    """What rules become: what that asks, its verdict, and what asking costs."""

    asks: tuple[str, ...]
    verdict: str
    cost: int


#: Rules of equal signature ask the same and do the same but for the fields that may be a key.
Signature = tuple[Hashable, ...]


class OneField:
    """Rules that differ in one field, the key: a set, or with `maps` a map to their verdicts."""

    def __init__(self, field: int, maps: bool) -> None:
        self._field, self._maps = field, maps
        self._run: list[Shape] = []
        self._spans = Spans()

    @staticmethod
    def signatures(one: Shape, maps: bool) -> Iterator[tuple[Signature, OneField]]:
        """One for each field that may be the key."""
        for n, asking in enumerate(one.asks):
            # Of marks, one rule may set what the next one asks for.
            fit = _is_part(asking) or (bool(asking.key) and not maps and (asking.key != "meta mark" or one.ends))
            if fit and (not maps or _may_be_mapped(one, [n])):
                others = tuple(other.words for m, other in enumerate(one.asks) if m != n)
                yield (n, asking.key, others, *_does(one, maps)), OneField(n, maps)

    def take(self, one: Shape) -> bool:
        """Whether no packet matches it and one that was taken; then it is, too."""
        if not self._spans.take(one.asks[self._field].values):
            return False
        self._run.append(one)
        return True

    def joint(self) -> Joint | None:
        """Of all that were taken; None when they do not become one."""
        elements = [(one, (value.text,)) for one in self._run for value in one.asks[self._field].values]
        exact = all(one.asks[self._field].exact for one in self._run)
        return _joint(self._run, [self._field], elements, exact, self._maps)


class Fields:
    """Rules that differ in several fields, each asked for single values."""

    def __init__(self, maps: bool) -> None:
        self._maps = maps
        self._run: list[Shape] = []
        self._fields: list[int] = []
        self._seen: set[tuple[int, ...]] = set()

    @staticmethod
    def signatures(one: Shape, maps: bool) -> Iterator[tuple[Signature, Fields]]:
        """One, if there are fields enough."""
        key = [n for n, asking in enumerate(one.asks) if _is_part(asking) and asking.exact]
        if len(key) > 1 and (not maps or _may_be_mapped(one, key)):
            asks = tuple(asking.key if n in key else asking.words for n, asking in enumerate(one.asks))
            yield (tuple(key), asks, *_does(one, maps)), Fields(maps)

    def take(self, one: Shape) -> bool:
        """Whether no packet matches it and one that was taken, and the key does not get too long; then it is, too."""
        first = self._run[0] if self._run else one
        wider = sorted({*self._fields, *(n for n, a in enumerate(one.asks) if a.words != first.asks[n].words)})
        own = set(_points(one))
        if not own or own & self._seen or sum(first.asks[n].bytes for n in wider) > _KEY:
            return False
        self._fields = wider
        self._seen |= own
        self._run.append(one)
        return True

    def joint(self) -> Joint | None:
        """Of all that were taken; None when they do not become one, or differ in one field only."""
        if len(self._fields) < 2:
            return None
        elements = [(one, texts) for one in self._run for texts in product(*_texts(one, self._fields))]
        return _joint(self._run, self._fields, elements, True, self._maps)


def _texts(one: Shape, fields: Sequence[int]) -> Iterator[list[str]]:
    for n in fields:
        yield [value.text for value in one.asks[n].values]


def _does(one: Shape, maps: bool) -> tuple[Hashable, ...]:
    return (one.comment,) if maps else (one.does, one.verdict, one.comment)


def _may_be_mapped(one: Shape, key: Sequence[int]) -> bool:
    """Whether a verdict is all that it does, and the fields may be asked behind all others: `th` needs its protocol in
    front."""
    needed = any(asking.words.startswith("th ") for asking in one.asks)
    return bool(one.verdict) and not one.does and not (needed and any(one.asks[n].key in _PROTOCOL for n in key))


def _is_part(asking: Asking) -> bool:
    """Whether it may be the key of a map, or a part of a key: what `th` is of depends on a protocol in front, and marks
    are proved in sets of marks alone."""
    return bool(asking.key) and not asking.key.startswith("th ") and asking.key != "meta mark"


def _points(one: Shape) -> Iterator[tuple[int, ...]]:
    """What a rule asks of all fields that it asks for single values; nothing when that is too much."""
    spans = [[value.low for value in asking.values] for asking in one.asks if asking.exact]
    count = 1
    for span in spans:
        count *= len(span)
    if count <= _MOST:
        yield from product(*spans)


def _joint(
    run: Sequence[Shape],
    fields: Sequence[int],
    elements: Sequence[tuple[Shape, tuple[str, ...]]],
    exact: bool,
    maps: bool,
) -> Joint | None:
    first = run[0]
    if len(run) < 2 or (maps and len({one.verdict for one in run}) < 2):
        return None
    key = " . ".join(first.asks[n].key for n in fields)
    listed = ", ".join(" . ".join(texts) + f" : {one.verdict}" * maps for one, texts in elements)
    asked = f"{key} {'vmap ' * maps}{{ {listed} }}"
    others = [asking.words for n, asking in enumerate(first.asks) if n not in fields]
    asks = [*others, asked] if maps else _placed(first.asks, fields, asked)
    cost = _cost([first.asks[n] for n in fields], len(elements), exact, maps)
    in_front = [asking for n, asking in enumerate(first.asks) if n not in fields and (maps or n < fields[0])]
    if in_front:  # what is asked first mostly ends it
        cost = in_front[0].price + BEHIND[Tool.NFTABLES]
    return Joint(tuple(asks), "" if maps else first.verdict, cost)


def _placed(asks: Sequence[Asking], fields: Sequence[int], asked: str) -> list[str]:
    """The matches, with what is asked of the fields in the first one's place."""
    return [asked if n == fields[0] else asking.words for n, asking in enumerate(asks) if n not in fields[1:]]


def _cost(key: Sequence[Asking], elements: int, exact: bool, maps: bool) -> int:
    if not exact:
        return next((cost for most, cost in _TREE if elements <= most), _LARGEST_TREE)
    if len(key) > 1:
        return _CONCATENATED
    if not maps and key[0].key.endswith("port"):  # a bitmap
        return PRICES[Tool.NFTABLES][Kind.PORT_LIST]
    return _HASH
