"""The order bench prints its table, its rivals are orders, its lists are lists, and the goals hold at 1,000 rules."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path as FilePath

import pytest

from bench import order as bench
from bench.rivals import adjacent, greedy, heaviest_first, runs
from bench.rule_lists import ListedRule, classbench, kubernetes, zipf
from compiler.ordering.jobs import Jobs
from compiler.ordering.order import order
from compiler.ordering.overlap import overlaps
from compiler.semantics.diagrams.space import Path, space
from compiler.semantics.diagrams.text_diagram import TextDiagrams
from compiler.semantics.rules import rulesets

ROOT = FilePath(__file__).parent.parent.parent


def listed(make: bench.Shape, seed: int = 1) -> tuple[list[ListedRule], Jobs]:
    draw = random.Random(seed)
    rules = list(make.make(draw, make.rules))
    return rules, Jobs.of(zipf(draw, len(rules)), [1] * len(rules), overlaps([rule.box() for rule in rules]))


def meaning(rules: Sequence[ListedRule], over: object) -> int:
    text = "\n".join(["*filter", *(f"-A FORWARD {rule}" for rule in rules), "COMMIT", ""])
    return TextDiagrams(rulesets.read([("list", text)]), over).at(Path.FORWARD)  # type: ignore[arg-type]


def test_the_table_is_printed() -> None:
    command = [sys.executable, "-m", "bench.order", "--quick", "--seeds", "1"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout
    for name in ("Kubernetes 1,000", "ClassBench 1,000"):
        for way in ("as written", "runs of one verdict", "sorted", "greedy", "adjacent exchange (Fulp)", "netpolc"):
            assert f"{name:<20} {way}" in printed
    assert "of 1 lists 1 are proved optimal; gap at most 0.00%" in printed


@pytest.mark.parametrize("shape", [shape for shape in bench.SHAPES if shape.rules == 1_000], ids=lambda s: s.name)
def test_what_is_to_reach_is_reached_and_the_rules_mean_the_same(shape: bench.Shape) -> None:
    rules, jobs = listed(shape)
    found = order(jobs)
    assert found.gap <= shape.gap
    assert found.optimal or shape.gap
    over = space(4)
    assert meaning(rules, over) == meaning([rules[job] for job in found.row], over)
    # And the check would notice if overlaps were not heeded.
    careless = sorted(range(len(rules)), key=lambda job: -jobs.weights[job])
    assert meaning(rules, over) != meaning([rules[job] for job in careless], over)


@pytest.mark.parametrize("shape", [shape for shape in bench.SHAPES if shape.rules == 1_000], ids=lambda s: s.name)
def test_rivals_are_orders_and_no_better(shape: bench.Shape) -> None:
    rules, jobs = listed(shape)
    bound = order(jobs).bound
    for rival in (adjacent, greedy, heaviest_first):
        row = rival(jobs)
        assert jobs.keeps(row)
        assert jobs.cost(row) >= bound
    row = runs(jobs, [rule.verdict for rule in rules])
    assert sorted(row) == list(range(len(rules)))
    assert [rules[job].verdict for job in row] == [rule.verdict for rule in rules]


def test_adjacent_exchange_stops_where_no_neighbours_gain() -> None:
    _, jobs = listed(bench.SHAPES[2])
    row = adjacent(jobs)
    for one, two in pairwise(row):
        gains = jobs.weights[two] * jobs.costs[one] > jobs.weights[one] * jobs.costs[two]
        assert not gains or jobs.before[two] >> one & 1


def test_lists_are_the_same_each_time_and_as_long_as_asked() -> None:
    for make in (classbench, kubernetes):
        one, two = (list(make(random.Random(3), 300)) for _ in range(2))
        assert one == two
        assert len(one) == 300
    weights = zipf(random.Random(1), 100)
    assert sorted(weights, reverse=True)[:3] == [10**12, 5 * 10**11, 10**12 // 3]
    assert Fraction(max(weights), min(weights)) == 100
