"""What no row of a block can cost less than.

In a block, all surplus of weight flows to jobs before it that lack it (`closure`): the flow is a bundle of *strings*,
each from a job `end` that comes earlier to a job `job` that comes later. Measured in the block's ratio, where weight
and cost of all are equal, every job is its part in which both are equal (`level`), and the ends of strings: costs where
a string begins, weights where it ends. The cost of a row is then the sum, over pairs, of

- two levels: their product, in either order;
- a string and a level: their product once if the level is outside of the string, twice if inside;
- two strings: their product once if one ends before the other begins, twice if they overlap.

Once each is the two-dimensional Gantt bound, half of the rectangle of the block's weight and cost (M. X. Goemans and
D. P. Williamson, "Two-dimensional Gantt charts and a scheduling algorithm of Lawler", 2000). Added here is what must be
twice: levels of jobs that come after the beginning and before the end of a string, and strings each of which begins
before the other's end in every row, such as all that end at the same job.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from compiler.ordering.bits import Sums, members
from compiler.ordering.closure import Transport
from compiler.ordering.jobs import Jobs


def bound(block: Jobs, after: Sequence[int]) -> Fraction:
    """At most the cost of any row of a block: jobs of which no initial part has a greater ratio than all."""
    weight, cost = sum(block.weights), sum(block.costs)
    values = [own * cost for own in block.weights]
    prices = [own * weight for own in block.costs]
    level = [min(pair) for pair in zip(values, prices, strict=True)]
    flow = Transport((1 << len(level)) - 1, block.before, block.weights, block.costs).flow
    strings = [(job, end, amount) for end, senders in flow.items() for job, amount in senders.items()]
    amounts = [amount for _, _, amount in strings]
    even, whole = sum(level), sum(amounts)
    total = sum(value * price for value, price in zip(values, prices, strict=True))
    total += (even * even - sum(own * own for own in level)) // 2 + whole * even
    total += (whole * whole + sum(amount * amount for amount in amounts)) // 2
    return Fraction(total + _twice(strings, block.before, after, level), weight * cost) if weight else Fraction(0)


def _twice(
    strings: Sequence[tuple[int, int, int]], before: Sequence[int], after: Sequence[int], level: Sequence[int]
) -> int:
    """What every row pays a second time."""
    ending: dict[int, int] = {}
    beginning: dict[int, int] = {}
    for number, (job, end, _) in enumerate(strings):
        ending[job] = ending.get(job, 0) | 1 << number
        beginning[end] = beginning.get(end, 0) | 1 << number
    all_ends, all_beginnings = _mask(ending), _mask(beginning)
    #: Strings that begin before a job in every row, and that end after one.
    begun = {job: _union(before[job] & all_beginnings, beginning) for job in ending}
    open_ = {end: _union(after[end] & all_ends, ending) for end in beginning}
    amounts, levels = Sums([amount for _, _, amount in strings]), Sums(level)
    pairs = inside = 0
    for job, end, amount in strings:
        pairs += amount * (amounts.over(begun[job] & open_[end]) - amount)
        inside += amount * levels.over(before[job] & after[end])
    return pairs // 2 + inside


def _mask(numbers: dict[int, int]) -> int:
    found = 0
    for number in numbers:
        found |= 1 << number
    return found


def _union(numbers: int, sets: dict[int, int]) -> int:
    found = 0
    for number in members(numbers):
        found |= sets[number]
    return found
