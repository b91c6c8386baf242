"""A small cluster for every test that needs one: three nodes, a shop with its database, strangers around it."""

from __future__ import annotations

from tests.cluster.bed import Bed
from tests.cluster.probes import Probe
from tests.kernel.compiled import Object, namespace, node, pod, pods, policy, port

NODES = tuple(node(f"node{n}", [f"192.0.2.{n}", f"2001:db8::{n}"]) for n in range(1, 4))


def placed(name: str, number: int, on: int, labels: str = "") -> Object:
    """A pod of both families."""
    return pod(name, [f"10.1.{on}.{number}", f"fd00:1:{on}::{number:x}"], labels, f"node{on}")


PODS = (
    *(placed(f"shop/web{n}", 10 + n, n, "app=web") for n in range(1, 4)),
    *(placed(f"shop/db{n}", 20 + n, n, "app=db") for n in range(1, 3)),
    placed("shop/batch", 30, 3),
    placed("other/web", 40, 1, "app=web"),
    placed("other/spy", 41, 2),
)


def populated(bed: Bed) -> Bed:
    """The bed with all of it, without policies."""
    bed.put(*NODES, namespace("shop", team="shop"), namespace("other"), *PODS)
    return bed


def shop() -> tuple[Object, ...]:
    """Web asks the database, anyone in the shop's namespace asks web, batch asks nobody but the database, which does
    not answer it."""
    return (
        policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")], "ports": [port(5432), port(5432, "UDP")]}]),
        policy("shop", "web", "app=web", ingress=[{"from": [pods()], "ports": [port(80)]}]),
        policy("shop", "batch", "app=batch", egress=[{"to": [pods("app=db")]}], policyTypes=["Egress"]),
    )


def probes(bed: Bed) -> list[Probe]:
    """What holds under the policies of `shop`: on one node and across, both families, TCP, UDP and SCTP."""
    expected = [
        ("shop/web1", "shop/db1", 5432, "TCP", True),
        ("shop/web3", "shop/db1", 5432, "TCP", True),
        ("shop/web2", "shop/db1", 5432, "UDP", True),
        ("shop/web1", "shop/db2", 5433, "TCP", False),
        ("shop/web1", "shop/db2", 5432, "SCTP", False),
        ("shop/web1", "shop/db2", 5433, "UDP", False),
        ("other/web", "shop/db1", 5432, "TCP", False),
        ("other/spy", "shop/db1", 5432, "TCP", False),
        ("shop/batch", "shop/db2", 5432, "TCP", False),
        ("shop/batch", "other/spy", 80, "TCP", False),
        ("shop/batch", "node:node3", 80, "TCP", False),
        ("shop/db1", "shop/web1", 80, "TCP", True),
        ("shop/db1", "shop/web1", 81, "TCP", False),
        ("other/web", "shop/web1", 80, "TCP", False),
        ("shop/web1", "other/web", 81, "TCP", True),
        ("shop/db2", "other/spy", 81, "SCTP", True),
        ("node:node1", "shop/db1", 1, "TCP", True),
        ("node:node2", "shop/db1", 1, "TCP", False),
        ("ip:198.51.100.254", "shop/web1", 80, "TCP", False),
        ("ip:198.51.100.254", "other/spy", 80, "TCP", True),
    ]
    return [
        Probe(bed.machine(source), server, address, number, allowed, protocol)
        for source, end, number, protocol, allowed in expected
        for server in (bed.machine(end),)
        for address in server.ips
    ]
