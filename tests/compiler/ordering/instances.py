"""Small sets of jobs, and their optimum by looking at every order."""

from __future__ import annotations

import random
from functools import cache

from hypothesis import strategies as st

from compiler.ordering.jobs import Jobs


def drawn(draw: random.Random, most: int = 9) -> Jobs:
    """A few jobs: weights of very different sizes, equal ones, none; orders from loose to tight."""
    count = draw.randint(1, most)
    largest = draw.choice((1, 3, 100, 10**18))
    weights = [draw.choice((0, draw.randint(0, largest), largest // (1 + n))) for n in range(count)]
    costs = [draw.randint(1, draw.choice((1, 1, 5))) for _ in range(count)]
    often = draw.choice((0.1, 0.3, 0.5, 0.8))
    before = [sum(1 << i for i in range(j) if draw.random() < often) for j in range(count)]
    return Jobs.of(weights, costs, before)


@st.composite
def any_jobs(draw: st.DrawFn, most: int = 8) -> Jobs:
    count = draw(st.integers(1, most))
    weights = draw(st.lists(st.integers(0, 10**18) | st.integers(0, 3), min_size=count, max_size=count))
    costs = draw(st.lists(st.integers(1, 10**9) | st.integers(1, 3), min_size=count, max_size=count))
    return Jobs.of(weights, costs, [draw(st.integers(0, (1 << j) - 1)) for j in range(count)])


def optimum(jobs: Jobs) -> int:
    """The least cost of all rows that keep the order, from the definition."""
    every = frozenset(range(len(jobs.weights)))

    @cache
    def rest(done: frozenset[int]) -> int:
        if done == every:
            return 0
        time = sum(jobs.costs[job] for job in done)
        return min(
            jobs.weights[job] * (time + jobs.costs[job]) + rest(done | {job})
            for job in every - done
            if all(other in done for other in range(job) if jobs.before[job] >> other & 1)
        )

    return rest(frozenset())
