"""Outcomes that hang on chance: how likely each is, exactly, for every packet.

A match by chance is a Boolean field of its own, a coin, each time that a packet is asked it. Two lists of rules that
toss coins mean the same when every packet has the same outcomes with the same probabilities: `settled` puts those in
place of the coins.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from compiler.semantics.diagrams.diagram import IN, NOTHING, Diagrams

#: xt_statistic compares 31 bits of chance with the probability.
_UNITS = 1 << 31


class Odds(NamedTuple):
    """Several outcomes with their probabilities, which are 1 together."""

    outcomes: frozenset[tuple[Hashable, Fraction]]

    def __str__(self) -> str:
        return "by chance, " + " or ".join(sorted(f"{outcome} ({share})" for outcome, share in self.outcomes))


def probability(text: str) -> Fraction | None:
    """With which probability a stateful match holds, by its text; None when it is none by chance alone."""
    found = re.fullmatch(r"-m statistic --mode random --probability ([0-9.]+)", text)
    if found:
        given = Fraction(found[1])
        # What is printed of one in N has ten digits, and the kernel keeps less: the nearest one is meant.
        nearest = Fraction(1, round(1 / given)) if given else given
        return nearest if abs(given - nearest) < Fraction(1, _UNITS) else Fraction(round(given * _UNITS), _UNITS)
    found = re.fullmatch(r"numgen random mod ([0-9]+) (?:== )?0", text)
    return Fraction(1, int(found[1])) if found else None


def settled(made: Diagrams, diagram: int, coins: Mapping[int, Fraction]) -> int:
    """The same, with `Odds` as outcomes where the coins, by their fields, leave several."""
    folds = {coin: partial(_of_both, made, share) for coin, share in coins.items()}
    return made.folded(diagram, folds)


def _of_both(made: Diagrams, share: Fraction, zero: int, one: int) -> int:
    return _mixed(made, one, zero, share)


def _mixed(made: Diagrams, one: int, two: int, share: Fraction) -> int:
    """What packets have of which the first diagram is right with that probability, else the second; both say something
    of every packet."""
    if one == two:
        return one
    leaves = {made.outcome(value): value for value in {*made.said(one), *made.said(two)}}
    parts = []
    for own in {*made.said(one)}:
        among = made.relabel(one, {leaf: IN if value == own else NOTHING for leaf, value in leaves.items()})
        both = {leaf: made.outcome(_both(own, value, share)) for leaf, value in leaves.items()}
        parts.append(made.where(among, made.relabel(two, both)))
    return made.first(parts)


def _both(one: Hashable, two: Hashable, share: Fraction) -> Hashable:
    found: dict[Hashable, Fraction] = {}
    for value, weight in ((one, share), (two, 1 - share)):
        for outcome, part in value.outcomes if isinstance(value, Odds) else ((value, Fraction(1)),):
            found[outcome] = found.get(outcome, Fraction(0)) + weight * part
    found = {outcome: part for outcome, part in found.items() if part}
    return next(iter(found)) if len(found) == 1 else Odds(frozenset(found.items()))
