"""Real connections between real pods: stacks in their own namespaces behind veth pairs, on one node and across two.

Every node loads its own compile. What is expected comes from docs/SEMANTICS.md; how packets travel differs by wiring
and must not matter.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import pytest

from tests.kernel.cluster import Cluster, bridge_netfilter
from tests.kernel.compiled import Object, block, files, node, pod, pods, policy, port
from tests.kernel.machines import ALLOWED_WITHIN, DENIED_AFTER, asks, attempts, broken, exchange
from tests.kernel.rig import load

pytestmark = pytest.mark.kernel

WIRINGS = [("routed", "host-gw"), ("routed", "vxlan"), ("bridged", "host-gw"), ("bridged", "vxlan")]
FAMILIES = (0, 1)  # which of a machine's addresses


@pytest.fixture(params=WIRINGS, ids="-".join)
def shop(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """web and db on node 1, api and batch on node 2."""
    wiring, between = request.param
    if wiring == "bridged" and not bridge_netfilter():
        pytest.skip("this kernel has no br_netfilter: bridged pods are not seen by any policy")
    with Cluster(2, wiring, between) as cluster:
        for name, place in (("web", 1), ("db", 1), ("api", 2), ("batch", 2)):
            cluster.add_pod(f"shop/{name}", place)
        yield cluster


@pytest.fixture
def single() -> Iterator[Cluster]:
    """web and db on one node, routed."""
    with Cluster() as cluster:
        for name in ("web", "db"):
            cluster.add_pod(f"shop/{name}")
        yield cluster


def apply(cluster: Cluster, flavour: str, policies: Sequence[Object]) -> None:
    """Compiles for every node and loads there."""
    objects = [
        *(node(one.name, one.ips) for one in cluster.nodes),
        *(pod(name, one.ips, node=cluster.node_of(name)) for name, one in cluster.pods.items()),
        *policies,
    ]
    for one in cluster.nodes:
        load(one.namespace, files(objects, flavour, one.name), flavour)


WEB_TO_DB = [
    policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web"), pods("app=api")], "ports": [port(5432)]}]),
    policy("shop", "batch", "app=batch", policyTypes=["Ingress", "Egress"], egress=[{"to": [pods("app=db")]}]),
]


def test_who_reaches_whom(shop: Cluster, flavour: str) -> None:
    apply(shop, flavour, WEB_TO_DB)
    web, db, api, batch = (shop.pods[f"shop/{name}"] for name in ("web", "db", "api", "batch"))
    cases = [
        (web, db, 5432, True),  # on one node
        (api, db, 5432, True),  # across two
        (web, db, 5433, False),
        (api, db, 80, False),
        (batch, db, 5432, False),  # its egress allows it, db's ingress does not
        (db, web, 80, True),  # nobody isolates these
        (db, api, 80, True),
        (web, batch, 80, False),
        (batch, web, 80, False),
        (batch, api, 80, False),
        (shop.outside, web, 80, True),
        (shop.outside, db, 5432, False),
        (db, shop.outside, 80, True),
        (batch, shop.outside, 80, False),
        (shop.node(1), db, 80, True),  # a kubelet's probe
        (shop.node(2), batch, 80, True),
        (shop.node(2), db, 80, False),  # another node is just an address
        (web, shop.node(1), 80, True),
        (batch, shop.node(2), 80, False),
        (batch, shop.node(1), 80, False),
        (batch, batch, 80, True),
    ]
    assert not broken(*(attempts(*case) for case in cases))


def test_udp_with_answers(shop: Cluster, flavour: str) -> None:
    dns = policy("shop", "dns", "app=api", ingress=[{"from": [pods("app=web")], "ports": [port(53, "UDP")]}])
    closed = policy("shop", "closed", "app=web", ingress=[])
    apply(shop, flavour, [dns, closed])
    web, db, api = (shop.pods[f"shop/{name}"] for name in ("web", "db", "api"))
    server = api.listen(53, socket.SOCK_DGRAM)
    for family in FAMILIES:
        assert asks(web, api.ips[family], 53, server, ALLOWED_WITHIN)
        assert not asks(db, api.ips[family], 53, server, DENIED_AFTER)


def test_open_connections_survive_a_reload(shop: Cluster, flavour: str) -> None:
    """Also one that the new policies would not let in: cutting what is revoked is the daemon's work, not a load's."""
    apply(shop, flavour, WEB_TO_DB)
    api, web, db = (shop.pods[f"shop/{name}"] for name in ("api", "web", "db"))
    server = db.listen(5432)
    open_ones = []
    for client in (api, web):
        for family in FAMILIES:
            connection = client.connect(db.ips[family], 5432)
            accepted, _ = server.accept()
            db.sockets.append(accepted)
            open_ones.append((connection, accepted))
    for policies in (WEB_TO_DB, [policy("shop", "deny", policyTypes=["Ingress", "Egress"])], WEB_TO_DB):
        apply(shop, flavour, policies)
        assert all(exchange(*ends) for ends in open_ones)
    apply(shop, flavour, [policy("shop", "deny", policyTypes=["Ingress", "Egress"])])
    server.close()
    assert not broken(attempts(web, db, 5432, False))


def test_host_network_pods(shop: Cluster, flavour: str) -> None:
    """A server in the node's own namespace: no selector finds it, its node's address does."""
    web, api, db = (shop.pods[f"shop/{name}"] for name in ("web", "api", "db"))
    to_node1 = {"to": [block(f"{ip}/{32 if '.' in ip else 128}") for ip in shop.node(1).ips], "ports": [port(9100)]}
    out = policy("shop", "out", "app=web", policyTypes=["Egress"], egress=[to_node1])
    out_api = policy("shop", "out-api", "app=api", policyTypes=["Egress"], egress=[to_node1])
    in_db = policy("shop", "in-db", "app=db", ingress=[{"from": [pods("", "")]}])
    objects = [
        pod(f"shop/agent{n}", one.ips, "app=agent", f"node{n}", host_network=True)
        for n, one in enumerate(shop.nodes, 1)
    ]
    apply(shop, flavour, [out, out_api, in_db, policy("shop", "agents", "app=agent", ingress=[]), *objects])
    node1, node2 = shop.nodes
    assert not broken(
        attempts(web, node1, 9100, True),  # its own node: INPUT
        attempts(web, node1, 9101, False),
        attempts(api, node1, 9100, True),  # another node: FORWARD
        attempts(api, node2, 9100, False),
        attempts(node2, db, 80, False),  # a node's address is no pod's
        attempts(db, node2, 9101, True),  # a policy that selects host-network pods has no subject
    )


def test_several_reloads_leave_one_way_through(single: Cluster, flavour: str) -> None:
    """The pod's way to itself, and to its node, after the same files were loaded three times."""
    deny = [policy("shop", "deny", policyTypes=["Ingress", "Egress"])]
    web, db = single.pods["shop/web"], single.pods["shop/db"]
    for _ in range(3):
        apply(single, flavour, deny)
    assert not broken(
        attempts(web, web, 80, True),
        attempts(web, db, 80, False),
        attempts(web, single.node(), 80, False),
        attempts(single.node(), web, 80, True),
    )


@pytest.mark.skipif(not bridge_netfilter(), reason="this kernel has no br_netfilter: no policy sees bridged pods")
def test_bridged_pods_need_br_netfilter(flavour: str) -> None:
    """A limit of netfilter, shown so that nobody learns it elsewhere: without it a bridge passes by every rule."""
    with Cluster(1, "bridged") as cluster:
        web, db = cluster.add_pod("shop/web"), cluster.add_pod("shop/db")
        apply(cluster, flavour, [policy("shop", "deny", policyTypes=["Ingress", "Egress"])])
        assert not broken(attempts(web, db, 80, False))
        cluster.node().namespace.sysctl({f"net.bridge.bridge-nf-call-{t}": 0 for t in ("iptables", "ip6tables")})
        assert not broken(attempts(web, db, 81, True))
        assert not broken(attempts(cluster.outside, db, 82, False)), "what is routed is seen all the same"
