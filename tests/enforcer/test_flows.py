"""Which open connections a change revokes: exactly those that the oracle allowed before and denies now, of random
clusters whose policies change; read from entries as the kernel writes them."""

from __future__ import annotations

import ipaddress
import struct
from random import Random

import pytest
from hypothesis import given, settings

from compiler.backends.target import Backend
from compiler.net import Family
from compiler.semantics.packet import ICMP, ICMPV6, PORTED, TCP, UDP, Packet
from enforcer.flows.flows import Flow, deletion, read, revoked
from enforcer.flows.holds import Hold, held
from enforcer.flows.walk import First, Walk
from tests.kernel.packets import packed
from tests.property.crossings import Wiring
from tests.property.scenarios import Scenario, scenario, scenarios
from tests.property.trial import Trial

NESTED = 0x8000
IDENTITY = struct.pack("=HH4sHHHH", 8, 12, b"\1\2\3\4", 6, 18, 7, 0)  # id and zone
CLUSTERS = 30


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def tuple_(kind: int, src: str, dst: str, proto: int, sport: int, dport: int) -> bytes:
    six = ":" in src
    addresses = attribute(3 if six else 1, packed(src)) + attribute(4 if six else 2, packed(dst))
    protocol = attribute(1, bytes([proto]))
    if proto in (ICMP, ICMPV6):
        at = 4 if proto == ICMP else 7
        protocol += attribute(at, struct.pack("!H", sport))
        protocol += attribute(at + 1, bytes([dport])) + attribute(at + 2, b"\0")
    elif proto in PORTED:
        protocol += attribute(2, struct.pack("!H", sport)) + attribute(3, struct.pack("!H", dport))
    return attribute(kind | NESTED, attribute(1 | NESTED, addresses) + attribute(2 | NESTED, protocol))


def entry(
    packet: Packet, virtual: str = "", masqueraded: str = "", status: int = 0x18E, master: bytes = b""
) -> tuple[int, bytes]:
    """An open connection that began with this packet, as conntrack dumps it: to a service's address `virtual`, from
    behind `masqueraded`."""
    request, reply = (8, 0) if packet.proto == ICMP else (128, 129)
    icmp = packet.proto in (ICMP, ICMPV6)
    original = tuple_(
        1,
        packet.src,
        virtual or packet.dst,
        packet.proto,
        packet.sport,
        request if icmp else 4000 if virtual else packet.dport,
    )
    ends = (packet.sport, reply) if icmp else (packet.dport, 61000 if masqueraded else packet.sport)
    answer = tuple_(2, packet.dst, masqueraded or packet.src, packet.proto, *ends)
    rest = attribute(3, struct.pack("!I", status | bool(master))) + attribute(7, struct.pack("!I", 100)) + master
    return 10 if packet.version == 6 else 2, original + answer + rest + attribute(12, b"\1\2\3\4") + attribute(
        18, b"\0\7"
    )


def local_pods(trial: Trial, node: str) -> frozenset[bytes]:
    return frozenset(
        packed(ip) for pod in trial.snapshot.pods if pod.node == node and pod.holds_addresses for ip in pod.ips
    )


def check(old: Scenario, new: Scenario, backend: Backend, seed: int) -> int:
    """How many connections were revoked."""
    chosen = Random(seed)
    before, now = Trial(old.text, 400, seed), Trial(new.text, 1)
    wiring, count = Wiring(now.snapshot), 0
    for node in wiring.nodes:
        local = frozenset(map(packed, wiring.addresses(node)))
        numbers = frozenset(int.from_bytes(address, "big") for address in local)
        pods = local_pods(now, node)
        walks = [Walk(trial.compiled(node, backend).ruleset, numbers).passes for trial in (before, now)]
        expected, flows = [], []
        for packet in before.packets:
            if not any(at.node == node for at in wiring.crossings(packet)):
                continue
            virtual = {4: "10.96.0.1", 6: "fd00:96::1"}[packet.version] if chosen.random() < 0.3 else ""
            behind = {4: "192.0.2.77", 6: "2001:db8::77"}[packet.version] if chosen.random() < 0.3 else ""
            flow = read(*entry(packet, virtual, behind), pods)
            if flow is None:
                assert not {packed(packet.src), packed(packet.dst)} & pods
                continue
            flows.append(flow)
            was, still = (t.oracle.at_node(packet, node).allowed for t in (before, now))
            if was and not still:
                expected.append(flow)
        assert list(revoked(flows, local, walks[1], walks[0])) == expected
        count += len(expected)
    return count


