"""Other ways to put rules in order, to compare with.

All but `runs` keep the order of rules that overlap. Each returns a row of the jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from heapq import heapify, heappop, heappush

from compiler.ordering.bits import members
from compiler.ordering.jobs import Jobs


def adjacent(jobs: Jobs) -> list[int]:
    """Neighbours change places while that gains and they do not overlap, until none do (E. W. Fulp, "Optimization of
    network firewall policies using directed acyclical graphs", 2005). It stops where a job that matches often stands
    behind one that it needs and that does not, wherever the two would best stand."""
    weights, costs, before = jobs.weights, jobs.costs, jobs.before
    row = list(range(len(weights)))
    moved = True
    while moved:
        moved = False
        for end in range(1, len(row)):
            job, place = row[end], end
            weight, cost, needed = weights[job], costs[job], before[job]
            while place:
                other = row[place - 1]
                if weight * costs[other] <= weights[other] * cost or needed >> other & 1:
                    break
                row[place] = other
                place -= 1
            row[place] = job
            moved |= place < end
    return row


def greedy(jobs: Jobs) -> list[int]:
    """Of the jobs that may come next always the one of greatest ratio."""
    left = [len(others) for others in jobs.direct]
    following: list[list[int]] = [[] for _ in left]
    for job, others in enumerate(jobs.direct):
        for other in others:
            following[other].append(job)
    ready = [(_ratio(job, jobs), job) for job, count in enumerate(left) if not count]
    heapify(ready)
    row = []
    while ready:
        _, job = heappop(ready)
        row.append(job)
        for other in following[job]:
            left[other] -= 1
            if not left[other]:
                heappush(ready, (_ratio(other, jobs), other))
    return row


def heaviest_first(jobs: Jobs) -> list[int]:
    """Plain sorting: the job of greatest ratio first, each behind what it needs."""
    row: list[int] = []
    left = (1 << len(jobs.weights)) - 1
    for job in sorted(range(len(jobs.weights)), key=lambda job: _ratio(job, jobs)):
        if left >> job & 1:
            needed = (jobs.before[job] | 1 << job) & left
            row += members(needed)
            left &= ~needed
    return row


def runs(jobs: Jobs, verdicts: Sequence[str]) -> list[int]:
    """Runs of rules with one verdict, each sorted, as iptables-optimizer does. Rules of a run may overlap, and then the
    packets that they share are counted by another of them: what this one is said to cost is a little off."""
    row: list[int] = []
    run: list[int] = []
    for job, verdict in enumerate(verdicts):
        if run and verdicts[run[-1]] != verdict:
            row += sorted(run, key=lambda job: _ratio(job, jobs))
            run = []
        run.append(job)
    return row + sorted(run, key=lambda job: _ratio(job, jobs))


def _ratio(job: int, jobs: Jobs) -> Fraction:
    """The least for the greatest weight of a cost."""
    return Fraction(-jobs.weights[job], jobs.costs[job])
