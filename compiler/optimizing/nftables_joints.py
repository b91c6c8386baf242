"""What neighbouring rules of nft become together: a look-up in a set, or in a map to verdicts, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import NamedTuple

from compiler.optimizing.nftables_shapes import Asking, Shape, Spans
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


class Joint(NamedTuple):
    """How many of the lines become one, what that asks, its verdict, and what asking costs."""

    rules: int
    asks: tuple[str, ...]
    verdict: str
    cost: int


def _alike(one: Shape, two: Shape, maps: bool) -> bool:
    """Whether they ask the same fields and do the same; for a map, whether all that they do is a verdict."""
    if [asking.key or asking.words for asking in one.asks] != [asking.key or asking.words for asking in two.asks]:
        return False
    if maps:
        return not one.does and not two.does and bool(one.verdict and two.verdict) and one.comment == two.comment
    return (one.does, one.verdict, one.comment) == (two.does, two.verdict, two.comment)


def _differ(one: Shape, two: Shape) -> list[int]:
    return [n for n, (a, b) in enumerate(zip(one.asks, two.asks, strict=True)) if a.words != b.words]


def in_one_field(shapes: Iterator[Shape], maps: bool) -> Joint | None:
    """Rules that differ in one field: what the first of the shapes become with as many behind it as can be."""
    run = list(islice(shapes, 2))
    first, second = run if len(run) == 2 else (None, None)
    if first is None or second is None or not _alike(first, second, maps):
        return None
    fields, spans = _differ(first, second), Spans()
    if len(fields) != 1 or (maps and not _may_go_last(first, fields)):
        return None
    (field,) = fields
    if maps and not _is_part(first.asks[field]):
        return None
    if first.asks[field].key == "meta mark" and not first.ends:  # one may set what the next one asks for
        return None
    if not (spans.take(first.asks[field].values) and spans.take(second.asks[field].values)):
        return None
    for one in shapes:
        if not _alike(first, one, maps) or _differ(first, one) != fields or not spans.take(one.asks[field].values):
            break
        run.append(one)
    exact = all(one.asks[field].exact for one in run)
    return _joint(run, fields, [(one, (value.text,)) for one in run for value in one.asks[field].values], exact, maps)


def in_fields(shapes: Iterator[Shape], maps: bool) -> Joint | None:
    """The same for rules that differ in several fields, each asked for single values."""
    first = next(shapes, None)
    if first is None:
        return None
    run, fields, seen = [first], set[int](), set(_points(first))
    for one in shapes:
        wider = fields.union(_differ(first, one)) if _alike(first, one, maps) else set()
        if not wider or not all(_is_part(first.asks[n]) and first.asks[n].exact and one.asks[n].exact for n in wider):
            break
        own = set(_points(one))
        if sum(first.asks[n].bytes for n in wider) > _KEY or not own or not seen or own & seen:
            break
        fields = wider
        seen |= own
        run.append(one)
    key = sorted(fields)
    if len(key) < 2 or (maps and not _may_go_last(first, key)):
        return None
    elements = [(one, texts) for one in run for texts in product(*([v.text for v in one.asks[n].values] for n in key))]
    return _joint(run, key, elements, True, maps)


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


def _may_go_last(first: Shape, fields: Sequence[int]) -> bool:
    """Whether fields may be asked behind all others, as a map is: `th` needs its protocol in front."""
    needed = any(asking.words.startswith("th ") for asking in first.asks)
    return not (needed and any(first.asks[n].key in ("meta l4proto", "ip protocol") for n in fields))


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
    return Joint(len(run), tuple(asks), "" if maps else first.verdict, cost)


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