@pytest.mark.parametrize("backend", list(Backend), ids=lambda backend: backend.value)
@settings(max_examples=CLUSTERS)
@given(old=scenarios, new=scenarios)
def test_exactly_what_the_oracle_revokes(backend: Backend, old: Scenario, new: Scenario) -> None:
    check(old, old.with_policies_of(new), backend, 1)


def test_many_are_revoked() -> None:
    """So the test above has something to find."""
    clusters = [(scenario(Random(n)), scenario(Random(n + CLUSTERS))) for n in range(CLUSTERS)]
    found = [check(old, old.with_policies_of(new), Backend.NFTABLES, n) for n, (old, new) in enumerate(clusters)]
    assert sum(found) > 200, found


WEB = Packet("10.0.0.1", "10.0.0.2", TCP, 40000, 80)
PODS = frozenset({packed("10.0.0.2")})


def number(address: str) -> int:
    return int(ipaddress.ip_address(address))


def flow(packet: Packet = WEB, **more: object) -> Flow:
    found = read(*entry(packet, **more), PODS | {packed("fd00::2")})  # type: ignore[arg-type]
    assert found is not None
    return found


def never(first: First, hook: object) -> bool:
    return False


def test_ends_are_those_that_the_filter_table_saw() -> None:
    found = flow(virtual="10.96.0.1", masqueraded="192.0.2.9")
    assert found.translated
    assert found.first == First(Family.IPV4, number("10.0.0.1"), number("10.0.0.2"), TCP, 40000, 80)
    assert not flow().translated
    assert str(found) == "10.0.0.1 -> 10.0.0.2 protocol 6 port 80"


def test_icmp() -> None:
    assert flow(Packet("10.0.0.1", "10.0.0.2", ICMP, 77)).first.icmp_type == 8
    assert flow(Packet("fd00::1", "fd00::2", ICMPV6, 77)).first.icmp_type == 128


def test_other_protocols_have_no_ports() -> None:
    assert flow(Packet("10.0.0.1", "10.0.0.2", 50)).first.port == 0


def test_what_nobody_local_has_is_not_read() -> None:
    assert read(*entry(Packet("10.0.0.1", "10.0.0.3", TCP, 1, 2)), PODS) is None
    assert read(7, b"", PODS) is None, "an address family of others"


def test_between_two_addresses_of_the_node() -> None:
    both = frozenset({packed("10.0.0.1"), packed("10.0.0.2")})
    assert list(revoked([flow()], both, never)) == []
    assert list(revoked([flow()], frozenset({packed("10.0.0.1")}), never)) == [flow()]


def test_what_cannot_be_told_stays() -> None:
    assert list(revoked([flow()], frozenset(), lambda first, hook: None)) == []
    assert list(revoked([flow()], frozenset(), never, lambda first, hook: None)) == [flow()]
    assert list(revoked([flow()], frozenset(), never, never)) == [], "was denied before: not by this change"


def test_what_another_announced_goes_with_it() -> None:
    """Data of FTP: no policy lets it in by itself."""
    control = tuple_(14, "10.0.0.1", "10.0.0.2", TCP, 40000, 21)
    data = flow(Packet("10.0.0.2", "10.0.0.1", TCP, 20, 40001), master=control)
    assert data.expected
    assert list(revoked([data], frozenset(), lambda first, hook: first.port == 21)) == []
    assert list(revoked([data], frozenset(), lambda first, hook: first.port != 21)) == [data]
    service = flow(Packet("10.0.0.2", "10.0.0.1", TCP, 20, 40001), master=control, virtual="10.96.0.1")
    assert list(revoked([service], frozenset(), never)) == []


def test_deletion_names_tuple_id_and_zone() -> None:
    number, body = deletion(flow())
    assert number == 2
    assert body == tuple_(1, "10.0.0.1", "10.0.0.2", TCP, 40000, 80) + attribute(12, b"\1\2\3\4") + attribute(
        18, b"\0\7"
    )


def test_what_is_held_back() -> None:
    """The way back; not UDP between equal ports, nor what has no ports."""
    server, client = number("10.0.0.2"), number("10.0.0.1")
    packets = [
        WEB,
        *(Packet("10.0.0.1", "10.0.0.2", *rest) for rest in ((UDP, 40000, 53), (UDP, 5060, 5060), (ICMP, 1))),
    ]
    assert list(held(map(flow, packets))) == [
        Hold(Family.IPV4, TCP, server, 80, client, 40000),
        Hold(Family.IPV4, UDP, server, 53, client, 40000),
    ]
