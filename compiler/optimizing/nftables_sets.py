"""Neighbouring rules of nft -> one rule with a set, or one map to verdicts.

Rules that differ in nothing but one field that they ask, and do the same, become one rule with a set of what they ask;
those that differ in several fields, each asked for a single value, one with a set of concatenations. Rules that have
different verdicts and do nothing else become a map to verdicts. All that they ask must be disjoint: no packet matches
two of them, so that a rule that does not end its way does nothing twice, and the kernel takes the elements (nft 1.0.6
refuses maps whose intervals overlap).

A look-up costs more than a comparison, so rules become one only where packets pay less for it, by what rules counted:
those that match one of them, which found it sooner, and those that match a rule behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from compiler.optimizing.chains import Chain, Rule
from compiler.optimizing.nftables_joints import Joint, in_fields, in_one_field
from compiler.optimizing.nftables_rules import rule as read
from compiler.optimizing.nftables_shapes import Shape, shape, words
from compiler.ordering.prices import Tool
from grammar.nftables_blocks import RulePlace
from grammar.nftables_rules import rule as parsed
from grammar.nftables_tokens import Tokens
from grammar.ruletext import Place
from grammar.source import Source

#: Of rules that would not pay as one, the first part of so many is left out before the others are tried.
_PART = 32


class Merged(NamedTuple):
    """`places` of the rules that became one, and how that is written."""

    places: tuple[Place, ...]
    text: str


class _Line(NamedTuple):
    """A rule and its shape; None of one that stays."""

    rule: Rule
    shape: Shape | None
    places: tuple[Place, ...]


def merged(chain: Chain, barriers: Sequence[bool], own: Collection[str], counters: bool) -> tuple[Chain, list[Merged]]:
    """The chain with sets and maps where they pay. `barriers`: which of its rules stay where they are; `own`: chains
    that rules lead to. Rules with a counter stay apart unless `counters`: then the one rule counts what all did, and
    they have no map."""
    lines = [_line(rule, barrier, counters) for rule, barrier in zip(chain.rules, barriers, strict=True)]
    for joining in (in_one_field, in_fields):
        for maps in (False, True):
            lines = list(_joined(lines, partial(joining, maps=maps), chain, own))
    found = [Merged(line.places, line.rule.text) for line in lines if len(line.places) > 1]
    return replace(chain, rules=tuple(line.rule for line in lines)), found


def _line(rule: Rule, barrier: bool, counters: bool) -> _Line:
    known = None if barrier else shape(rule)
    apart = known is not None and known.counter is not None and not counters
    return _Line(rule, None if apart else known, (rule.place,))


#: Shapes -> what the first of them become; None when that is not more than one.
_Joining = Callable[[Iterator[Shape]], Joint | None]


def _joined(lines: Sequence[_Line], joining: _Joining, chain: Chain, own: Collection[str]) -> Iterator[_Line]:
    behind: list[int | Fraction] = [0]  # packets that match a rule from there on
    for line in reversed(lines):
        behind.append(behind[-1] + line.rule.matched)
    behind.reverse()
    at = 0
    while at < len(lines):
        joint = joining(_shapes(lines, at))
        run = lines[at : at + joint.rules] if joint else []
        if joint is not None and _pays([line.rule for line in run], joint, behind[at + joint.rules]):
            yield _one(run, joint, chain, own)
            at += joint.rules
            continue
        passed = max(1, len(run) // _PART)
        yield from lines[at : at + passed]
        at += passed


def _shapes(lines: Sequence[_Line], at: int) -> Iterator[Shape]:
    """Of the rules from there on, up to one that stays."""
    for number in range(at, len(lines)):
        found = lines[number].shape
        if found is None:
            return
        yield found


def _pays(rules: Sequence[Rule], joint: Joint, behind: int | Fraction) -> bool:
    """Whether packets that match these rules, or one behind them, pay less; by comparisons alone where none did."""
    passing = behind if behind or any(rule.matched for rule in rules) else 1
    time, before = 0, Fraction(0)
    for rule in rules:
        time += rule.asked.cost(Tool.NFTABLES)
        before += rule.matched * time
    return joint.cost * (sum(rule.matched for rule in rules) + passing) < before + passing * time


def _one(lines: Sequence[_Line], joint: Joint, chain: Chain, own: Collection[str]) -> _Line:
    first = lines[0]
    assert first.shape is not None
    packets, octets = (
        sum(counts) for counts in zip(*((one.rule.packets, one.rule.bytes) for one in lines), strict=True)
    )
    text = words(joint.asks, first.shape, packets, octets, joint.verdict)
    said = parsed(Tokens(Source(first.rule.place.source.name, text)))
    new = read(RulePlace(first.rule.place, said, True), chain.table.partition(" ")[0], own, {})
    weight = sum(line.rule.matched for line in lines) if any(line.rule.weight is not None for line in lines) else None
    new = replace(new, text=text, weight=weight)
    return _Line(new, shape(new), tuple(place for line in lines for place in line.places))
