"""Who the ends of a connection are: pods, nodes, host-network pods, addresses of pods that are gone."""

from __future__ import annotations

from compiler.resources.cluster import Node
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import ICMPV6, Packet
from compiler.semantics.verdict import Because
from compiler.snapshot import build
from tests.compiler.semantics.test_networkpolicy import policy
from tests.compiler.semantics.world import World, pod

A, B = pod("x/a", "10.0.1.1", node="n1"), pod("x/b", "10.0.1.2", node="n2")
HOST = pod("x/h", "192.0.2.1", node="n1", host_network=True)
CLOSED = policy("  podSelector: {}\n  policyTypes: [Ingress, Egress]")
OUT = "203.0.113.9"
DENY_ALL = """
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: deny}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
  egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]
"""


def test_both_sides_must_allow() -> None:
    egress = policy("  podSelector: {matchLabels: {app: a}}\n  policyTypes: [Egress]")
    ingress = policy("  podSelector: {matchLabels: {app: b}}")
    assert not World([A, B], egress).allows("x/a", "x/b")
    assert not World([A, B], ingress).allows("x/a", "x/b")
    assert World([A, B], egress).allows("x/b", "x/a")
    assert World([A, B], ingress).allows("x/b", "x/a")


def test_a_pod_always_reaches_itself() -> None:
    for text in (CLOSED, DENY_ALL):
        found = World([A, B], text)
        assert found.allows("x/a", "x/a")
        assert found.ask("x/a", "x/a").egress.because is Because.ITSELF
        assert not found.allows("x/a", "x/b")


def test_a_node_always_reaches_its_own_pods() -> None:
    found = World([A, B], CLOSED)
    assert found.allows("node:n1", "x/a")
    assert found.ask("node:n1", "x/a").ingress.because is Because.OWN_NODE
    assert not found.allows("node:n2", "x/a"), "another node is an address like any other"
    admin = DENY_ALL.replace("tier: Admin", "tier: Baseline")
    assert World([A, B], admin).allows("node:n1", "x/a")


def test_another_node_is_an_address() -> None:
    text = policy("  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 192.0.2.2/32}}]}]")
    assert World([A, B], text).allows("node:n2", "x/a")


def test_a_pod_reaches_its_own_node_as_its_egress_says() -> None:
    assert not World([A, B], CLOSED).allows("x/a", "node:n1")
    assert World([A, B], policy("  podSelector: {}")).allows("x/a", "node:n1")
    text = policy("  podSelector: {}\n  policyTypes: [Egress]\n  egress: [{to: [{ipBlock: {cidr: 192.0.2.1/32}}]}]")
    found = World([A, B], text)
    assert found.allows("x/a", "node:n1")
    assert not found.allows("x/a", "node:n2")


def test_host_network_pods_are_never_subjects() -> None:
    for text in (CLOSED, DENY_ALL):
        found = World([B, HOST], text)
        assert found.allows(OUT, "x/h")
        assert found.allows("x/h", OUT)
        assert found.ask("x/h", OUT).egress.because is Because.NO_SUBJECT


def test_host_network_pods_are_never_peers_of_selectors() -> None:
    text = policy("  podSelector: {}\n  ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}]}]")
    found = World([B, HOST, pod("x/c", "10.0.1.3")], text)
    assert found.allows("x/c", "x/b")
    assert not found.allows("x/h", "x/b")


def test_an_ip_block_may_match_a_host_network_pods_address() -> None:
    text = policy("  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]")
    assert World([B, HOST], text).allows("x/h", "x/b")


def test_a_host_network_pod_is_its_node_to_the_pods_there() -> None:
    found = World([A, B, HOST], CLOSED)
    assert found.allows("x/h", "x/a")
    assert not found.allows("x/h", "x/b")
    unlisted = Oracle(found.policies, build(found.snapshot.pods))
    assert unlisted.connection(found.packet("x/h", "x/a", "tcp/80")).allowed, "the node need not be listed"


def test_named_ports_are_never_a_host_network_pods() -> None:
    text = policy("  podSelector: {}\n  policyTypes: [Egress]\n  egress: [{ports: [{port: web}]}]")
    serving = pod("x/h", "192.0.2.1", node="n1", host_network=True, ports=("web=tcp/80",))
    assert not World([B, serving], text).allows("x/b", "x/h", "tcp/80")


def test_an_address_that_several_pods_hold_is_nobodys() -> None:
    """No selector means it, and it is closed, whoever the policies are about; a node still reaches its own pods."""
    one, two = (
        pod(f"y/{name}", "10.0.1.7", node=node, labels={"app": name}) for name, node in (("b", "n1"), ("c", "n2"))
    )
    open_to_all = policy("  podSelector: {matchLabels: {app: a}}\n  ingress: [{}]")
    world = World([A, one, two], open_to_all)
    assert not world.allows("10.0.1.7", "x/a")
    assert not world.allows("x/a", "10.0.1.7")
    assert not world.allows(OUT, "10.0.1.7")
    assert world.allows("10.0.1.7", "10.0.1.7"), "whoever it is, this is its own"
    assert world.ask("x/a", "10.0.1.7").ingress.because is Because.CONTESTED
    packet = world.packet("node:n1", "10.0.1.7", "tcp/80")
    assert world.oracle.at_node(packet, "n1").allowed, "n1 reaches the pod that may be its own"
    assert not world.oracle.at_node(packet, "n2").allowed
    assert not world.oracle.connection(packet).allowed
    assert World([A, one, two]).allows(OUT, "10.0.1.7"), "without policies everything passes"
    assert World([A, one], open_to_all).allows("10.0.1.7", "x/a"), "of one pod alone it is a pod's"


