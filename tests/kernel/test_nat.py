"""Services and masquerading as kube-proxy does them: policies see the pod behind a service, and the pod that sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.cluster import Cluster, bridge_netfilter
from tests.kernel.compiled import block, pods, policy, port
from tests.kernel.machines import Attempt, Machine, attempts, broken
from tests.kernel.test_pods import apply

pytestmark = pytest.mark.kernel

#: The address of the service, which leads to db:8080 from service port 80.
SERVICE = ("10.96.0.10", "fd00:96::10")
#: kube-proxy's decisions, shortened: translate the destination, also for the node itself; hide the source of what
#: leaves the cluster, and of a pod that reaches itself, whose answers would not come back otherwise.
NAT_NFT = """
table inet proxy {{
	chain services {{
		type nat hook prerouting priority dstnat ; policy accept ;
		ip daddr {service[0]} tcp dport 80 dnat ip to {pod[0]}:8080
		ip6 daddr {service[1]} tcp dport 80 dnat ip6 to [{pod[1]}]:8080
	}}
	chain own {{
		type nat hook output priority -100 ; policy accept ;
		ip daddr {service[0]} tcp dport 80 dnat ip to {pod[0]}:8080
		ip6 daddr {service[1]} tcp dport 80 dnat ip6 to [{pod[1]}]:8080
	}}
	chain hide {{
		type nat hook postrouting priority srcnat ; policy accept ;
		ip saddr {pod[0]} ip daddr {pod[0]} masquerade
		ip6 saddr {pod[1]} ip6 daddr {pod[1]} masquerade
		ip saddr 10.1.0.0/16 ip daddr 192.0.2.99 masquerade
		ip6 saddr fd00:1::/32 ip6 daddr 2001:db8::99 masquerade
	}}
}}
"""
NAT_IPTABLES = """
*nat
-A PREROUTING -d {service} -p tcp -m tcp --dport 80 -j DNAT --to-destination {target}:8080
-A OUTPUT -d {service} -p tcp -m tcp --dport 80 -j DNAT --to-destination {target}:8080
-A POSTROUTING -s {pod} -d {pod} -j MASQUERADE
-A POSTROUTING -s {pods} -d {outside} -j MASQUERADE
COMMIT
"""


@pytest.fixture(params=["routed", "bridged"])
def shop(request: pytest.FixtureRequest, flavour: str) -> Iterator[Cluster]:
    """web and db on node 1, api on node 2, and the service of db on both nodes, done by the same tool as the rules."""
    if request.param == "bridged" and not bridge_netfilter():
        pytest.skip("this kernel has no br_netfilter: bridged pods are not seen by any policy")
    with Cluster(2, request.param) as cluster:
        for name, place in (("web", 1), ("db", 1), ("api", 2)):
            cluster.add_pod(f"shop/{name}", place)
        for one in cluster.nodes:
            proxy(one, cluster.pods["shop/db"], cluster.outside, flavour)
        yield cluster


def proxy(node: Machine, behind: Machine, outside: Machine, flavour: str) -> None:
    if flavour == "nftables":
        node.namespace.run("nft", "-f", "-", stdin=NAT_NFT.format(service=SERVICE, pod=behind.ips))
        return
    variant = flavour.removeprefix("iptables-")
    for family, tool, network in ((0, "iptables", "10.1.0.0/16"), (1, "ip6tables", "fd00:1::/32")):
        address = behind.ips[family]
        text = NAT_IPTABLES.format(
            service=SERVICE[family],
            target=f"[{address}]" if family else address,
            pod=address,
            pods=network,
            outside=outside.ips[family],
        )
        node.namespace.run(f"{tool}-{variant}-restore", "--noflush", "-w", "60", stdin=text)


def through(client: Machine, server: Machine, expected: bool) -> list[Attempt]:
    """Connections to the service."""
    return [Attempt(client, server, address, 80, expected, 8080) for address in SERVICE]


def test_ingress_behind_a_service(shop: Cluster, flavour: str) -> None:
    """The destination is the pod and its port, not the service's; the source is still the client's."""
    web, db, api = (shop.pods[f"shop/{name}"] for name in ("web", "db", "api"))
    apply(shop, flavour, [policy("shop", "db", "app=db", ingress=[{"from": [pods("app=api")], "ports": [port(8080)]}])])
    assert not broken(
        through(api, db, True),
        through(web, db, False),
        through(shop.node(1), db, True),  # the node reaches its own pod through the service as well
    )
    apply(shop, flavour, [policy("shop", "db", "app=db", ingress=[{"ports": [port(80)]}])])
    assert not broken(through(api, db, False)), "80 is the service's port only"


def test_egress_to_a_service(shop: Cluster, flavour: str) -> None:
    """An ipBlock with the service's address allows nothing: the packet is judged with the pod's."""
    web, db, api = (shop.pods[f"shop/{name}"] for name in ("web", "db", "api"))
    service = [block(f"{ip}/{32 if '.' in ip else 128}") for ip in SERVICE]
    for client in (web, api):
        name = client.name.removeprefix("shop/")
        to_db = {"to": [pods("app=db")], "ports": [port(8080)]}
        apply(shop, flavour, [policy("shop", name, f"app={name}", policyTypes=["Egress"], egress=[to_db])])
        assert not broken(through(client, db, True))
        apply(shop, flavour, [policy("shop", name, f"app={name}", policyTypes=["Egress"], egress=[{"to": service}])])
        assert not broken(through(client, db, False))


def test_a_pod_behind_its_own_service(shop: Cluster, flavour: str) -> None:
    """Hairpin: out to the service and back in, isolated in both directions."""
    db, web = shop.pods["shop/db"], shop.pods["shop/web"]
    apply(shop, flavour, [policy("shop", "deny", policyTypes=["Ingress", "Egress"])])
    assert not broken(through(db, db, True))
    assert not broken(through(web, db, False))


def test_masquerade_comes_after_the_verdict(shop: Cluster, flavour: str) -> None:
    """Outside sees the node's address; the policy of the pod that sends is asked with the pod's."""
    web, db = shop.pods["shop/web"], shop.pods["shop/db"]
    outside = [block(f"{ip}/{32 if '.' in ip else 128}") for ip in shop.outside.ips]
    rules = [policy("shop", "web", "app=web", policyTypes=["Egress"], egress=[{"to": outside, "ports": [port(443)]}])]
    apply(shop, flavour, rules)
    assert not broken(
        attempts(web, shop.outside, 443, True),
        attempts(web, shop.outside, 444, False),
        attempts(db, shop.outside, 444, True),
    )
    server = shop.outside.listen(443)
    for family in (0, 1):
        web.connect(shop.outside.ips[family], 443)
        accepted, peer = server.accept()
        accepted.close()
        assert peer[0].removeprefix("::ffff:") == shop.node(1).ips[family]
