"""Rules of nft -> one rule with a set, or one map to verdicts.

Rules that differ in nothing but one field that they ask, and do the same, become one rule with a set of what they ask;
those that differ in several fields, each asked for a single value, one with a set of concatenations. Rules that have
different verdicts and do nothing else become a map to verdicts. All that they ask must be disjoint: no packet matches
two of them, so that a rule that does not end its way does nothing twice, and the kernel takes the elements (nft 1.0.6
refuses maps whose intervals overlap). Later ones move up to the first, past rules that none of their packets matches.

A look-up costs more than a comparison, so rules become one only where all packets together pay less for it, by what
rules counted: those that match one of them, which found it sooner, and those that match a rule behind them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple, Protocol

from compiler.optimizing.chains import Asked, Chain, Rule
from compiler.optimizing.passes.nftables_joints import Fields, Joint, OneField, Signature
from compiler.optimizing.readers.nftables_rules import rule as read
from compiler.optimizing.readers.nftables_shapes import Shape, shape, words
from compiler.optimizing.regions import UNIVERSE, around
from compiler.ordering.overlap import Box, overlaps_of_parts
from compiler.ordering.prices import Tool
from grammar.nftables_blocks import RulePlace
from grammar.nftables_rules import rule as parsed
from grammar.nftables_tokens import Tokens
from grammar.ruletext import Place
from grammar.source import Source

#: In a chain of more rules, none moves past another: all pairs take a bit each.
_LARGEST = 20_000
#: A rule that touches more boxes than these touches the box around them.
_PIECES = 8


class Known(Protocol):
    """What a rule asks, a barrier among them, and packets that may fare otherwise when it stands elsewhere."""

    @property
    def asked(self) -> Asked: ...

    @property
    def touched(self) -> Sequence[Box]: ...


class Merged(NamedTuple):
    """`places` of the rules that became one, and how that is written."""

    places: tuple[Place, ...]
    text: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A rule, or one that several became. `shape`: None of one that stays. `own`: the numbers of the rules that it is;
    `met`: rules that some packet matches, too, among those with smaller numbers than these. Both are sets of bits.
    `cost` of asking it, and packets that `matched`."""

    rule: Rule
    shape: Shape | None
    places: tuple[Place, ...]
    own: int
    met: int
    cost: int
    matched: int | Fraction

    @classmethod
    def of(cls, rule: Rule, shape: Shape | None, places: tuple[Place, ...], own: int, met: int) -> _Line:
        return cls(rule, shape, places, own, met, rule.asked.cost(Tool.NFTABLES), rule.matched)


def merged(chain: Chain, known: Sequence[Known], own: Collection[str], counters: bool) -> tuple[Chain, list[Merged]]:
    """The chain with sets and maps where they pay. `known`: of each rule; `own`: chains that rules lead to. Rules with
    a counter stay apart unless `counters`: then the one rule counts what all did, and they have no map."""
    met = _met([one.touched for one in known])
    lines = [
        _Line.of(rule, None if one.asked.barrier else _shape(rule, counters), (rule.place,), 1 << number, met[number])
        for number, (rule, one) in enumerate(zip(chain.rules, known, strict=True))
    ]
    for kind in (OneField, Fields):
        for maps in (False, True):
            lines = _Gathering(lines, chain, own).gathered(kind, maps)
    found = [Merged(line.places, line.rule.text) for line in lines if len(line.places) > 1]
    return replace(chain, rules=tuple(line.rule for line in lines)), found


def _met(touched: Sequence[Sequence[Box]]) -> list[int]:
    """For each rule the set of earlier ones that some packet touches, too."""
    if len(touched) > _LARGEST:
        return [-1] * len(touched)
    some = (own or [UNIVERSE] for own in touched)
    return overlaps_of_parts([own if len(own) <= _PIECES else [around(own)] for own in some])


def _shape(rule: Rule, counters: bool) -> Shape | None:
    found = shape(rule)
    return None if found is None or (found.counter is not None and not counters) else found


class _Found(NamedTuple):
    """Lines by number, the first one first, that become one; `gain`: what packets pay less, then rules."""

    members: tuple[int, ...]
    joint: Joint
    gain: tuple[int | Fraction, int]


