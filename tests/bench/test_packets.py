"""The packet bench runs, its rivals are firewalls, and it notices when packets do not meet their fate."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.layouts import LAYOUTS, Flavour, Layout, ct_only, netpolc
from bench.node_cluster import Case, NodeCluster, node_cluster
from bench.rounds import Contender, Figure, Kind, Traffic, race
from bench.wire import Node

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.close()


def traffic(cluster: NodeCluster, case: Case, passes: bool = True) -> Traffic:
    few, many = cluster.flows(case, 500, 10), cluster.flows(case, 500, 500)
    made = Traffic.of(few, many)
    return Traffic(made.there, made.back, made.cold, passes)


@pytest.mark.kernel
def test_every_table_is_printed() -> None:
    command = [sys.executable, "-m", "bench.packets", "--quick", "--pods", "6", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split("\n## ")[1:]
    for flavour in Flavour:
        for name in flavour.layouts:
            assert f"\n{flavour.value:<16} {name}" in first
        for case in Case:
            assert f"\n{flavour.value:<16} {case.value}" in second


@pytest.mark.kernel
@pytest.mark.parametrize("flavour", Flavour, ids=lambda flavour: flavour.value)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_layouts_let_the_same_packets_through(layout: Layout, flavour: Flavour, node: Node) -> None:
    cluster = node_cluster(6)
    flavour.load(node, layout.files(cluster, flavour.backend))
    allowed = Contender("allowed", node, traffic(cluster, Case.EXACT), 500)
    strangers = tuple(flow._replace(source=1 << 24) for flow in cluster.flows(Case.EXACT, 500, 10))
    denied = Contender("denied", node, Traffic.of(strangers, strangers), 500)
    allowed.visit()
    if layout.files is ct_only:
        denied.visit()
    else:
        with pytest.raises(AssertionError, match="250 of 250 packets got lost"):
            denied.visit()
    for kind in Kind:
        assert allowed.nanoseconds[kind][0] > 0


@pytest.mark.kernel
@pytest.mark.parametrize("case", Case)
def test_cases_are_what_they_are_called(case: Case, node: Node) -> None:
    cluster = node_cluster(10, [case for case in Case if case is not Case.DENIED])
    Flavour.NFT.load(node, netpolc(cluster, Flavour.NFT.backend))
    one = Contender(case.value, node, traffic(cluster, case, passes=case is not Case.DENIED))
    one.calibrate(1e6, 500)
    race([one], 2)
    assert [len(one.nanoseconds[kind]) for kind in Kind] == ([2, 0, 2] if case is Case.DENIED else [2, 2, 2])


@pytest.mark.kernel
def test_packets_that_should_die_and_do_not_are_noticed(node: Node) -> None:
    cluster = node_cluster(10, [case for case in Case if case is not Case.DENIED])
    free = Contender("free", node, traffic(cluster, Case.DENIED, passes=False), 500)
    with pytest.raises(AssertionError, match="free: 500 of 500 packets passed, expected 0"):
        free.visit()


def test_ratios_are_those_of_the_same_round() -> None:
    figure = Figure.of([110.0, 220.0, 330.0], [100.0, 200.0, 300.0])
    assert (figure.best, figure.median) == (110.0, 220.0)
    assert figure.low == pytest.approx(1.1)
    assert figure.ratio == pytest.approx(1.1)
    assert figure.high == pytest.approx(1.1)


def test_flows_are_distinct_and_between_so_many_pairs() -> None:
    cluster = node_cluster(20)
    flows = cluster.flows(Case.EXACT, 1000, 7)
    assert len(set(flows)) == 1000
    assert len({(flow.source, flow.destination) for flow in flows}) <= 7
    assert flows == node_cluster(20).flows(Case.EXACT, 1000, 7)
