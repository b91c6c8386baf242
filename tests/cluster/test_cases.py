"""Other projects' conformance suites through a running cluster: pods with stacks of their own on three nodes, an
enforcer in each, policies that come and go while it runs. Real TCP and UDP; of SCTP the first packet.

One bed for each back end takes its cases in turn, each as changes of what the one before left. By default a share of
the cases, some of every suite, each with one back end; NETPOLC_CLUSTER_CASES=all for every one with all of them
(`make cluster-cases`). Objects come from a folder, from the stand-in for an API server or from a real one;
NETPOLC_CLUSTER_STORE=folder, stand-in or kube-apiserver for all from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import groupby, product
from random import Random

import pytest

from tests.cluster.agents import Daemons
from tests.cluster.bed import Bed
from tests.cluster.conftest import store_of
from tests.cluster.probes import Probe
from tests.cluster.store import Key, Object, key_of
from tests.conformance.cases import FOLDER, Case, State, cases
from tests.conformance.judged import Judged
from tests.enforcer.kube_apiserver import binaries
from tests.kernel.rig import FLAVOURS

pytestmark = pytest.mark.kernel

#: The suites' own addresses of their nodes, and others for what they leave open.
NODES = {n: (f"172.18.0.{n + 1}", f"2001:db8:18::{n + 1}") for n in range(1, 4)}
#: Of each suite, when not all are asked for: so many cases at least, evenly over it.
SHARE = 3
#: Connections tried for one state; of more a sample, the same each time.
MOST = 400


def chosen() -> list[tuple[str, Case]]:
    """Back ends with their cases, one back end after the other."""
    every = list(cases())
    if os.environ.get("NETPOLC_CLUSTER_CASES") == "all":
        return list(product(FLAVOURS, every))
    some: list[Case] = []
    for _, suite in groupby(every, key=lambda case: case.name.partition("/")[0]):
        own = list(suite)
        some += own[:: max(1, len(own) // SHARE)]
    return [(flavour, case) for n, flavour in enumerate(FLAVOURS) for case in some[n :: len(FLAVOURS)]]


every_case = pytest.mark.parametrize(
    ("bed", "case"),
    [pytest.param(flavour, case, id=f"{flavour}-{case.name}") for flavour, case in chosen()]
    or [pytest.param(None, None, id="none", marks=pytest.mark.skip(reason=f"no netpolc-cases/1 file in {FOLDER}"))],
    indirect=["bed"],
)


def _store(flavour: str) -> str:
    """One back end from a folder, one from the stand-in, one from a real API server where there is one."""
    if asked := os.environ.get("NETPOLC_CLUSTER_STORE"):
        return asked
    real = "stand-in" if isinstance(binaries(), str) else "kube-apiserver"
    return {"nftables": "folder", "iptables-legacy": "stand-in", "iptables-nft": real}[flavour]


def objects(state: State) -> dict[Key, Object]:
    """Of a state; pods of a suite without nodes run on all nodes in turn."""
    items = json.loads(state.repaired)["items"]
    if not any(item["kind"] == "Node" for item in items):
        for number, item in enumerate(item for item in items if item["kind"] == "Pod"):
            item["spec"]["nodeName"] = f"node{number % len(NODES) + 1}"
    return {key_of(item): item for item in items}


@pytest.fixture(scope="module")
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("cases")
    with (
        store_of(_store(str(request.param)), folder) as store,
        Bed(store, Daemons(store, str(request.param), folder)) as found,
    ):
        for number, ips in NODES.items():
            found.agents.start(found.network.add_node(f"node{number}", ips))
        yield found


def expectations(bed: Bed, judged: Judged) -> list[Probe]:
    rows = [(row, packet) for row, packet in judged.rows if row.port]
    if len(rows) > MOST:
        rows = Random(len(rows)).sample(rows, MOST)
    return [
        Probe(
            bed.machine(row.source),
            bed.machine(row.destination),
            packet.dst,
            row.port,
            row.allowed,
            row.protocol,
            packet.src,
        )
        for row, packet in rows
    ]


@every_case
def test_case(case: Case, bed: Bed) -> None:
    tried = 0
    for state in case.states():
        bed.become(objects(state))
        probes = expectations(bed, Judged(state))
        bed.settle(probes)
        assert not bed.untrue(probes), "held once, and not any more"
        tried += len(probes)
    assert tried