class _Gathering:
    """The lines of a chain; those that went are None."""

    def __init__(self, lines: Sequence[_Line], chain: Chain, own: Collection[str]) -> None:
        self._lines: list[_Line | None] = list(lines)
        self._chain = chain
        self._own = own
        self._behind: list[int | Fraction] = []
        self._count()

    def _count(self) -> None:
        """How many packets match the lines from each on."""
        found: list[int | Fraction] = [0]
        for line in reversed(self._lines):
            found.append(found[-1] + (line.matched if line else 0))
        self._behind = found[::-1]

    def gathered(self, kind: type[OneField] | type[Fields], maps: bool) -> list[_Line]:
        """With all that can become one and pays; of rules that can be one with these or with those, with more first."""
        alike: dict[Signature, list[int]] = {}
        for number, line in enumerate(self._lines):
            for signature, _ in kind.signatures(line.shape, maps) if line and line.shape else ():
                alike.setdefault(signature, []).append(number)
        joined = set[int]()  # what these have become asks for something else
        for signature, numbers in sorted(alike.items(), key=lambda one: (-len(one[1]), one[1][0])):
            while found := self._best(signature, [number for number in numbers if number not in joined], kind, maps):
                self._join(found)
                joined.update(found.members)
        return [line for line in self._lines if line is not None]

    def _best(
        self, signature: Signature, numbers: Sequence[int], kind: type[OneField] | type[Fields], maps: bool
    ) -> _Found | None:
        """What gains most: of all of them, or with the first 1, 2, 4, 8 ... of them left out."""
        best: _Found | None = None
        leave = 0
        while len(numbers) - leave > 1:
            found = self._from(signature, numbers[leave:], kind, maps)
            if found and found.gain > (best.gain if best else (0, 0)):
                best = found
            leave = leave * 2 or 1
        return best

    def _from(
        self, signature: Signature, numbers: Sequence[int], kind: type[OneField] | type[Fields], maps: bool
    ) -> _Found | None:
        """The first of them with all that can come to it."""
        first = self._lines[numbers[0]]
        assert first is not None
        assert first.shape is not None
        key = next(own for one, own in kind.signatures(first.shape, maps) if one == signature)
        wanted, members = set(numbers), list[int]()
        own = met = 0  # of lines in between
        for number in range(numbers[0], numbers[-1] + 1):
            line = self._lines[number]
            if line is None:
                continue
            apart = not (line.met & own or met & line.own)
            if number in wanted and apart and line.shape is not None and key.take(line.shape):
                members.append(number)
            else:
                own |= line.own
                met |= line.met
        joint = key.joint()
        return _Found(tuple(members), joint, self._gain(members, joint)) if joint else None

    def _gain(self, members: Sequence[int], joint: Joint) -> tuple[int | Fraction, int]:
        """What all packets that were counted pay less, and what one pays less that meets all rules."""
        own = set(members)
        saved, before = -joint.cost, 0
        gain: int | Fraction = 0
        for number in range(members[0], members[-1] + 1):
            line = self._lines[number]
            if line is None:
                continue
            before += line.cost
            if number in own:
                saved += line.cost
                gain += line.matched * (before - joint.cost)
            else:
                gain += line.matched * saved
        return gain + self._behind[members[-1] + 1] * saved, saved

    def _join(self, found: _Found) -> None:
        lines = [line for line in (self._lines[number] for number in found.members) if line is not None]
        for number in found.members:
            self._lines[number] = None
        self._lines[found.members[0]] = _one(lines, found.joint, self._chain, self._own)
        self._count()


def _one(lines: Sequence[_Line], joint: Joint, chain: Chain, own: Collection[str]) -> _Line:
    first = lines[0]
    assert first.shape is not None
    packets, octets = (sum(counts) for counts in zip(*_counts(lines), strict=True))
    text = words(joint.asks, first.shape, packets, octets, joint.verdict)
    said = parsed(Tokens(Source(first.rule.place.source.name, text)))
    new = read(RulePlace(first.rule.place, said, True), chain.table.partition(" ")[0], own, {})
    weight = sum(line.rule.matched for line in lines) if any(line.rule.weight is not None for line in lines) else None
    new = replace(new, text=text, weight=weight)
    places = tuple(sorted((place for line in lines for place in line.places), key=lambda place: place.start))
    held = met = 0
    for line in lines:
        held |= line.own
        met |= line.met
    return _Line.of(new, shape(new), places, held, met)


def _counts(lines: Sequence[_Line]) -> Iterator[tuple[int, int]]:
    return ((line.rule.packets, line.rule.bytes) for line in lines)
