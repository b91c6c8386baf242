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

from collections.abc import Iterable, Sequence
from fractions import Fraction

from compiler.ordering.bits import Sums
from compiler.ordering.closure import Transport
from compiler.ordering.jobs import Jobs

#: For so many strings at a time sets of them are known of every job, to bound the memory.
_AT_A_TIME = 16_384


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
    return Fraction(total + _twice(strings, block, after, level), weight * cost) if weight else Fraction(0)


def _twice(strings: Sequence[tuple[int, int, int]], block: Jobs, after: Sequence[int], level: Sequence[int]) -> int:
    """What every row pays a second time."""
    levels = Sums(level)
    pairs = inside = 0
    for first in range(0, len(strings), _AT_A_TIME):
        few = strings[first : first + _AT_A_TIME]
        amounts = Sums([amount for _, _, amount in few])
        begun, open_ = _begun(few, block), _open(few, block)
        for job, end, amount in strings:
            pairs += amount * amounts.over(begun[job] & open_[end])
    for job, end, amount in strings:
        pairs -= amount * amount
        inside += amount * levels.over(block.before[job] & after[end])
    return pairs // 2 + inside


def _begun(strings: Sequence[tuple[int, int, int]], block: Jobs) -> list[int]:
    """For each job the set of strings that begin before it in every row."""
    at = _where((end for _, end, _ in strings), block)
    found: list[int] = []
    for direct in block.direct:
        begun = 0
        for other in direct:
            begun |= found[other] | at[other]
        found.append(begun)
    return found


def _open(strings: Sequence[tuple[int, int, int]], block: Jobs) -> list[int]:
    """For each job the set of strings that end after it in every row."""
    at = _where((job for job, _, _ in strings), block)
    found = [0] * len(at)
    for job in range(len(at) - 1, -1, -1):
        behind = found[job] | at[job]
        for other in block.direct[job]:
            found[other] |= behind
    return found


def _where(jobs: Iterable[int], block: Jobs) -> list[int]:
    """For each job of the block the set of those numbers at which it stands."""
    found = [0] * len(block.direct)
    for number, job in enumerate(jobs):
        found[job] |= 1 << number
    return found
