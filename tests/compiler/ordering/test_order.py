"""Orders against every order there is: the cost is the optimum, and no bound lies above it."""

from __future__ import annotations

import random
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.ordering import order as ordering
from compiler.ordering.bits import members
from compiler.ordering.bound import bound
from compiler.ordering.exact import Pairs, cheapest
from compiler.ordering.jobs import Jobs
from compiler.ordering.order import Ordering, order, order_apart
from compiler.ordering.parts import parts
from compiler.ordering.search import Work, built, improved
from tests.compiler.ordering.instances import any_jobs, drawn, optimum

INSTANCES = 2_000


def searched(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Ordering:
    """The order without the search for optima, as for parts that are too large for it."""
    monkeypatch.setattr(ordering, "EXACT_JOBS", 0)
    return order(jobs)


def large(seed: int, count: int = 200) -> Jobs:
    """More jobs than are solved exactly, in one part mostly: what comes late matches most."""
    draw = random.Random(seed)
    before = [sum(1 << draw.randrange(j) for _ in range(2)) if j else 0 for j in range(count)]
    before = [mask & (1 << j) - 1 for j, mask in enumerate(before)]
    return Jobs.of([draw.randint(1, 1 + j * j) for j in range(count)], [draw.randint(1, 4) for _ in before], before)


def test_small_instances_are_solved_to_the_optimum() -> None:
    draw = random.Random(1)
    for _ in range(INSTANCES):
        jobs = drawn(draw)
        found = order(jobs)
        assert jobs.keeps(found.row)
        assert found.cost == jobs.cost(found.row) == optimum(jobs) == found.bound
        assert found.optimal
        assert found.gap == 0


@given(any_jobs())
def test_any_instance_is_solved_to_the_optimum(jobs: Jobs) -> None:
    found = order(jobs)
    assert jobs.keeps(found.row)
    assert found.cost == jobs.cost(found.row) == optimum(jobs) == found.bound


def test_bounds_hold_and_searches_do_not_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(2)
    missed = 0
    for _ in range(INSTANCES):
        jobs = drawn(draw)
        found, best = searched(jobs, monkeypatch), optimum(jobs)
        assert jobs.keeps(found.row)
        assert found.bound <= best <= found.cost == jobs.cost(found.row)
        assert all(part.bound <= optimum(jobs.only(sorted(part.row))) <= part.cost for part in found.parts)
        missed += found.cost > best
    assert missed < INSTANCES / 100  # the search is good, too


@given(any_jobs())
def test_each_bound_by_itself(jobs: Jobs) -> None:
    for part in parts(jobs):
        own = jobs.only(part)
        best = optimum(own)
        pairs = Pairs(own)
        assert pairs.least <= best
        assert ceil(bound(own, own.after())) <= best
        for most in (0, 1, 3, 1000):
            found = cheapest(own, pairs, most)
            assert found.bound <= best
            assert found.row is None or own.cost(found.row) == best == found.bound
        assert cheapest(own, pairs, 1000).row is not None


@given(any_jobs())
def test_the_result_of_its_own_order_is_itself(jobs: Jobs) -> None:
    first = order(jobs)
    again = order(jobs.only(first.row))
    assert again.row == tuple(range(len(first.row)))
    assert again.cost == first.cost


@given(st.lists(any_jobs(4), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_groups_apart_are_ordered_as_all_at_once(groups: list[Jobs], draw: random.Random) -> None:
    """Jobs of several groups dealt into one row, at once and each group by itself."""
    owners = [n for n, jobs in enumerate(groups) for _ in jobs.weights]
    draw.shuffle(owners)
    numbers = [[job for job, owner in enumerate(owners) if owner == n] for n in range(len(groups))]
    weights, costs, before = ([0] * len(owners) for _ in range(3))
    for own, jobs in zip(numbers, groups, strict=True):
        for inside, job in enumerate(own):
            weights[job], costs[job] = jobs.weights[inside], jobs.costs[inside]
            before[job] = sum(1 << own[other] for other in members(jobs.before[inside]))
    apart = order_apart(list(zip(numbers, groups, strict=True)))
    assert apart == order(Jobs.of(weights, costs, before))


@given(any_jobs())
def test_jobs_after_are_those_that_come_after(jobs: Jobs) -> None:
    after = jobs.after()
    count = range(len(after))
    assert all((after[i] >> j & 1) == (jobs.before[j] >> i & 1) for i in count for j in count)


def test_rows_that_break_the_order_or_are_none_are_told() -> None:
    jobs = Jobs.of([1, 1, 1], [1, 1, 1], [0, 0b1, 0])
    assert jobs.keeps((2, 0, 1))
    assert not any(jobs.keeps(row) for row in ((1, 0, 2), (0, 1), (0, 1, 1), (0, 1, 2, 2)))


@pytest.mark.parametrize("seed", range(4))
def test_large_parts(seed: int) -> None:
    """They are not proved; bounds, order, determinism and idempotence hold all the same."""
    jobs = large(seed)
    found = order(jobs)
    assert max(len(part.row) for part in found.parts) > ordering.EXACT_JOBS
    assert jobs.keeps(found.row)
    assert found.bound < found.cost == jobs.cost(found.row) < found.written
    assert found.gap < Fraction(1, 10)
    assert order(jobs) == found
    assert order(jobs.only(found.row)).row == tuple(range(len(found.row)))


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_whole_when_work_runs_out(seed: int) -> None:
    jobs = large(seed)
    after = jobs.after()
    costs = []
    for steps in (0, 10, 1_000, 100_000):
        row = built(jobs, Work(steps))
        assert jobs.keeps(row)
        better = improved(row, jobs, after, Work(steps))
        assert jobs.keeps(better)
        costs.append(jobs.cost(better))
        assert costs[-1] <= jobs.cost(row)
    assert costs[-1] < costs[0]


def test_what_gains_nothing_stays_as_it_is() -> None:
    alike = Jobs.of([5, 5, 5, 5], [1, 1, 1, 1], [0, 0, 0b1, 0])
    assert order(alike).row == (0, 1, 2, 3)
    silent = Jobs.of([0] * 5, [3, 1, 2, 9, 1], [0] * 5)
    found = order(silent)
    assert found.row == (0, 1, 2, 3, 4)
    assert found.cost == found.gap == 0
    assert found.optimal
    assert order(Jobs.of([], [], [])).row == order_apart([]).row == ()


def test_a_new_order_has_to_gain_more_than_the_threshold() -> None:
    jobs = Jobs.of([100, 101], [1, 1], [0, 0])
    assert order(jobs).row == (1, 0)
    assert order(jobs, Fraction(1, 302)).row == (0, 1)  # it costs 301 instead of 302: just as much
    assert order(jobs, Fraction(1, 303)).row == (1, 0)
    kept = order(jobs, Fraction(1, 10))
    assert kept.row == (0, 1)
    assert kept.cost == kept.written == 302
    assert kept.bound == 301
    assert not kept.optimal


def test_large_weights_are_exact() -> None:
    big = 10**18
    found = order(Jobs.of([big, big + 1, 1, big], [1, 1, 1, 1], [0, 0, 0, 0b100]))
    # Job 3 with job 2 in front of it has half the ratio.
    assert found.row == (1, 0, 2, 3)
    assert found.cost == (big + 1) + 2 * big + 3 + 4 * big == found.bound


def test_fractions_count_as_they_are() -> None:
    found = order(Jobs.of([Fraction(1, 3), Fraction(1, 2)], [Fraction(1, 7), Fraction(3, 14)], [0, 0]))
    assert found.row == (0, 1)  # equal ratios
    assert found.cost == Fraction(1, 3) * Fraction(1, 7) + Fraction(1, 2) * Fraction(5, 14)


@pytest.mark.parametrize(
    ("weights", "costs", "before", "message"),
    [
        ([-1], [1], [0], "job 0: weight -1 is negative"),
        ([1], [0], [0], "job 0: cost 0 is not above 0"),
        ([1, 1], [1, 1], [0b10, 0], "job 0: what comes before it does not stand before it"),
        ([1], [1, 2], [0], "1 weights, 2 costs and 1 sets of what comes before"),
    ],
)
def test_what_are_no_jobs_is_refused(weights: list[int], costs: list[int], before: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Jobs.of(weights, costs, before)
