"""A good row of many jobs: built from the heaviest jobs with what must come before them, then improved by moves.

Work is counted in jobs looked at, never in time, so that the same jobs get the same row on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.ordering.bits import members, set_of
from compiler.ordering.jobs import Jobs
from compiler.ordering.parts import blocks

#: So many of the heaviest jobs of a block are tried as the end of its first part.
_TRIED = 24
#: So many times all jobs are tried in other places.
_PASSES = 12


class Work:
    """How many more jobs may be looked at."""

    def __init__(self, left: int) -> None:
        self.left = left


def built(jobs: Jobs, work: Work) -> list[int]:
    """A row made from the front: of each block first the job of greatest ratio together with all that must come before
    it (sub-graph merging: A. Tapdiya and E. W. Fulp, "Towards optimal firewall rule ordering utilizing directed
    acyclical graphs", 2009); what is left falls into blocks of its own."""
    row: list[int] = []
    waiting = [tuple(range(len(jobs.weights)))]
    while waiting:
        inside = waiting.pop()
        found = blocks(jobs.only(inside)) if work.left > 0 and len(inside) > 1 else [tuple(range(len(inside)))]
        # About so often each job is looked at when halves are halved, in looks of `improved`.
        work.left -= 8 * len(inside) * len(found).bit_length()
        pieces = []
        for numbers in found:
            block = tuple(inside[number] for number in numbers)
            first = _first(block, jobs, work) if len(block) > 1 and work.left > 0 else 0
            if first:
                pieces += [tuple(members(first)), tuple(job for job in block if not first >> job & 1)]
            else:
                pieces.append(block)
        if len(pieces) == 1:
            row += pieces[0]
        else:
            waiting += reversed(pieces)
    return row


def _first(block: Sequence[int], jobs: Jobs, work: Work) -> int:
    """The initial part that is to come first; 0 when there is none but all."""
    weights, costs = jobs.weights, jobs.costs
    weight, cost = sum(weights[job] for job in block), sum(costs[job] for job in block)
    surplus = {job: weights[job] * cost - costs[job] * weight for job in block}
    inside = set_of(block)
    best, least, price = 0, 0, 1
    for job in sorted(block, key=lambda job: -surplus[job])[:_TRIED]:
        part = jobs.before[job] & inside | 1 << job
        if part == inside or surplus[job] <= 0:
            continue
        row = members(part)
        work.left -= len(row)
        value, spent = sum(weights[member] for member in row), sum(costs[member] for member in row)
        if not best or value * price > least * spent:
            best, least, price = part, value, spent
    work.left -= len(block)
    return best


def improved(row: Sequence[int], jobs: Jobs, after: Sequence[int], work: Work) -> list[int]:
    """The row after moves that make it cheaper: a job to the front with those that must come before it, a job to the
    back with those that must come after it. No single such move makes the result cheaper, unless the work ran out."""
    found = list(row)
    for _ in range(_PASSES):
        gain = _pull(found, jobs.before, jobs.weights, jobs.costs, work)
        found.reverse()
        # From behind, what comes after is what came before, and costs are weights.
        gain += _pull(found, after, jobs.costs, jobs.weights, work)
        found.reverse()
        if not gain or work.left <= 0:
            break
    return found


def _pull(row: list[int], before: Sequence[int], weights: Sequence[int], costs: Sequence[int], work: Work) -> int:
    """Moves each job in turn, the heaviest first, as far to the front as is best; the cost saved."""
    at = {job: place for place, job in enumerate(row)}
    saved = 0
    for job in sorted(row, key=lambda job: (-weights[job], at[job])):
        end = at[job]
        if not end or work.left <= 0:
            continue
        gain, start = _place(row, end, before[job], weights, costs)
        work.left -= end
        if not gain:
            continue
        saved += gain
        needed = before[job] | 1 << job
        segment = row[start : end + 1]
        segment = [one for one in segment if needed >> one & 1] + [one for one in segment if not needed >> one & 1]
        row[start : end + 1] = segment
        for place, one in enumerate(segment, start):
            at[one] = place
    return saved


def _place(row: Sequence[int], end: int, needed: int, weights: Sequence[int], costs: Sequence[int]) -> tuple[int, int]:
    """The most that can be saved by moving the job at `end` to the front, and to where. What it needs goes with it."""
    weight, cost = weights[row[end]], costs[row[end]]
    saved = best = 0
    start = end
    wanted = bin(needed)[:1:-1].ljust(len(row), "0")
    for place in range(end - 1, -1, -1):
        other = row[place]
        if wanted[other] == "1":
            weight += weights[other]
            cost += costs[other]
        else:
            saved += costs[other] * weight - weights[other] * cost
            if saved > best:
                best, start = saved, place
    return best, start
