"""Copies of packets that policies deny, as somebody hears them on the NFLOG group that a compile named."""

from __future__ import annotations

import pytest

from compiler.lower.deny import DENIED, LOG_RATE
from compiler.semantics.packet import TCP, Packet
from tests.kernel.compiled import block, files, pod, policy, port
from tests.kernel.nflog import Listener
from tests.kernel.rig import Rig
from tests.kernel.sniff import header

pytestmark = pytest.mark.kernel

GROUP = 21
#: More pods than stand in a row: the end of denied packets is a tree in iptables.
PODS = [(f"shop/p{n}", (f"10.244.1.{n}", f"fd00:10:244:1::{n:x}")) for n in range(1, 41)]
OUTSIDE = ("192.0.2.7", "2001:db8::7")
POLICY = policy("shop", "web", ingress=[{"from": [block("192.0.2.0/24"), block("2001:db8::/32")], "ports": [port(80)]}])


def to_pod(number: int, dport: int, family: int, sport: int = 3000) -> Packet:
    return Packet(OUTSIDE[family], PODS[number][1][family], TCP, sport, dport)


@pytest.fixture
def denying(rig: Rig, flavour: str) -> Rig:
    objects = [*(pod(name, ips) for name, ips in PODS), POLICY]
    rig.load(files(objects, flavour, log_group=GROUP), flavour)
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