def test_finished_pods_hold_no_address() -> None:
    for phase in ("Succeeded", "Failed"):
        gone = pod("x/old", "10.0.1.3", node="n1", labels={"app": "old"}, phase=phase)
        heir = pod("y/new", "10.0.1.3", node="n1", labels={"app": "new"})
        peers = policy(
            "  podSelector: {matchLabels: {app: a}}\n  ingress: [{from: [{podSelector: {matchLabels: {app: old}}}]}]"
        )
        for pods in ([A, gone], [A, gone, heir]):
            assert not World(pods, peers).allows("10.0.1.3", "x/a"), "no peer any more"
            assert World(pods, CLOSED.replace("podSelector: {}", "podSelector: {matchLabels: {app: old}}")).allows(
                OUT, "10.0.1.3"
            ), "no subject any more"
    pending = pod("x/old", "10.0.1.3", labels={"app": "old"}, phase="Pending")
    assert World([A, pending], peers).allows("10.0.1.3", "x/a"), "every other phase holds it"


def test_pods_without_address_are_nobody() -> None:
    text = policy("  podSelector: {}\n  ingress: [{from: [{podSelector: {matchLabels: {app: new}}}]}]")
    starting = World([A, B, pod("x/new")], text)
    assert not any(starting.allows(end, "x/a") for end in ("x/b", OUT))
    assert World([A, B, pod("x/new", "10.0.1.3")], text).allows("x/new", "x/a")


def test_every_address_of_a_pod_counts_in_its_own_family() -> None:
    both = [pod("x/a", "10.0.1.1", "fd00::1"), pod("x/b", "10.0.1.2", "fd00::2"), pod("y/c", "fd00::3")]
    found = World(both, policy("  podSelector: {}\n  ingress: [{from: [{podSelector: {}}]}]"))
    for family in (4, 6):
        assert found.allows("x/b", "x/a", family=family)
    assert not found.allows("y/c", "x/a", family=6)
    four = World(both, policy("  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.1.2/32}}]}]"))
    assert four.allows("x/b", "x/a", family=4)
    assert not four.allows("x/b", "x/a", family=6)


def test_neighbour_discovery_belongs_to_the_link() -> None:
    closed = World([pod("x/a", "fd00::1")], CLOSED)

    def asked(kind: int, hops: int) -> bool:
        packet = Packet("fd00::1", "fd00::99", ICMPV6, icmp_type=kind, hop_limit=hops)
        return closed.oracle.connection(packet).allowed

    asked_for = {kind: asked(kind, 255) for kind in (128, 133, 134, 135, 136, 137)}
    assert [kind for kind, passed in asked_for.items() if passed] == [133, 135, 136], "a pod is no router"
    assert not asked(135, 254), "a router forwarded it: no neighbour sent it"


def test_a_node_judges_the_pods_it_runs() -> None:
    found = World([A, B], CLOSED)
    there = found.packet("x/a", "x/b", "tcp/80")
    first, second, third = (found.oracle.at_node(there, node) for node in ("n1", "n2", "n3"))
    assert (first.egress.allowed, first.ingress.allowed) == (False, True)
    assert (second.egress.allowed, second.ingress.allowed) == (True, False)
    assert third.allowed
    assert first.ingress.because is Because.NO_SUBJECT


def test_what_all_nodes_let_through_is_what_the_cluster_allows() -> None:
    text = policy("  podSelector: {matchLabels: {app: a}}\n  policyTypes: [Egress]\n  egress: [{ports: [{port: 80}]}]")
    found = World([A, B], text)
    for what in ("tcp/80", "tcp/81"):
        packet = found.packet("x/a", "x/b", what)
        nodes = [found.oracle.at_node(packet, node).allowed for node in ("n1", "n2")]
        assert all(nodes) == found.oracle.connection(packet).allowed


def test_an_external_ip_is_an_address_like_any_other() -> None:
    """Unless policies mean it as a node's: `nodes` are all of a node's addresses."""
    closed = World([A], CLOSED)
    node = Node("n1", {}, ("192.0.2.1", "203.0.113.1"), external=("203.0.113.1",))
    oracle = Oracle(closed.policies, build(closed.snapshot.pods, nodes=[node]))
    assert oracle.connection(Packet("192.0.2.1", "10.0.1.1", 6, 1, 80)).ingress.because is Because.OWN_NODE
    assert oracle.connection(Packet("203.0.113.1", "10.0.1.1", 6, 1, 80)).ingress.because is Because.ISOLATED
    to_nodes = DENY_ALL.replace("to: [{networks: [0.0.0.0/0]}]", "to: [{nodes: {}}]")
    oracle = Oracle(World([A], to_nodes).policies, build([A], nodes=[node]))
    for address in node.ips:
        assert not oracle.connection(Packet("10.0.1.1", address, 6, 1, 80)).allowed


def test_node_addresses_of_both_families_are_its_own() -> None:
    closed = World([pod("x/a", "10.0.1.1", "fd00::1", node="n1")], CLOSED)
    nodes = [Node("n1", {}, ("192.0.2.1", "2001:db8::1"))]
    oracle = Oracle(closed.policies, build(closed.snapshot.pods, nodes=nodes))
    assert oracle.connection(Packet("2001:db8::1", "fd00::1", 6, 1, 80)).allowed
    assert not oracle.connection(Packet("2001:db8::2", "fd00::1", 6, 1, 80)).allowed
