"""Sets of packets as boxes, and what is left of a box when others are taken out of it.

Beside what rules ask, a packet may be a later fragment, which has no ports and no type of ICMP: whoever asks for these,
negated or not, does not match it. Types and codes of ICMP stand where destination ports would, the type in front.
Packets that are cut off within their headers are not spoken of.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import NamedTuple

from compiler.net import Intervals
from compiler.ordering.dimensions import EVERYTHING
from compiler.ordering.overlap import Box

#: The last dimension: 1 of later fragments.
UNIVERSE: Box = (*EVERYTHING, (0, 1))
FRAGMENT = len(EVERYTHING)
#: So many boxes a region may have; one that needs more becomes the box around it, which is not exact.
MOST = 64


class Region(NamedTuple):
    """What a rule matches: packets in one of the boxes that also meet all of `asks`, questions that no dimension stands
    for and that depend on the packet alone. `exact`: all of these packets; else only none but these. `calm`: asking
    does nothing and remembers nothing."""

    boxes: tuple[Box, ...]
    asks: frozenset[Hashable] = frozenset()
    exact: bool = True
    calm: bool = True


#: Of a rule of which nothing is known.
UNKNOWN = Region((UNIVERSE,), exact=False, calm=False)


def boxes(spans: Mapping[int, Intervals], whole: Box = UNIVERSE) -> tuple[tuple[Box, ...], bool]:
    """The boxes of the packets of `whole` whose numbers lie in the spans of each dimension, and whether they are these
    exactly."""
    parts = [spans.get(dimension, (interval,)) for dimension, interval in enumerate(whole)]
    if prod(map(len, parts)) > MOST:
        return (tuple((part[0][0], part[-1][1]) for part in parts),), False
    return tuple(product(*parts)), True


def meet(one: Box, two: Box) -> bool:
    """Whether some packet lies in both."""
    return all(a <= d and c <= b for (a, b), (c, d) in zip(one, two, strict=True))


def holds(one: Box, two: Box) -> bool:
    """Whether every packet of the second lies in the first."""
    return all(a <= c and d <= b for (a, b), (c, d) in zip(one, two, strict=True))


def begins_in(one: Box, two: Box) -> bool:
    """Whether the packet of the first that is first in all dimensions lies in the second."""
    return all(c <= a <= d for (a, _), (c, d) in zip(one, two, strict=True))


def common(one: Box, two: Box) -> Box:
    """The packets of both, which meet."""
    return tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(one, two, strict=True))


def around(many: Sequence[Box]) -> Box:
    """The smallest box that holds all of these, at least one."""
    return tuple((min(low for low, _ in side), max(high for _, high in side)) for side in zip(*many, strict=True))


def without(box: Box, cut: Box) -> Iterator[Box]:
    """What is left of a box, in pieces that do not meet."""
    if not meet(box, cut):
        yield box
        return
    rest = list(box)
    for dimension, ((low, high), (first, last)) in enumerate(zip(box, cut, strict=True)):
        for part in ((low, first - 1), (last + 1, high)):
            if part[0] <= part[1]:
                yield (*rest[:dimension], part, *rest[dimension + 1 :])
        rest[dimension] = max(low, first), min(high, last)


def takers(box: Box, cuts: Iterable[tuple[int, Box]], budget: int) -> tuple[int, ...] | None:
    """Of numbered boxes, one after the other, those that take something of this box that was still left; None when
    something is left of it at last, or when that takes more than `budget` pieces at a time."""
    left, took = [box], dict[int, None]()
    for number, cut in cuts:
        new = [piece for one in left for piece in without(one, cut)]
        if new != left:
            took[number] = None
        if not new:
            return tuple(took)
        if len(new) > budget:
            return None
        left = new
    return None
