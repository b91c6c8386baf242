"""Every way a packet can take through a node, judged for policies in the real pipeline's words (docs/SEMANTICS.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.semantics.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Packet, connection
from tests.kernel.compiled import block, files, node, pod, pods, policy, port
from tests.kernel.packets import ESP, GRE, Unreachable, handshake, reply
from tests.kernel.rig import NODE, Rig

pytestmark = pytest.mark.kernel

#: By family: a and b are pods of the node, far is one of another node, world is nobody.
A = {4: "10.1.1.11", 6: "fd00:1:1::11"}
B = {4: "10.1.1.12", 6: "fd00:1:1::12"}
FAR = {4: "10.1.2.13", 6: "fd00:1:2::13"}
OTHER_NODE = {4: "192.0.2.2", 6: "2001:db8:ffff::2"}
WORLD = {4: "198.51.100.7", 6: "2001:db8:77::7"}
HERE = {4: NODE[0], 6: NODE[1]}
ICMP_OF = {4: ICMP, 6: ICMPV6}

CLUSTER = [
    node("node1", NODE),
    node("node2", list(OTHER_NODE.values())),
    pod("shop/a", list(A.values())),
    pod("shop/b", list(B.values())),
    pod("shop/far", list(FAR.values()), node="node2"),
    pod("shop/agent", NODE, host_network=True),
    pod("shop/other-agent", list(OTHER_NODE.values()), "app=agent", node="node2", host_network=True),
]
#: `a` takes web, DNS and SCTP from pods of its namespace, and everything from WORLD's network.
INGRESS_OF_A = policy(
    "shop",
    "a",
    "app=a",
    ingress=[
        {"from": [pods()], "ports": [port(80), port(53, "UDP"), port(9, "SCTP"), port(8000, end=8010)]},
        {"from": [block("198.51.100.0/24"), block("2001:db8:77::/64")]},
    ],
)
#: `a` may reach `far` on 80 and the neighbourhood of WORLD, and nothing else.
EGRESS_OF_A = policy(
    "shop",
    "a-out",
    "app=a",
    policyTypes=["Egress"],
    egress=[
        {"to": [pods("app=far")], "ports": [port(80)]},
        {"to": [block("198.51.100.0/24", "198.51.100.128/25"), block("2001:db8:77::/64", "2001:db8:77:0:8000::/65")]},
    ],
)


@pytest.fixture(params=[4, 6])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def tcp(source: str, destination: str, port: int = 80, source_port: int = 40000) -> Packet:
    return Packet(source, destination, TCP, source_port, port)


def test_forward_ingress(rig: Rig, flavour: str, family: int) -> None:
    rig.load(files([*CLUSTER, INGRESS_OF_A], flavour), flavour)
    a, b, far, world = A[family], B[family], FAR[family], WORLD[family]
    icmp = ICMP_OF[family]
    expected = [
        *[((far, a, TCP, n), n in (80, 8000, 8010)) for n in (79, 80, 81, 7999, 8000, 8010, 8011)],
        *[((b, a, proto, n), True) for proto, n in ((TCP, 80), (UDP, 53), (SCTP, 9))],
        *[((b, a, proto, n), False) for proto, n in ((UDP, 80), (SCTP, 80), (TCP, 53), (SCTP, 53), (TCP, 9), (UDP, 9))],
        *[((b, a, proto, 0), False) for proto in (icmp, GRE, ESP)],
        *[((world, a, proto, 7), True) for proto in (TCP, UDP, SCTP, icmp, GRE, ESP)],
        *[((source, b, TCP, 7), True) for source in (a, far, world)],
        *[((a, destination, icmp, 0), True) for destination in (b, far, world)],
        ((OTHER_NODE[family], a, TCP, 80), False),  # a host-network pod is no peer
    ]
    packets = [connection(*ends, n) for n, (ends, _) in enumerate(expected)]
    judged = dict(zip((ends for ends, _ in expected), rig.forwarded(packets), strict=True))
    assert judged == dict(expected)


def test_forward_egress(rig: Rig, flavour: str, family: int) -> None:
    rig.load(files([*CLUSTER, EGRESS_OF_A], flavour), flavour)
    a, b, far, world = A[family], B[family], FAR[family], WORLD[family]
    beyond = {4: "198.51.100.200", 6: "2001:db8:77:0:8000::1"}[family]
    expected = [
        ((a, far, TCP, 80), True),
        ((a, far, TCP, 81), False),
        ((a, far, UDP, 80), False),
        ((a, far, ICMP_OF[family], 0), False),
        ((a, b, TCP, 80), False),
        ((a, OTHER_NODE[family], TCP, 80), False),
        *[((a, world, proto, 7), True) for proto in (TCP, UDP, SCTP, ICMP_OF[family], GRE)],
        *[((a, beyond, proto, 7), False) for proto in (TCP, UDP, SCTP, ICMP_OF[family], GRE)],
        *[((source, a, TCP, 7), True) for source in (b, far, world)],
        ((b, beyond, TCP, 7), True),
    ]
    packets = [connection(*ends, n) for n, (ends, _) in enumerate(expected)]
    judged = dict(zip((ends for ends, _ in expected), rig.forwarded(packets), strict=True))
    assert judged == dict(expected)


def test_host_network_pods_are_addresses_of_nodes(rig: Rig, flavour: str, family: int) -> None:
    """Their addresses are matched by an ipBlock, never by a selector; and they are no subjects."""
    agents = block(f"{OTHER_NODE[family]}/{32 if family == 4 else 128}")
    allowed = policy("shop", "agents", "app=a", ingress=[{"from": [agents]}])
    isolating = policy("shop", "all", policyTypes=["Ingress", "Egress"])
    rig.load(files([*CLUSTER, allowed, isolating], flavour), flavour)
    packets = [
        tcp(OTHER_NODE[family], A[family]),
        tcp(OTHER_NODE[family], B[family]),
        tcp(OTHER_NODE[family], WORLD[family]),
        tcp(WORLD[family], OTHER_NODE[family]),
    ]
    assert rig.forwarded(packets) == [True, False, True, True]
    assert rig.delivered([tcp(WORLD[family], HERE[family])]) == [True]


def test_a_pod_reaches_itself(rig: Rig, flavour: str, family: int) -> None:
    """Through a service, for instance: the packet comes back with the pod's address on both ends."""
    rig.load(files([*CLUSTER, policy("shop", "deny", policyTypes=["Ingress", "Egress"])], flavour), flavour)
    a, b = A[family], B[family]
    itself = [connection(one, one, proto, 80, 1) for one in (a, b) for proto in (TCP, UDP, ICMP_OF[family])]
    assert rig.forwarded(itself) == [True] * 6
    assert rig.forwarded([tcp(a, b), tcp(b, a)]) == [False, False]


