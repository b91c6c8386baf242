"""The bed itself: quick to make, every way between its ends works, and what is denied is seen to be."""

from __future__ import annotations

import os
import time
from itertools import permutations

import pytest

from tests.cluster.bed import Bed
from tests.cluster.conftest import Maker
from tests.cluster.network import Network
from tests.cluster.probes import Probe
from tests.cluster.shop import NODES, populated, probes, shop
from tests.kernel.compiled import block, namespace, node, pod, pods, policy, port

pytestmark = pytest.mark.kernel

WIRINGS = [(wiring, between) for wiring in ("routed", "bridged") for between in ("host-gw", "vxlan", "tun")]
each_wiring = pytest.mark.parametrize(("wiring", "between"), WIRINGS, ids=map("-".join, WIRINGS))


def everyone(bed: Bed) -> list[Probe]:
    """Every two ends, both families, two protocols."""
    ends = [*(place.machine for place in bed.network.pods.values()), *bed.network.nodes.values(), bed.network.outside]
    return [
        Probe(client, server, address, 8000, True, protocol)
        for client, server in permutations(ends, 2)
        for address in server.ips
        for protocol in ("TCP", "UDP")
    ]


@each_wiring
def test_everyone_reaches_everyone_without_policies(make_bed: Maker, wiring: str, between: str) -> None:
    bed = populated(make_bed("nftables", wiring, between))
    assert not bed.untrue(everyone(bed))


@each_wiring
def test_policies_hold_on_every_wiring(make_bed: Maker, wiring: str, between: str, flavour: str) -> None:
    bed = populated(make_bed(flavour, wiring, between))
    bed.put(*shop())
    assert not bed.untrue(probes(bed))


def test_quick_to_make_and_leaves_nothing() -> None:
    """Three nodes with five pods each: the best of three, for a machine that has other things to do."""
    taken = []
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        begun = time.monotonic()
        with Network() as network:
            for n in range(1, 4):
                network.add_node(f"node{n}", (f"192.0.2.{n}", f"2001:db8::{n}"))
                for k in range(1, 6):
                    network.add_pod(f"a/p{n}{k}", f"node{n}", (f"10.1.{n}.{k}", f"fd00:1:{n}::{k}"))
            taken.append(time.monotonic() - begun)
    assert min(taken) < 2
    assert set(os.listdir("/proc/self/fd")) == before


def test_pods_come_move_and_go(make_bed: Maker, flavour: str) -> None:
    """An address follows its pod from node to node, and its heir after that."""
    bed = make_bed(flavour)
    bed.put(
        *NODES, pod("a/old", ["10.1.1.5", "fd00:1::5"], "app=db"), pod("a/web", ["10.1.2.6", "fd00:1::6"], node="node2")
    )
    bed.put(policy("a", "db", "app=db", ingress=[{"from": [pods("app=web")], "ports": [port(80)]}]))

    def reaches(server: str, number: int, expected: bool) -> list[Probe]:
        web, held = bed.machine("a/web"), bed.machine(server)
        return [Probe(web, held, address, number, expected) for address in held.ips]

    assert not bed.untrue([*reaches("a/old", 80, True), *reaches("a/old", 81, False)])
    bed.put(pod("a/old", ["10.1.1.5", "fd00:1::5"], "app=db", "node3"))
    assert not bed.untrue([*reaches("a/old", 80, True), *reaches("a/old", 81, False)])
    bed.delete(("Pod", "a", "old"))
    bed.put(pod("a/heir", ["10.1.1.5", "fd00:1::5"], "app=none", "node2"))
    assert not bed.untrue([*reaches("a/heir", 80, True), *reaches("a/heir", 81, True)])
    bed.put(namespace("a"))
    bed.delete(("Namespace", "", "a"))
    assert not bed.network.pods
    assert {kind for kind, _, _ in bed.objects} == {"Node"}


def test_a_wrong_expectation_is_told(make_bed: Maker) -> None:
    """So the tests above can fail, in either way."""
    bed = populated(make_bed("nftables"))
    bed.put(*shop())
    wrong = [Probe(p.client, p.server, p.address, p.port, not p.expected, p.protocol) for p in probes(bed)]
    assert len(bed.untrue(wrong)) == len(wrong)


def test_an_address_outside_is_whoever_is_asked_for(make_bed: Maker) -> None:
    bed = make_bed("nftables")
    bed.put(node("node1", ["192.0.2.1", "2001:db8::1"]), pod("a/p", ["10.1.1.5", "fd00:1::5"]))
    bed.put(policy("a", "out", egress=[{"to": [block("203.0.113.0/28")]}], policyTypes=["Egress"]))
    p, inside, beyond = bed.machine("a/p"), "203.0.113.15", "203.0.113.16"
    found = bed.untrue(
        [
            Probe(p, bed.machine(f"ip:{inside}"), inside, 80, True),
            Probe(p, bed.machine(f"ip:{beyond}"), beyond, 80, False),
            Probe(bed.machine(f"ip:{beyond}"), p, p.ips[0], 80, True, source=beyond),
            Probe(bed.machine(f"ip:{beyond}"), p, p.ips[0], 81, True, "SCTP", source=beyond),
        ]
    )
    assert not found
