"""Jobs: what is to be put in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from compiler.ordering.bits import members, renumbered, set_of
from compiler.ordering.overlap import closed


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs by their number, which is their place in the author's order.

    `weights`: at least 0; `costs`: above 0; `before`: for each job the set of all that must come before it, directly or
    over others, each of them with a smaller number. `unit`: what one unit of weight times cost is worth.
    """

    weights: tuple[int, ...]
    costs: tuple[int, ...]
    before: tuple[int, ...]
    unit: Fraction = Fraction(1)

    @classmethod
    def of(cls, weights: Sequence[int | Fraction], costs: Sequence[int | Fraction], before: Sequence[int]) -> Jobs:
        """Jobs with weights and costs as exact as they are given. ValueError when a weight is negative, a cost not
        above 0, the lengths differ, or something is to come before a job that stands before it."""
        if not len(weights) == len(costs) == len(before):
            raise ValueError(f"{len(weights)} weights, {len(costs)} costs and {len(before)} sets of what comes before")
        for number, (weight, cost, mask) in enumerate(zip(weights, costs, before, strict=True)):
            if weight < 0:
                raise ValueError(f"job {number}: weight {weight} is negative")
            if cost <= 0:
                raise ValueError(f"job {number}: cost {cost} is not above 0")
            if mask < 0 or mask >> number:
                raise ValueError(f"job {number}: what comes before it does not stand before it")
        (scaled, one), (priced, two) = _whole(weights), _whole(costs)
        return cls(scaled, priced, tuple(closed(before)), Fraction(1, one * two))

    def after(self) -> list[int]:
        """For each job the set of all that it must come before."""
        found = [0] * len(self.before)
        for job in range(len(self.before) - 1, -1, -1):
            behind, row = found[job] | 1 << job, self.before[job]
            while row:
                last = row.bit_length() - 1
                found[last] |= behind
                row &= ~(self.before[last] | 1 << last)
        return found

    def cost(self, row: Iterable[int]) -> int:
        """The sum over the jobs of a row of weight times the time when it is done."""
        time = total = 0
        for job in row:
            time += self.costs[job]
            total += self.weights[job] * time
        return total

    def only(self, row: Sequence[int]) -> Jobs:
        """The jobs of a row (ascending) alone, numbered by their place in it."""
        return Jobs(
            tuple(self.weights[job] for job in row),
            tuple(self.costs[job] for job in row),
            tuple(renumbered(self.before, row)),
            self.unit,
        )

    def reordered(self, row: Sequence[int]) -> Jobs:
        """The same jobs, written in the order of a row that keeps what must come before what."""
        place = [0] * len(row)
        for number, job in enumerate(row):
            place[job] = number
        before = (set_of(map(place.__getitem__, members(self.before[job]))) for job in row)
        return Jobs(
            tuple(self.weights[job] for job in row), tuple(self.costs[job] for job in row), tuple(before), self.unit
        )

    def keeps(self, row: Sequence[int]) -> bool:
        """Whether a row has every job, once, and none in front of one that must come before it."""
        seen = 0
        for job in row:
            if seen >> job & 1 or self.before[job] & ~seen:
                return False
            seen |= 1 << job
        return len(row) == len(self.weights)


def _whole(values: Sequence[int | Fraction]) -> tuple[tuple[int, ...], int]:
    """Values as integers, and what they were multiplied by."""
    factor = lcm(*(value.denominator for value in values))
    return tuple(value.numerator * (factor // value.denominator) for value in values), factor