def test_pod_to_its_own_node(rig: Rig, flavour: str, family: int) -> None:
    """Egress policy applies in INPUT; ingress policies and pods without egress policy have no say there."""
    rig.load(files([*CLUSTER, INGRESS_OF_A, EGRESS_OF_A], flavour), flavour)
    here = HERE[family]
    protocols = (TCP, UDP, SCTP, ICMP_OF[family], GRE, ESP)
    assert rig.delivered([connection(A[family], here, p, 80, 1) for p in protocols]) == [False] * 6
    assert rig.delivered([connection(B[family], here, p, 80, 1) for p in protocols]) == [True] * 6
    assert rig.delivered([connection(WORLD[family], here, p, 80, 1) for p in protocols]) == [True] * 6


def test_pod_to_its_own_node_by_ipblock(rig: Rig, flavour: str, family: int) -> None:
    to_node = {"to": [block(f"{HERE[family]}/{32 if family == 4 else 128}")], "ports": [port(10250)]}
    rule = policy("shop", "out", "app=a", policyTypes=["Egress"], egress=[to_node])
    rig.load(files([*CLUSTER, rule], flavour), flavour)
    packets = [tcp(A[family], HERE[family], 10250), tcp(A[family], HERE[family], 10251)]
    assert rig.delivered(packets) == [True, False]


def test_node_to_its_own_pods(rig: Rig, flavour: str, family: int) -> None:
    """Kubelet probes pass whatever the policies say; a source that is not the node's own is judged as in FORWARD."""
    rig.load(files([*CLUSTER, INGRESS_OF_A, policy("shop", "deny", policyTypes=["Ingress"])], flavour), flavour)
    here = HERE[family]
    protocols = (TCP, UDP, SCTP, ICMP_OF[family], GRE)
    assert rig.sent([connection(here, A[family], p, 7, 1) for p in protocols]) == [True] * 5
    assert rig.sent([tcp(here, FAR[family]), tcp(here, WORLD[family])]) == [True, True]
    borrowed = [tcp(FAR[family], A[family], 80), tcp(FAR[family], A[family], 81), tcp(FAR[family], B[family], 80)]
    assert rig.sent(borrowed) == [True, False, False]


