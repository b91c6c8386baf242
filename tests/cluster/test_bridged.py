"""Pods on a bridge whose packets netfilter does not see: the enforcer says so, and shows them to it when it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.agents import Daemons
from tests.cluster.bed import Bed
from tests.cluster.probes import Probe
from tests.cluster.shop import populated, probes, shop
from tests.cluster.store import Folder

pytestmark = pytest.mark.kernel


def unseen(folder: Path, *options: str) -> Bed:
    """Everything as on a node whose br_netfilter nobody asked for."""
    store = Folder(folder / "cluster")
    agents = Daemons(store, "nftables", folder, options)
    bed = Bed(store, agents, "bridged", bridge_netfilter=False)
    sysctls = {f"net.bridge.bridge-nf-call-{tool}": 0 for tool in ("iptables", "ip6tables")}
    for n in range(1, 4):
        node = bed.network.add_node(f"node{n}", (f"192.0.2.{n}", f"2001:db8::{n}"))
        node.namespace.sysctl(sysctls)
        agents.start(node)
    populated(bed)
    bed.put(*shop())
    return bed


def on_one_node(bed: Bed, expected: bool) -> list[Probe]:
    """What the policies deny between pods of node1."""
    spy, db = bed.machine("other/web"), bed.machine("shop/db1")
    return [Probe(spy, db, address, 5432, expected) for address in db.ips]


def test_it_is_told(tmp_path: Path) -> None:
    with unseen(tmp_path) as bed:
        far = [p for p in probes(bed) if p.client.name == "other/spy"]  # of node2: routed, and seen
        bed.settle(far)
        assert not bed.untrue(on_one_node(bed, True)), "past every policy"
        assert isinstance(bed.agents, Daemons)
        assert "error: cni0: pods on one bridge reach each other past every policy" in bed.agents["node1"].log


def test_it_is_put_right(tmp_path: Path) -> None:
    with unseen(tmp_path, "--enable-bridge-nf") as bed:
        bed.settle([*probes(bed), *on_one_node(bed, False)])
        assert isinstance(bed.agents, Daemons)
        assert "bridged-unseen" not in bed.agents["node1"].log
