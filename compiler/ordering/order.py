"""Jobs -> the order that costs least, or close to it, with a certificate of how close.

The cost of an order is the sum over all jobs of weight times the time when the job is done: with weights as matches and
costs as prices of comparisons, what all packets together pay for comparing. The problem is strongly NP-hard in general
(1|prec|sum w_j C_j), but most of what firewalls bring is not hard: `parts` cuts it into what an optimal order goes
through one after the other, `exact` solves parts of a few dozen jobs. For what is left there is `search`, and `bound`
tells how far from the best its result is at most.

Same jobs, same order: work is counted in steps, not in seconds. An order that is its own input comes out unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heapify, heappop, heapreplace
from itertools import islice
from math import ceil

from compiler.ordering.bound import bound
from compiler.ordering.exact import Pairs, cheapest
from compiler.ordering.jobs import Jobs
from compiler.ordering.parts import blocks, inner
from compiler.ordering.search import Work, built, improved

#: Parts of more jobs are not searched for their optimum.
EXACT_JOBS = 64
#: Steps of the search for an optimum: initial parts times jobs.
_EXACT_STEPS = 800_000
#: Jobs that the search for a good row of a part may look at, in building it and in improving it: so many at most, and
#: of those that all parts may look at together its share of all jobs.
_SEARCH_STEPS = 12_000_000
_ALL_STEPS = 10_000_000
#: A part that is not solved exactly keeps the author's order unless another one saves more than a thousandth.
_NEAR_TIE = 1_000


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs that stand together. Costs and `bound` (no order of these jobs costs less) are of the part alone, the time
    when it begins apart, in the units of `Jobs`."""

    row: tuple[int, ...]
    cost: int
    bound: int

    @property
    def proven(self) -> bool:
        """Whether no order of these jobs is better."""
        return self.cost == self.bound


@dataclass(frozen=True, slots=True)
class Ordering:
    """`row`: the jobs in their order, the author's own when the best that was found does not gain enough. `cost`: of
    that; `written`: of the author's; `bound`: no order costs less, whatever its parts. `parts`: of the order that was
    found, whether it was taken or not."""

    row: tuple[int, ...]
    cost: Fraction
    written: Fraction
    bound: Fraction
    parts: tuple[Part, ...]

    @property
    def gap(self) -> Fraction:
        """By which part of the bound the cost is above it, at most."""
        return self.cost / self.bound - 1 if self.bound else Fraction(0)

    @property
    def optimal(self) -> bool:
        """Whether it is proved that no order is better."""
        return self.cost == self.bound


def order(jobs: Jobs, threshold: Fraction = Fraction(0)) -> Ordering:
    """The best order that was found; the author's unless that saves more than the `threshold`, a part of its cost."""
    return order_apart([(range(len(jobs.weights)), jobs)], threshold)


def order_apart(groups: Sequence[tuple[Sequence[int], Jobs]], threshold: Fraction = Fraction(0)) -> Ordering:
    """The same for jobs in groups none of which has to do with another: each has the numbers that its jobs have among
    all, ascending, and the jobs by themselves, in one unit. What groups cost in memory is a matter of the largest."""
    every = sum(len(numbers) for numbers, _ in groups)
    found = tuple(_merged([_blocks(numbers, jobs, _ALL_STEPS // max(every, 1)) for numbers, jobs in groups]))
    weights = {job: weight for numbers, jobs in groups for job, weight in zip(numbers, jobs.weights, strict=True)}
    costs = {job: cost for numbers, jobs in groups for job, cost in zip(numbers, jobs.costs, strict=True)}
    (unit,) = {jobs.unit for _, jobs in groups} or {Fraction(1)}
    time = rest = least = 0
    for part in found:
        weight = sum(weights[job] for job in part.row)
        rest += time * weight
        least += time * weight + part.bound
        time += sum(costs[job] for job in part.row)
    cost, written, time = rest + sum(part.cost for part in found), 0, 0
    for job in range(len(weights)):
        time += costs[job]
        written += weights[job] * time
    row = tuple(job for part in found for job in part.row)
    if not written - cost > threshold * written:
        row, cost = tuple(range(len(weights))), written
    return Ordering(row, cost * unit, written * unit, least * unit, found)


#: The ratio of a block, negative, rounded and exact: comparing mostly ends at the first; its first job; its parts.
_Block = tuple[float, Fraction, int, tuple[Part, ...]]


def _blocks(numbers: Sequence[int], jobs: Jobs, steps: int) -> Iterator[_Block]:
    """The blocks of a group in their order, with the numbers that jobs have among all; `steps` of search for a job."""
    for block in blocks(jobs):
        solved = [_part(row, jobs, min(_SEARCH_STEPS, len(row) * steps)) for row in inner(block, jobs)]
        parts = tuple(Part(tuple(numbers[job] for job in one.row), one.cost, one.bound) for one in solved)
        weight, cost = sum(jobs.weights[job] for job in block), sum(jobs.costs[job] for job in block)
        yield -weight / cost, Fraction(-weight, cost), numbers[block[0]], parts


def _merged(groups: Sequence[Iterator[_Block]]) -> Iterator[Part]:
    """Blocks of several groups by ratio; of equal ones the one that begins first. No two begin with the same job."""
    heads = [(block, group) for group in groups for block in islice(group, 1)]
    queue = [(*block[:3], n) for n, (block, _) in enumerate(heads)]
    heapify(queue)
    while queue:
        *_, n = queue[0]
        block, group = heads[n]
        yield from block[3]
        following = next(group, None)
        if following is None:
            heappop(queue)
        else:
            heads[n] = following, group
            heapreplace(queue, (*following[:3], n))


def _part(row: tuple[int, ...], jobs: Jobs, steps: int) -> Part:
    """A part in its order: what was found is taken for the author's order and ordered again until nothing changes."""
    if len(row) < 3:  # one job, or two that must stand so
        cost = jobs.cost(row)
        return Part(row, cost, cost)
    own, least = jobs.only(row), -1
    while True:
        best, cost, least = _once(own, steps, least)
        row = tuple(row[job] for job in best)
        if cost == least or best == tuple(range(len(row))):
            return Part(row, cost, least)
        own = own.only(best)


def _once(own: Jobs, steps: int, least: int) -> tuple[tuple[int, ...], int, int]:
    """A row, its cost and what none costs less than: at least `least`, which is below 0 as long as nobody has looked.
    Of equal costs the author's order is taken."""
    first, small = least < 0, len(own.weights) <= EXACT_JOBS
    best: tuple[int, ...] = tuple(range(len(own.weights)))
    cost = own.cost(best)
    if first or small:
        pairs = Pairs(own)
        least = max(least, pairs.least)
        if cost > least and small:
            found = cheapest(own, pairs, _EXACT_STEPS // len(best))
            least = max(least, found.bound)
            if found.row is not None and found.bound < cost:
                best, cost = found.row, found.bound
    if cost > least:
        after = own.after()
        if first:
            least = max(least, ceil(bound(own, after)))
        if cost > least:
            best, cost = _searched(own, after, steps)
    return best, cost, least


def _searched(own: Jobs, after: list[int], steps: int) -> tuple[tuple[int, ...], int]:
    """The best row that improving finds, from the author's and from one that is built."""
    written = range(len(own.weights))
    rows = [improved(row, own, after, Work(steps)) for row in (written, built(own, Work(steps)))]
    best, cost = min(rows, key=own.cost), own.cost(written)
    if (cost - own.cost(best)) * _NEAR_TIE <= cost:
        return tuple(written), cost
    return tuple(best), own.cost(best)
