"""Where verdicts can change, and the packets that go there."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.resources.cluster import ContainerPort
from compiler.semantics.boundaries import OUTSIDERS, boundaries
from compiler.semantics.packet import (
    ICMP,
    ICMPV6,
    OTHERS,
    PORTED,
    SCTP,
    TCP,
    UDP,
    Boundaries,
    Packet,
    block_edges,
    connection,
    in_order,
    packets,
    port_edges,
)
from tests.compiler.semantics.test_networkpolicy import policy
from tests.compiler.semantics.test_tiers import admin, cluster, egress, ingress
from tests.compiler.semantics.world import World, pod

TWO = Boundaries(("10.0.0.1", "10.0.0.2", "fd00::1"), ((TCP, 80), (UDP, 80), (ICMP, 0), (253, 0)))


@pytest.mark.parametrize(
    ("cidr", "edges"),
    [
        ("10.0.0.0/24", ["9.255.255.255", "10.0.0.0", "10.0.0.255", "10.0.1.0"]),
        ("10.0.0.7/24", ["9.255.255.255", "10.0.0.0", "10.0.0.255", "10.0.1.0"]),
        ("10.0.0.5/32", ["10.0.0.4", "10.0.0.5", "10.0.0.5", "10.0.0.6"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"]),
        ("fd00::/127", ["fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::", "fd00::1", "fd00::2"]),
    ],
)
def test_block_edges(cidr: str, edges: list[str]) -> None:
    assert list(block_edges(cidr)) == edges


@given(st.ip_addresses(), st.integers(0, 128))
def test_block_edges_lie_on_both_sides(address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int) -> None:
    block = ipaddress.ip_network((address, min(length, address.max_prefixlen)), strict=False)
    inside = [ipaddress.ip_address(edge) in block for edge in block_edges(str(block))]
    assert inside.count(True) == 2
    assert inside.count(False) <= 2


def test_port_edges_stay_in_range() -> None:
    assert list(port_edges(80, 90)) == [79, 80, 90, 91]
    assert list(port_edges(0, 65535)) == [0, 65535]


def test_addresses_in_order() -> None:
    assert in_order(["fd00::1", "10.0.0.10", "10.0.0.9", "10.0.0.10"]) == ("10.0.0.9", "10.0.0.10", "fd00::1")


def test_all_connections_when_they_are_few() -> None:
    found = packets(TWO, 1000, seed=1)
    between = {(p.src, p.dst) for p in found if p.proto == TCP}
    four = ("10.0.0.1", "10.0.0.2")
    assert between == {(a, b) for a in four for b in four} | {("fd00::1", "fd00::1")}
    assert {p.proto for p in found} == {TCP, UDP, ICMP, ICMPV6, 253}
    assert sum(p.proto == TCP for p in found) == len(between), "each once"


def test_same_seed_same_packets() -> None:
    assert packets(TWO, 10, seed=3) == packets(TWO, 10, seed=3)
    assert packets(TWO, 10, seed=3) != packets(TWO, 10, seed=4)
    assert len(packets(TWO, 7, seed=3)) == 7


def test_one_end_is_a_subject() -> None:
    found = packets(TWO, 1000, seed=1, subjects=("10.0.0.2",))
    assert found
    assert all("10.0.0.2" in (p.src, p.dst) for p in found)


def test_no_packet_is_a_reply_to_another() -> None:
    """conntrack tells connections apart by ends, protocol and ports, of protocols without ports by the ends alone."""
    found = packets(TWO, 1000, seed=1)
    tuples = [(p.src, p.dst, p.proto, p.sport, p.dport) for p in found]
    assert len(set(tuples)) == len(tuples)
    for p in found:
        mirror = (p.dst, p.src, p.proto, p.dport, p.sport)
        assert p.src == p.dst or mirror not in tuples, p


def test_what_a_connection_starts_with() -> None:
    assert connection("fd00::1", "fd00::2", ICMP, 0, 70000) == Packet("fd00::1", "fd00::2", ICMPV6, 70000 & 65535)
    assert connection("10.0.0.1", "10.0.0.2", 253, 9, 5) == Packet("10.0.0.1", "10.0.0.2", 253), "no ports"
    first = connection("10.0.0.1", "10.0.0.2", SCTP, 9, 65536 * 3)
    assert 1024 <= first.sport <= 65535


def test_packets_print_as_they_are_spoken_of() -> None:
    assert str(Packet("10.0.0.1", "10.0.0.2", TCP, 4000, 80)) == "10.0.0.1 -> 10.0.0.2 tcp/80"
    assert str(Packet("fd00::1", "fd00::2", ICMPV6, icmp_type=135)) == "fd00::1 -> fd00::2 icmpv6 type 135"
    assert str(Packet("10.0.0.1", "10.0.0.2", 253)) == "10.0.0.1 -> 10.0.0.2 protocol 253"


def test_boundaries_name_every_edge() -> None:
    block = "{ipBlock: {cidr: 10.8.0.0/16, except: [10.8.4.0/24]}}"
    rule = f"{{from: [{block}], ports: [{{port: 1000, endPort: 1010}}, {{port: named}}]}}"
    networks = "{networks: [172.16.0.0/12]}"
    udp = ", protocols: [{udp: {destinationPort: {range: {start: 2000, end: 2010}}}}]"
    listed = ", ports: [{portNumber: {port: 3000}}, {portRange: {start: 4000, end: 4010}}]"
    found = World(
        [pod("x/a", "10.0.1.1", "fd00::1", ports=("web=tcp/8080",)), pod("x/gone", "10.0.1.9", phase="Failed")],
        policy(f"  podSelector: {{}}\n  ingress: [{rule}]")
        + cluster("Admin", f"egress: [{egress('Deny', networks, udp)}]")
        + admin(f"ingress: [{ingress('Deny', '{namespaces: {}}', listed)}]"),
    )
    at = boundaries(found.policies, found.snapshot)
    edges = [*block_edges("10.8.0.0/16"), *block_edges("10.8.4.0/24"), *block_edges("172.16.0.0/12")]
    assert set(at.addresses) == {*edges, *OUTSIDERS, "10.0.1.1", "fd00::1", "10.0.1.9", "192.0.2.1", "192.0.2.2"}
    spans = ((1000, 1010), (2000, 2010), (3000, 3000), (4000, 4010))
    ports = {0, 1, 65535, 8080, *(edge for span in spans for edge in port_edges(*span))}
    assert {port for proto, port in at.points if proto == TCP} == ports
    assert {proto for proto, _ in at.points} == {*PORTED, ICMP, *OTHERS}
    assert found.snapshot.pods[0].ports == (ContainerPort(8080, "TCP", "web"),)
