"""A cluster whose nodes have an enforcer each: objects change while real connections are tried and go on."""

from __future__ import annotations

import signal

import pytest

from tests.cluster.agents import Daemons
from tests.cluster.bed import Bed
from tests.cluster.conftest import STORES, Maker
from tests.cluster.probes import Probe
from tests.cluster.shop import NODES, placed, populated, probes, shop
from tests.cluster.test_bed import each_wiring
from tests.cluster.test_conntrack import Connection, connect, judge
from tests.enforcer.process import until
from tests.kernel.compiled import namespace, pods, policy, port

pytestmark = pytest.mark.kernel


def daemons(bed: Bed) -> Daemons:
    assert isinstance(bed.agents, Daemons)
    return bed.agents


@each_wiring
def test_policies_come_into_force(make_live_bed: Maker, wiring: str, between: str) -> None:
    bed = populated(make_live_bed("nftables", wiring, between))
    bed.put(*shop())
    took = bed.settle(probes(bed))
    print(f"{wiring}, {between}: in force {took:.2f} s after the last object, processes started before it")


@pytest.mark.parametrize("kind", STORES)
def test_every_kind_of_change(make_live_bed: Maker, flavour: str, kind: str) -> None:
    """Policies come, change and go; pods come, move, are relabelled, leave their address to another; namespaces too."""
    bed = populated(make_live_bed(flavour, kind=kind))
    bed.put(*shop())
    bed.settle(probes(bed))

    def now(client: str, server: str, number: int, expected: bool) -> None:
        held = bed.machine(server)
        bed.settle(Probe(bed.machine(client), held, address, number, expected) for address in held.ips)

    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=batch")], "ports": [port(5432)]}]))
    now("shop/web1", "shop/db1", 5432, False)
    now("shop/batch", "shop/db1", 5432, True)
    bed.put(placed("shop/web1", 11, 1, "app=batch"))
    now("shop/web1", "shop/db1", 5432, True)
    bed.put(placed("shop/web1", 11, 2, "app=batch"))
    now("shop/web1", "shop/db1", 5432, True)
    now("shop/web1", "shop/db1", 5433, False)
    bed.delete(("Pod", "shop", "web1"))
    bed.put(placed("other/heir", 11, 2, "app=batch"))
    now("other/heir", "shop/db1", 5432, False)
    peer = pods("", "team=shop")
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [peer], "ports": [port(5432)]}]))
    now("shop/web2", "shop/db1", 5432, True)
    now("other/heir", "shop/db1", 5432, False)
    bed.put(namespace("other", team="shop"))
    now("other/heir", "shop/db1", 5432, True)
    bed.put(namespace("other"))
    now("other/heir", "shop/db1", 5432, False)
    bed.delete(("NetworkPolicy", "shop", "db"))
    now("other/heir", "shop/db1", 5432, True)
    now("other/heir", "shop/db1", 1, True)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL], ids=lambda by: by.name)
def test_rules_outlive_the_enforcer(make_live_bed: Maker, flavour: str, by: signal.Signals) -> None:
    """What is in force stays while nobody is there, and what changed meanwhile comes with the next one."""
    bed = populated(make_live_bed(flavour))
    bed.put(*shop())
    bed.settle(probes(bed))
    for node in NODES:
        daemons(bed)[node["metadata"]["name"]].end(by)
    assert not bed.untrue(probes(bed))
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=batch")]}]))
    assert not bed.untrue(probes(bed)), "nobody is there to see it"
    for node in NODES:
        daemons(bed)[node["metadata"]["name"]].start()
    db = bed.machine("shop/db1")
    bed.settle(Probe(bed.machine("shop/web1"), db, address, 5432, False) for address in db.ips)
    bed.settle(Probe(bed.machine("shop/batch"), db, address, 5432, True) for address in db.ips)


def test_revoked_connections_end(make_live_bed: Maker, flavour: str) -> None:
    """Those that a change revokes, and no others; also when nobody was there as it came."""
    bed = populated(make_live_bed(flavour))
    bed.put(*shop())
    bed.settle(probes(bed))
    db, web, batch = (bed.machine(name) for name in ("shop/db1", "shop/web2", "shop/batch"))
    here = bed.machine("shop/web1")

    def opened() -> tuple[list[Connection], list[Connection]]:
        for server in (here, db):
            bed.servers.forget(server)
        kept = [connect(web, here, address, 80) for address in here.ips]
        return kept, [connect(web, db, address, 5432) for address in db.ips]

    def revoked() -> None:
        bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=batch")]}]))

    kept, gone = opened()
    revoked()
    bed.settle(Probe(web, db, address, 5432, False) for address in db.ips)
    until(lambda: all(one.silent() for one in gone), "the rules are in force, and so are they for what was open")
    judge(gone, kept)
    bed.put(*shop())
    bed.settle(probes(bed))
    kept, gone = opened()
    daemons(bed)["node1"].end(signal.SIGKILL)
    revoked()
    assert all(one.alive() for one in (*kept, *gone)), "nobody is there"
    daemons(bed)["node1"].start()
    bed.settle(Probe(web, db, address, 5432, False) for address in db.ips)
    until(lambda: all(one.silent() for one in gone), "what was allowed before is not known, what is denied now is cut")
    judge(gone, kept)
    bed.settle(Probe(batch, db, address, 5432, True) for address in db.ips)


def test_a_pod_that_nobody_knows_yet(make_live_bed: Maker, flavour: str) -> None:
    """Its network is there before its object: others' policies hold against it meanwhile."""
    bed = populated(make_live_bed(flavour))
    bed.put(*shop())
    bed.settle(probes(bed))
    new = placed("shop/web9", 99, 1, "app=web")
    machine = bed.network.add_pod("shop/web9", "node1", ["10.1.1.99", "fd00:1:1::63"])
    db = bed.machine("shop/db2")
    assert not bed.untrue(Probe(machine, db, address, 5432, False) for address in db.ips)
    bed.put(new)
    bed.settle(Probe(machine, db, address, 5432, True) for address in db.ips)
