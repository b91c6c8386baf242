"""What ordering rules gains, how close to the best it comes, and what it costs, beside other ways.

    python -m bench.order [--quick] [--seeds N]

First-match lists of Kubernetes shape and of ClassBench's, with hits by Zipf's law (exponent 1) dealt to the rules at
random; every comparison costs the same, and rules that overlap keep their order. *cost* is the expected number of
comparisons as a ratio to the lower bound: no order has less than 1. Times are CPU seconds; those of *netpolc* are of
all it does: overlaps, order, proof. Behind its row stands how it did with lists of other seeds.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeVar

from bench.rivals import adjacent, greedy, heaviest_first, runs
from bench.rule_lists import ListedRule, classbench, kubernetes, zipf
from compiler.ordering.jobs import Jobs
from compiler.ordering.order import Ordering
from compiler.ordering.ordered import ordered
from compiler.ordering.overlap import overlaps


class Shape(NamedTuple):
    """Lists of a kind; the gap and the seconds to reach."""

    name: str
    make: Callable[[random.Random, int], Iterator[ListedRule]]
    rules: int
    gap: float
    seconds: float


SHAPES = (
    Shape("Kubernetes", kubernetes, 1_000, 0.0, 3.0),
    Shape("Kubernetes", kubernetes, 10_000, 0.0, 3.0),
    Shape("ClassBench", classbench, 1_000, 0.02, 30.0),
    Shape("ClassBench", classbench, 10_000, 0.05, 30.0),
    Shape("Kubernetes", kubernetes, 100_000, 0.0, 60.0),
    Shape("ClassBench", classbench, 100_000, 0.05, 60.0),
)
#: Lists of more rules are ordered once, beside no rivals: these ask for all pairs of rules at once.
COMPARED = 10_000
SEEDS = 5

Result = TypeVar("Result")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.order", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="lists of 1,000 rules only")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"lists of each kind (default {SEEDS})")
    options = parser.parse_args(arguments)
    gc.disable()  # as the command line does
    print(f"# Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(f"{'list':<20} {'order':<32} {'cost':>8} {'seconds':>8}")
    for shape in SHAPES:
        if shape.rules > COMPARED and not options.quick:
            _large(shape)
        elif not options.quick or shape.rules <= 1_000:
            _compare(shape, options.seeds)


def _compare(shape: Shape, seeds: int) -> None:
    rules, weights = _drawn(shape, 1)
    found, spent = _timed(lambda: _ordered(rules, weights))
    jobs = Jobs.of(weights, [1] * len(rules), overlaps([rule.box() for rule in rules]))
    rivals: dict[str, Callable[[], Sequence[int]]] = {
        "as written": lambda: range(len(rules)),
        "runs of one verdict, sorted": lambda: runs(jobs, [rule.verdict for rule in rules]),
        "sorted, what it needs in front": lambda: heaviest_first(jobs),
        "greedy": lambda: greedy(jobs),
        "adjacent exchange (Fulp)": lambda: adjacent(jobs),
    }
    for name, work in rivals.items():
        row, seconds = _timed(work)
        _line(shape, name, float(jobs.cost(row) / found.bound), seconds)
    _line(shape, "netpolc", float(found.cost / found.bound), spent)
    results = [(found, spent)]
    for seed in range(2, seeds + 1):
        more = _drawn(shape, seed)
        results.append(_timed(lambda: _ordered(*more)))  # noqa: B023 - called before the next turn
    gap, worst = max(one.gap for one, _ in results), max(seconds for _, seconds in results)
    proven = sum(one.optimal for one, _ in results)
    print(f"  of {seeds} lists {proven} are proved optimal; gap at most {float(gap):.2%}", end="")
    print(f" (to reach: {shape.gap:.0%}), {worst:.2f} s at most (to reach: {shape.seconds:.0f} s)", flush=True)


def _large(shape: Shape) -> None:
    rules, weights = _drawn(shape, 1)
    found, spent = _timed(lambda: _ordered(rules, weights))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, cost in (("as written", found.written), ("netpolc", found.cost)):
        _line(shape, name, float(cost / found.bound), spent if name == "netpolc" else 0.0)
    print(f"  gap {float(found.gap):.2%}, {spent:.1f} s (to reach: {shape.seconds:.0f} s), {memory:,.0f} MB at most")


def _drawn(shape: Shape, seed: int) -> tuple[list[ListedRule], list[int]]:
    draw = random.Random(seed)
    rules = list(shape.make(draw, shape.rules))
    return rules, zipf(draw, len(rules))


def _ordered(rules: Sequence[ListedRule], weights: Sequence[int]) -> Ordering:
    """All that there is to do from rules to a proved order."""
    exact = [Fraction(weight) for weight in weights]
    found = ordered([rule.box() for rule in rules], exact, [1] * len(rules), Fraction(0))
    assert found is not None, "no list has as many rules as are left alone"
    return found


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def _line(shape: Shape, name: str, ratio: float, seconds: float) -> None:
    print(f"{shape.name + f' {shape.rules:,}':<20} {name:<32} {ratio:>8.3f} {seconds:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
