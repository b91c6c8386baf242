"""Jobs: what is to be put in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from compiler.ordering.overlap import closed, reduced


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs by their number, which is their place in the author's order.

    `weights`: at least 0; `costs`: above 0; `direct`: for each job the fewest that must come before it from which all
    follow that must, each of them with a smaller number; `before`: the set of all of these. `unit`: what one unit of
    weight times cost is worth.
    """

    weights: tuple[int, ...]
    costs: tuple[int, ...]
    direct: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]
    unit: Fraction = Fraction(1)

    @classmethod
    def of(cls, weights: Sequence[int | Fraction], costs: Sequence[int | Fraction], before: Iterable[int]) -> Jobs:
        """Jobs with weights and costs as exact as they are given, and for each the set of some that must come before
        it. ValueError when a weight is negative, a cost not above 0, the lengths differ, or something is to come before
        a job that stands before it."""
        whole, direct = reduced(_checked(before))
        if not len(weights) == len(costs) == len(whole):
            raise ValueError(f"{len(weights)} weights, {len(costs)} costs and {len(whole)} sets of what comes before")
        for number, (weight, cost) in enumerate(zip(weights, costs, strict=True)):
            if weight < 0:
                raise ValueError(f"job {number}: weight {weight} is negative")
            if cost <= 0:
                raise ValueError(f"job {number}: cost {cost} is not above 0")
        (scaled, one), (priced, two) = _whole(weights), _whole(costs)
        return cls(scaled, priced, tuple(direct), tuple(whole), Fraction(1, one * two))

    def after(self) -> list[int]:
        """For each job the set of all that it must come before."""
        found = [0] * len(self.before)
        for job in range(len(self.before) - 1, -1, -1):
            behind = found[job] | 1 << job
            for other in self.direct[job]:
                found[other] |= behind
        return found

    def cost(self, row: Iterable[int]) -> int:
        """The sum over the jobs of a row of weight times the time when it is done."""
        time = total = 0
        for job in row:
            time += self.costs[job]
            total += self.weights[job] * time
        return total

    def only(self, row: Sequence[int]) -> Jobs:
        """The jobs of a row alone, numbered by their place in it. The row keeps what must come before what, and has
        with two jobs all that must stand between them."""
        place = {job: number for number, job in enumerate(row)}
        direct = tuple(tuple(place[other] for other in self.direct[job] if other in place) for job in row)
        weights, costs = tuple(self.weights[job] for job in row), tuple(self.costs[job] for job in row)
        return Jobs(weights, costs, direct, tuple(closed(direct)), self.unit)

    def keeps(self, row: Sequence[int]) -> bool:
        """Whether a row has every job, once, and none in front of one that must come before it."""
        seen = 0
        for job in row:
            if seen >> job & 1 or self.before[job] & ~seen:
                return False
            seen |= 1 << job
        return len(row) == len(self.weights)


def _checked(rows: Iterable[int]) -> Iterator[int]:
    for number, mask in enumerate(rows):
        if mask < 0 or mask >> number:
            raise ValueError(f"job {number}: what comes before it does not stand before it")
        yield mask


def _whole(values: Sequence[int | Fraction]) -> tuple[tuple[int, ...], int]:
    """Values as integers, and what they were multiplied by."""
    factor = lcm(*(value.denominator for value in values))
    return tuple(value.numerator * (factor // value.denominator) for value in values), factor
