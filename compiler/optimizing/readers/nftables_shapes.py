"""Rules of nft as what they ask and what they do, for those that may become one rule with a set or a map."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compiler.optimizing.chains import Rule
from compiler.optimizing.readers.nftables_asked import dimension_of, interval, is_plain, kinds_of, listed
from compiler.ordering.dimensions import DESTINATION, FROM, IN, OUT, PROTOCOL, SOURCE, STATE, TO
from compiler.ordering.prices import Tool, price
from grammar import nftables_tree as tree
from grammar.nftables_tree import Match, Selector, Statement, Verdict

#: Bytes of the fields that may be a key, each in registers of four.
_BYTES = {SOURCE: 4, DESTINATION: 4, PROTOCOL: 4, FROM: 4, TO: 4, IN: 16, OUT: 16, STATE: 4}
_MARK = -1
#: Statements that remember something: two of them are not one.
_REMEMBERS = ("limit", "quota")
_COUNTER = re.compile(r"counter(?:\s+packets\s+[0-9]{1,20}\s+bytes\s+[0-9]{1,20})?")
#: What `nft -a` says behind a rule.
_HANDLE = re.compile(r"\s*(?:# handle [0-9]+)?")


class Value(NamedTuple):
    """An element of a key, and the numbers that it stands for."""

    text: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Asking:
    """A match: `words` and `price` of it. `key`: what it is asked of, and the `values` that get through, where another
    rule's may join them; `exact`: none of them is a range; `bytes`: of the key."""

    words: str
    price: int
    key: str = ""
    values: tuple[Value, ...] = ()
    exact: bool = False
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """`does`: statements behind the matches, a counter without its numbers; `verdict` and `comment` as they stand,
    empty where the rule has none. `counter`: number of the statement that counts, None without. `ends`: what matches
    goes no further in the chain."""

    asks: tuple[Asking, ...]
    does: tuple[str, ...]
    verdict: str
    comment: str
    counter: int | None
    ends: bool


def shape(rule: Rule) -> Shape | None:
    """None of a rule that stays as it is: matches stand behind statements, it remembers something, or somebody remarks
    on it in the text."""
    if not isinstance(rule.said, tree.Rule):
        return None
    said = rule.said
    matches = [part for part in said.parts if isinstance(part, Match)]
    rest = said.parts[len(matches) :]
    if said.parts[: len(matches)] != tuple(matches) or not all(is_plain(one) for part in matches for one in part.left):
        return None
    remark = rest[-1] if rest else None
    comment = remark.place.text if isinstance(remark, Statement) and remark.words[0].text == "comment" else ""
    rest = rest[: len(rest) - bool(comment)]
    last = rest[-1] if rest else None
    verdict = " ".join(filter(None, (last.kind, last.chain))) if isinstance(last, Verdict) else ""
    statements = [part for part in rest if isinstance(part, Statement)]
    if len(statements) + bool(verdict) != len(rest) or any(one.words[0].text in _REMEMBERS for one in statements):
        return None
    if said.place.source is rule.place.source and not _HANDLE.fullmatch(rule.place.text[len(said.place.text) :]):
        return None
    does = tuple("counter" if _COUNTER.fullmatch(one.place.text) else one.place.text for one in statements)
    counters = [n for n, words in enumerate(does) if words == "counter"]
    if len(counters) > 1:
        return None
    return Shape(
        tuple(map(_asking, matches)), does, verdict, comment, counters[0] if counters else None, rule.asked.ends
    )


def _asking(part: Match) -> Asking:
    words, cost = " ".join(part.place.text.split()), price(Tool.NFTABLES, tuple(kinds_of(part)))
    if len(part.left) != 1 or part.left[0].mask is not None:
        return Asking(words, cost)
    selector, atoms = part.left[0], listed(part, 0)
    kind = _kind(selector)
    if kind is None or atoms is None:
        return Asking(words, cost)
    try:
        values = tuple(_value(kind, atom) for atom in atoms)
    except (ValueError, KeyError):
        return Asking(words, cost)
    exact = all(value.low == value.high for value in values)
    if not exact and kind in (IN, OUT):  # sets of names that begin so are not for every kernel
        return Asking(words, cost)
    size = 16 if selector.name.startswith("ip6 ") else _BYTES.get(kind, 4)
    return Asking(words, cost, selector.name, values, exact, size)


def _kind(selector: Selector) -> int | None:
    if selector.name == "meta mark":
        return _MARK
    dimension = dimension_of(selector)
    return dimension if dimension in _BYTES else None


def _value(kind: int, atom: tree.Atom) -> Value:
    if kind == _MARK:
        return Value(atom.text, *(int(atom.text, 0),) * 2)
    return Value(atom.text, *interval(kind, atom))


class Spans:
    """Numbers that are taken."""

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []

    def take(self, values: Iterable[Value]) -> bool:
        """Whether none of these was taken before, nor twice; else some may be now."""
        for value in values:
            at = bisect_left(self._lows, value.low)
            if (at and self._highs[at - 1] >= value.low) or (at < len(self._lows) and self._lows[at] <= value.high):
                return False
            self._lows.insert(at, value.low)
            self._highs.insert(at, value.high)
        return True


def words(asks: Sequence[str], shape: Shape, packets: int, octets: int, verdict: str) -> str:
    """A rule that asks this and does what the shape does, having counted so much."""
    return " ".join(filter(None, [*asks, *_does(shape, packets, octets), verdict, shape.comment]))


def _does(shape: Shape, packets: int, octets: int) -> Iterator[str]:
    for number, text in enumerate(shape.does):
        yield f"counter packets {packets} bytes {octets}" if number == shape.counter else text
