"""Denied packets as people are told of them: read off the wire, and explained by the policies of the moment."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.semantics.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Packet
from compiler.snapshot import build
from enforcer.telling.denials import Denial, denial, packet_of
from tests.kernel.compiled import Object, loaded, namespace, pod, pods, policy, port
from tests.kernel.packets import encode

V4, V6 = ("10.244.1.1", "10.244.1.2"), ("fd00::1", "fd00::2")
SEEN = [
    *(Packet(*ends, protocol, 4000, 5432) for ends in (V4, V6) for protocol in (TCP, UDP, SCTP)),
    Packet(*V4, ICMP, icmp_type=8),
    Packet(*V6, ICMPV6, icmp_type=128),
    Packet(*V6, ICMPV6, icmp_type=135, hop_limit=255),
    Packet(*V4, 50),
]


@pytest.mark.parametrize("packet", SEEN, ids=str)
def test_a_packet_is_what_its_bytes_say(packet: Packet) -> None:
    found = packet_of(encode(packet, 7))
    assert found == packet


@given(st.binary(max_size=80), st.sampled_from(SEEN), st.integers(0, 80))
def test_no_bytes_are_too_strange(noise: bytes, packet: Packet, kept: int) -> None:
    for payload in (noise, encode(packet, 7)[:kept], encode(packet, 7)[:kept] + noise):
        found = packet_of(payload)
        assert found is None or found.src.count(":") == found.dst.count(":") or found.version == 6


def in_extensions(packet: Packet, *headers: bytes) -> bytes:
    """The packet with these headers in front of what it carries, the first byte of each still to be filled in."""
    raw = encode(packet, 7)
    kinds = [header[0] for header in headers] + [raw[6]]
    chained = b"".join(bytes([kind]) + header[1:] for kind, header in zip(kinds[1:], headers, strict=True))
    return raw[:6] + bytes([kinds[0]]) + raw[7:40] + chained + raw[40:]


def test_headers_of_ipv6_in_front_are_passed_over() -> None:
    packet = Packet(*V6, TCP, 4000, 80)
    options, routing = bytes([0, 1]) + bytes(14), bytes([43, 0]) + bytes(6)
    first, later = (bytes([44, 0]) + struct.pack("!HI", offset << 3, 9) for offset in (0, 100))
    assert packet_of(in_extensions(packet, options, routing, first)) == packet
    assert packet_of(in_extensions(packet, options, later)) == Packet(*V6, TCP), "the ports are in the first fragment"


def test_a_later_fragment_of_ipv4_has_no_ports() -> None:
    raw = bytearray(encode(Packet(*V4, UDP, 4000, 53), 7))
    raw[6:8] = struct.pack("!H", 185)
    assert packet_of(bytes(raw)) == Packet(*V4, UDP)


SHOP: Sequence[Object] = [
    namespace("shop"),
    namespace("other"),
    pod("shop/web", (V4[0], V6[0])),
    pod("shop/db", (V4[1], V6[1])),
    pod("other/x", ("10.244.1.3", "fd00::3")),
    policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")], "ports": [port(5432)]}]),
    policy("shop", "nothing", "app=db", policyTypes=["Ingress"]),
]


def told(packet: Packet) -> Denial:
    found = loaded(SHOP)
    snapshot = build(found.pods, found.namespaces, found.nodes)
    policies = [one.value for one in found.policies]
    return denial(packet, "node1", snapshot.pods, snapshot.namespaces, snapshot.nodes, policies)


def test_who_and_why() -> None:
    assert told(Packet("10.244.1.3", V4[1], TCP, 4000, 5432)).fields() == {
        "source": "other/x",
        "source_ip": "10.244.1.3",
        "destination": "shop/db",
        "destination_ip": V4[1],
        "protocol": TCP,
        "source_port": 4000,
        "port": 5432,
        "policies": ["shop/db", "shop/nothing"],
        "why": "ingress: shop/db and shop/nothing isolate the pod and no rule of them allows it",
    }


def test_in_one_line() -> None:
    assert str(told(Packet("10.244.1.3", V4[1], TCP, 4000, 5432))) == "tcp other/x -> shop/db:5432"
    assert str(told(Packet("192.0.2.1", V4[1], 47))) == "47 192.0.2.1 -> shop/db"


def test_an_end_that_is_no_pod_and_a_protocol_without_ports() -> None:
    found = told(Packet("192.0.2.1", V4[1], ICMP, icmp_type=8)).fields()
    assert (found["source"], found["source_ip"], "port" in found) == ("", "192.0.2.1", False)


def test_what_is_allowed_by_now_has_no_reason() -> None:
    found = told(Packet(*V4, TCP, 4000, 5432))
    assert (found.policies, found.why) == ((), ())