def test_replies(rig: Rig, flavour: str, family: int) -> None:
    """Replies and what is related to an accepted connection pass against policies that deny their direction."""
    closed = policy("shop", "closed", "app=a", policyTypes=["Egress"])
    rig.load(files([*CLUSTER, INGRESS_OF_A, closed], flavour), flavour)
    web = tcp(B[family], A[family])
    router = WORLD[family]
    assert rig.exchange(handshake(web)) == [True] * 4
    for proto, number in ((UDP, 53), (SCTP, 9)):
        question = Packet(B[family], A[family], proto, 40000, number)
        assert rig.exchange([question, reply(question)]) == [True, True]
    ping = connection(WORLD[family], A[family], ICMP_OF[family], 0, 1)
    assert rig.exchange([ping, reply(ping)]) == [True, True]
    # An error about the connection that the pod's own side sends, and one about none.
    assert rig.exchange([Unreachable(A[family], web)]) == [True]
    assert rig.exchange([Unreachable(A[family], replace(web, sport=1))]) == [False]
    assert rig.exchange([Unreachable(router, reply(web))]) == [True]


def test_no_reply_without_a_connection(rig: Rig, flavour: str, family: int) -> None:
    rig.load(files([*CLUSTER, INGRESS_OF_A, policy("shop", "out", "app=a", policyTypes=["Egress"])], flavour), flavour)
    refused = tcp(B[family], A[family], 81)
    assert rig.exchange(handshake(refused)) == [False] * 4
    answers = [Packet(A[family], B[family], proto, 80, 40000) for proto in (TCP, UDP, SCTP)]
    ping = reply(connection(B[family], A[family], ICMP_OF[family], 0, 1))
    assert rig.forwarded([*answers, ping]) == [False] * 4
    assert rig.exchange([Unreachable(A[family], refused)]) == [False]
    web = tcp(B[family], A[family])
    assert rig.exchange(handshake(web)[1:2]) == [False]
    # Conntrack takes data to an allowed port for a connection that is older than itself: that is no hole.
    assert rig.exchange(handshake(web)[2:]) == [True, True]


def test_the_nodes_connections_have_replies(rig: Rig, flavour: str, family: int) -> None:
    """A probe's answers pass INPUT although egress is denied; those to a pod's allowed question pass OUTPUT."""
    to_node = {"to": [block(f"{HERE[family]}/{32 if family == 4 else 128}")], "ports": [port(53, "UDP")]}
    both = policy("shop", "both", policyTypes=["Ingress", "Egress"], egress=[to_node])
    rig.load(files([*CLUSTER, both], flavour), flavour)
    syn, answer, data, _ = handshake(tcp(HERE[family], A[family]))
    assert rig.exchange_in([answer]) == [False]
    assert rig.exchange_out([syn]) + rig.exchange_in([answer]) + rig.exchange_out([data]) == [True] * 3
    question = Packet(A[family], HERE[family], UDP, 40000, 53)
    assert rig.exchange_in([question]) + rig.exchange_out([reply(question)]) == [True, True]


def test_open_connections_survive_a_reload(rig: Rig, flavour: str, family: int) -> None:
    """Loading cuts nothing that goes on being allowed, and established packets are never judged again."""
    first = files([*CLUSTER, INGRESS_OF_A], flavour)
    second = files([*CLUSTER, INGRESS_OF_A, EGRESS_OF_A, policy("shop", "more", "app=b")], flavour)
    rig.load(first, flavour)
    packets = handshake(tcp(B[family], A[family]))
    assert rig.exchange(packets) == [True] * 4
    rig.load(second, flavour)
    assert rig.exchange(packets[2:]) == [True, True]
    assert rig.forwarded([tcp(WORLD[family], B[family], 7)]) == [False]
    rig.load(first, flavour)
    assert rig.forwarded([tcp(WORLD[family], B[family], 7)]) == [True]


def test_neighbour_discovery(rig: Rig, flavour: str) -> None:
    """Without it IPv6 is dead, so no policy touches it; but only from the link itself (RFC 4861: hop limit 255)."""
    rig.load(files([*CLUSTER, policy("shop", "deny", policyTypes=["Ingress", "Egress"])], flavour), flavour)
    messages = [Packet(A[6], HERE[6], ICMPV6, icmp_type=kind, hop_limit=255) for kind in range(132, 139)]
    assert rig.delivered(messages) == [False, True, False, True, True, False, False], "no pod advertises routes"
    assert rig.delivered([replace(message, hop_limit=254) for message in messages]) == [False] * 7
    own_link = [Packet(A[6], B[6], ICMPV6, icmp_type=kind, hop_limit=255) for kind in (135, 136)]
    assert rig.forwarded(own_link) == [False, False], "who routes takes one off the hop limit"
