"""An optimal row of a few dozen jobs, proved by a search for the cheapest way through all initial parts.

Of two jobs that may stand in either order, one order is cheaper: the job with the greater ratio of weight to cost
first. If each pair could have its cheaper order that would be the best row (`Pairs.least`). Putting a job next costs
*regret*: what is lost by every pair with a job that is still to come and would better stand before it. A row costs
`least` and its regrets, so a cheapest way from nothing done to all done is an optimal row: dynamic programming over the
initial parts, by regret (E. W. Dijkstra), which looks at no part of more regret than the best row. A job without regret
that may come next does come next in some optimal row, so such steps need no choice; nor does a job that another one
dominates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush

from compiler.ordering.bits import Sums, members, set_of
from compiler.ordering.jobs import Jobs


class Pairs:
    """Pairs of jobs that may stand in either order. `least`: the cost if all of them could have the cheaper one."""

    def __init__(self, jobs: Jobs) -> None:
        """One sort and one pass: the jobs that a job stands better behind are the ones in front of it in the sort."""
        weights, costs, before = jobs.weights, jobs.costs, jobs.before
        count = len(weights)
        self._jobs = jobs
        order = sorted(range(count), key=lambda job: Fraction(-weights[job], costs[job]))
        cost = Sums(costs)
        #: For each job those that would better stand before it and need not.
        self.better = [0] * count
        after = jobs.after()
        ahead = 0
        total = 0
        for job in order:
            free_ahead = ahead & ~after[job]
            self.better[job] = free_ahead & ~before[job]
            # What comes before it in any case or better does, and itself.
            total += weights[job] * (cost.over(free_ahead | before[job]) + costs[job])
            ahead |= 1 << job
        self.least = total
        self._after = after

    def dominated(self, job: int, choice: Sequence[tuple[int, int]], left: int) -> bool:
        """Whether another job of the choice may as well come first: it has at least the ratio, and before all that the
        job must come before it must come, too."""
        own = self._after[job] & left
        better = self.better[job]
        return any(better >> other & 1 and not own & ~self._after[other] for other, _ in choice)

    def regrets(self) -> list[list[list[int]]]:
        """For each job, for each eight jobs, for each set of these: what it costs to put the job before them."""
        weights, costs = self._jobs.weights, self._jobs.costs
        found = []
        for job, better in enumerate(self.better):
            tables = []
            for start in range(0, len(weights), 8):
                sums = [0]
                for other in range(start, min(start + 8, len(weights))):
                    lost = costs[job] * weights[other] - weights[job] * costs[other] if better >> other & 1 else 0
                    sums += [lost + one for one in sums]
                tables.append(sums)
            found.append(tables)
        return found


@dataclass(frozen=True, slots=True)
class Found:
    """`row`: an optimal one, None when the search ended before it had one. `bound`: no row costs less."""

    row: tuple[int, ...] | None
    bound: int
    states: int


def cheapest(jobs: Jobs, pairs: Pairs, most: int) -> Found:
    """Looks at `most` initial parts at most."""
    every = (1 << len(jobs.weights)) - 1
    if not every:
        return Found((), pairs.least, 0)
    came: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    regrets = {0: 0}
    queue = [(0, 0)]
    states = 0
    settled: set[int] = set()
    regrets_of = pairs.regrets()
    while queue:
        regret, done = heappop(queue)
        if done in settled:
            continue
        settled.add(done)
        if done == every:
            return Found(_row(came, every), pairs.least + regret, states)
        if states == most:
            return Found(None, pairs.least + regret, states)
        states += 1
        for step, more in _steps(jobs.before, pairs, regrets_of, every & ~done):
            new = done | set_of(step)
            total = regret + more
            if new not in regrets or total < regrets[new]:
                regrets[new] = total
                came[new] = (done, step)
                heappush(queue, (total, new))
    raise AssertionError("no row keeps the order of the jobs")


def _steps(
    before: Sequence[int], pairs: Pairs, regrets: Sequence[Sequence[Sequence[int]]], left: int
) -> list[tuple[tuple[int, ...], int]]:
    """What may come next, with its regret; all that comes without regret as one step."""
    free: list[int] = []
    choice: list[tuple[int, int]] = []
    while left:
        choice = []
        eights = left.to_bytes(len(regrets[0]), "little")
        for job in members(left):
            if before[job] & left:
                continue
            regret = sum(sums[others] for sums, others in zip(regrets[job], eights, strict=True))
            if not regret:
                free.append(job)
                left &= ~(1 << job)
                break
            choice.append((job, regret))
        else:
            break
    if free:
        return [(tuple(free), 0)]
    return [((job,), regret) for job, regret in choice if not pairs.dominated(job, choice, left)]


def _row(came: dict[int, tuple[int, tuple[int, ...]]], done: int) -> tuple[int, ...]:
    steps = []
    while done:
        done, step = came[done]
        steps.append(step)
    return tuple(job for step in reversed(steps) for job in step)
