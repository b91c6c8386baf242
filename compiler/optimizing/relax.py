"""Orders in which rules that do the same change places although some packets match both (`--relax`).

Which of the two ends the way of such a packet is all the same, so the meaning stays. What each of them counts does not:
a rule that comes in front takes packets from those that it overlaps. How many is not known; that much of what a rule
counted is taken as of its box lies in the other's (`rescored`). So costs are an estimate here, and no bound is known.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from math import prod

from compiler.optimizing.chains import Chain, Listing
from compiler.optimizing.passes.lines import Block, Line
from compiler.optimizing.regions import common, meet
from compiler.optimizing.reorder import ChainOrder, parts
from compiler.ordering.bits import members
from compiler.ordering.ordered import ordered
from compiler.ordering.overlap import Box, overlaps_of_parts

#: Chains of more rules keep the order of all rules that overlap.
MOST = 5_000
#: A new order has other weights, and these another order. So often at most.
_ROUNDS = 6
#: Packets are dealt out in parts of one, so that numbers stay small.
_GRAINS = 1 << 16


def relaxing(listing: Listing, threshold: Fraction) -> Callable[[Chain, ChainOrder], ChainOrder]:
    """What makes a better order of a chain's order, or leaves it as it is: where the new one does not save more than
    the `threshold`, nor more than the old one."""
    lines: dict[int, Sequence[Line]] = {}
    for chains in listing.blocks().values():
        own = Block(chains, {})
        lines.update((id(chain), found) for chain, found in zip(chains, own.lines, strict=True))

    def better(chain: Chain, order: ChainOrder) -> ChainOrder:
        if len(chain.rules) > MOST:
            return order
        costs = [line.asked.cost(listing.tool) for line in lines[id(chain)]]
        return _better(lines[id(chain)], costs, order, threshold)

    return better


def _better(lines: Sequence[Line], costs: Sequence[int], order: ChainOrder, threshold: Fraction) -> ChainOrder:
    actions: list[Hashable] = [line.rule.does if line.plain and line.rule.does else n for n, line in enumerate(lines)]
    boxes = [line.asked.box for line in lines]
    several = parts([line.asked for line in lines])
    best, least = order, min(order.ordering.cost, order.ordering.written * (1 - threshold))
    weights: Sequence[Fraction] = order.weights
    tried = set()
    for _ in range(_ROUNDS):
        found = ordered(boxes, weights, costs, Fraction(0), actions, several)
        if found is None or found.row in tried:
            break
        tried.add(found.row)
        weights = rescored(several or [(box,) for box in boxes], actions, order.weights, found.row)
        times = accumulate(costs[job] for job in found.row)
        cost = sum((weights[job] * time for job, time in zip(found.row, times, strict=True)), Fraction(0))
        if cost < least:
            least = cost
            ordering = replace(order.ordering, row=found.row, cost=cost, bound=Fraction(0), parts=found.parts)
            best = replace(order, ordering=ordering, now=tuple(weights))
    return best


def rescored(
    rules: Sequence[Sequence[Box]], actions: Sequence[Hashable], weights: Sequence[Fraction], row: Sequence[int]
) -> list[Fraction]:
    """Weights in a new order: each rule, of one box or several, gives to those that it overlaps, that do the same and
    that have come in front of it, first to the first of them, the part of its packets that it has in common with
    them."""
    place = {job: at for at, job in enumerate(row)}
    ahead: list[list[int]] = [[] for _ in rules]
    for job, mask in enumerate(overlaps_of_parts(rules)):
        for other in members(mask):
            if actions[other] == actions[job] and place[job] < place[other]:
                ahead[other].append(job)
    found = [Fraction(0)] * len(rules)
    for job, takers in enumerate(ahead):
        left = weights[job]
        for taker in sorted(takers, key=place.__getitem__):
            part = Fraction(int(left * _GRAINS * _share(rules[job], rules[taker])), _GRAINS)
            found[taker] += part
            left -= part
        found[job] += left
    return found


def _share(own: Sequence[Box], others: Sequence[Box]) -> Fraction:
    """Of a rule the part that lies in another one; all, where its boxes hold it more than once."""
    both = sum(_volume(common(one, two)) for one in own for two in others if meet(one, two))
    return min(Fraction(both, sum(map(_volume, own))), Fraction(1))


def _volume(box: Box) -> int:
    return prod(high - low + 1 for low, high in box)
