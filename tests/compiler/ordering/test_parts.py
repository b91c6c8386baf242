"""Parts are what Sidney's theorem says, and what is in series and side by side falls apart."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given

from compiler.ordering.bits import members, set_of
from compiler.ordering.closure import Transport
from compiler.ordering.jobs import Jobs
from compiler.ordering.parts import blocks, parts
from tests.compiler.ordering.instances import any_jobs, optimum


def initial_parts(inside: int, jobs: Jobs) -> list[int]:
    """All of them but the empty one, from the definition."""
    row = members(inside)
    found = []
    for chosen in range(1, 1 << len(row)):
        part = sum(1 << job for n, job in enumerate(row) if chosen >> n & 1)
        if all(not jobs.before[job] & inside & ~part for job in members(part)):
            found.append(part)
    return found


def ratio(part: int, jobs: Jobs) -> Fraction:
    row = members(part)
    return Fraction(sum(jobs.weights[job] for job in row), sum(jobs.costs[job] for job in row))


@given(any_jobs())
def test_the_cut_is_the_initial_part_of_greatest_surplus(jobs: Jobs) -> None:
    every = (1 << len(jobs.weights)) - 1
    mean = ratio(every, jobs)

    def surplus(part: int) -> Fraction:
        return sum((jobs.weights[job] - mean * jobs.costs[job] for job in members(part)), Fraction(0))

    best = max(surplus(part) for part in initial_parts(every, jobs))
    found = Transport(every, jobs.before, jobs.weights, jobs.costs).initial()
    assert surplus(found) == best
    assert not found or (best > 0 and found in initial_parts(every, jobs))


@given(any_jobs(7))
def test_blocks_fall_in_ratio_and_have_no_initial_part_as_good_as_they_are(jobs: Jobs) -> None:
    found = [set_of(block) for block in blocks(jobs)]
    assert sum(found) == (1 << len(jobs.weights)) - 1
    assert all(ratio(one, jobs) >= ratio(two, jobs) for one, two in pairwise(found))
    for block in found:
        assert all(ratio(part, jobs) < ratio(block, jobs) for part in initial_parts(block, jobs) if part != block)


@given(any_jobs())
def test_parts_one_after_the_other_keep_the_order_and_the_optimum(jobs: Jobs) -> None:
    found = parts(jobs)
    row = [job for part in found for job in part]
    assert jobs.keeps(row)
    time = best = 0
    for part in found:
        own = jobs.only(part)
        best += time * sum(own.weights) + optimum(own)
        time += sum(own.costs)
    assert best == optimum(jobs)


def series_parallel(draw: random.Random, depth: int) -> list[list[int]]:
    """What comes directly before each job: two halves in series or side by side, and so on down to single jobs."""
    if not depth:
        return [[]]
    one, two = series_parallel(draw, depth - 1), series_parallel(draw, depth - 1)
    inside = list(range(len(one))) if draw.random() < 0.5 else []
    return one + [inside + [len(one) + i for i in row] for row in two]


@pytest.mark.parametrize("seed", range(20))
def test_series_and_parallel_need_no_search(seed: int) -> None:
    draw = random.Random(seed)
    before = [sum(1 << i for i in row) for row in series_parallel(draw, 7)]
    jobs = Jobs.of([draw.randint(0, 50) for _ in before], [draw.randint(1, 5) for _ in before], before)
    found = parts(jobs)
    assert {len(part) for part in found} == {1}
    assert jobs.keeps([job for part in found for job in part])


def test_equal_ratios_stay_as_they_are_written() -> None:
    jobs = Jobs.of([4, 2, 6, 0, 2, 0], [2, 1, 3, 1, 1, 2], [0, 0, 0b10, 0, 0b1, 0])
    assert parts(jobs) == [(0,), (1,), (2,), (4,), (3,), (5,)]
