"""Copies of packets that policies deny, as somebody hears them on the NFLOG group that a compile named; and what the
daemon makes of them."""

from __future__ import annotations

import pytest

from compiler.lower.deny import DENIED, LOG_RATE
from compiler.semantics.packet import TCP, Packet
from compiler.snapshot import build
from enforcer.telling.denials import denial, packet_of
from tests.kernel.compiled import block, files, loaded, pod, policy, port
from tests.kernel.nflog import Listener
from tests.kernel.rig import Rig
from tests.kernel.sniff import header

pytestmark = pytest.mark.kernel

GROUP = 21
#: More pods than stand in a row: the end of denied packets is a tree in iptables.
PODS = [(f"shop/p{n}", (f"10.244.1.{n}", f"fd00:10:244:1::{n:x}")) for n in range(1, 41)]
OUTSIDE = ("192.0.2.7", "2001:db8::7")
POLICY = policy("shop", "web", ingress=[{"from": [block("192.0.2.0/24"), block("2001:db8::/32")], "ports": [port(80)]}])

OBJECTS = [*(pod(name, ips) for name, ips in PODS), POLICY]


def to_pod(number: int, dport: int, family: int, sport: int = 3000) -> Packet:
    return Packet(OUTSIDE[family], PODS[number][1][family], TCP, sport, dport)


@pytest.fixture
def denying(rig: Rig, flavour: str) -> Rig:
    rig.load(files(OBJECTS, flavour, log_group=GROUP), flavour)
    return rig


def test_what_is_denied_is_told_once_and_what_is_allowed_never(denying: Rig) -> None:
    with Listener(denying.namespace, GROUP) as log:
        for family in (0, 1):
            packets = [to_pod(n, dport, family) for n in (0, 39) for dport in (80, 81)]
            assert denying.forwarded(packets) == [True, False] * 2
            heard = [(message.prefix, header(message.payload)) for message in log.messages()]
            assert [(prefix, seen.source, seen.destination, seen.ports) for prefix, seen in heard] == [
                (DENIED, OUTSIDE[family], PODS[n][1][family], (3000, 81)) for n in (0, 39)
            ]


def test_a_pod_that_asks_itself_is_not_told_of(denying: Rig) -> None:
    with Listener(denying.namespace, GROUP) as log:
        own = [Packet(address, address, TCP, 3000, 81) for address in PODS[0][1]]
        assert denying.forwarded(own) == [True, True]
        assert log.messages() == []


def test_a_flood_is_told_of_now_and_then(denying: Rig) -> None:
    with Listener(denying.namespace, GROUP) as log:
        flood = [to_pod(0, 81, 0, sport) for sport in range(1024, 3024)]
        assert not any(denying.forwarded(flood))
        assert LOG_RATE.burst <= len(log.messages()) <= 3 * LOG_RATE.burst


def test_the_reason_is_found_in_the_objects(denying: Rig) -> None:
    found = loaded(OBJECTS)
    seen = build(found.pods)
    policies = [one.value for one in found.policies]
    with Listener(denying.namespace, GROUP) as log:
        denying.forwarded([to_pod(7, 81, family) for family in (0, 1)])
        heard = [packet_of(message.payload) for message in log.messages()]
    for family, packet in enumerate(heard):
        assert packet is not None
        found_why = denial(packet, "node1", seen.pods, seen.namespaces, seen.nodes, policies)
        assert (found_why.packet.dst, found_why.packet.dport) == (PODS[7][1][family], 81)
        assert (found_why.source, found_why.destination, found_why.policies) == ("", "shop/p8", ("shop/web",))
    assert len(heard) == 2
