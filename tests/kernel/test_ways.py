"""What becomes of packets: addresses, ports, hop limit and DSCP at the receiver are what the tracer says and what the
diagram of the whole way says, on random rulesets with NAT in all back ends."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.packet import ICMP, ICMPV6, TCP, UDP, Packet
from compiler.semantics.rules.journey import Route, Situation
from compiler.semantics.rules.netfilter import Field, Ruleset, State
from tests.compiler.semantics.test_way_diagram import OPEN, OWN, Ways, agree
from tests.kernel.pools import Pools
from tests.kernel.random_iptables import RandomIptables
from tests.kernel.random_nft import RandomNft
from tests.kernel.rig import FLAVOURS, NODE, Rig
from tests.kernel.traced import ROUTES, beside, explained, shown, tables

pytestmark = pytest.mark.kernel

_RIG_MARK = 0x7267
_OWN = {int(ipaddress.ip_address(address)) for address in OWN}
#: MASQUERADE and REDIRECT give the first of these of the interface.
_DEVICES = ("tin", "tout")
_KINDS = ("hash:ip", "hash:net", "hash:ip,port")


@pytest.fixture(scope="module")
def own_rig() -> Iterator[Rig]:
    with Rig() as rig:
        addresses = [str(ipaddress.ip_address(value)) for value in OPEN.values()]
        rig.namespace.ip(*(f"addr add {address} dev {device}" for device in _DEVICES for address in addresses))
        yield rig


def packets(pools: Pools, count: int, first: int, own: bool = False) -> list[Packet]:
    """TCP, UDP and echoes, no two with one source port or identifier: translation would have to change it else."""
    to = {4: NODE[0], 6: NODE[1]} if own else None
    found = [p for p in pools.packets(count * 3, to) if p.proto in (TCP, UDP) or p.icmp_type in (8, 128)]
    return [replace(p, sport=first + n) for n, p in enumerate(found[:count]) if p.hop_limit > 3]


def header(raw: bytes) -> dict[Field, int]:
    """What a receiver sees of it, as far as the protocol has it."""
    if raw[0] >> 4 == 4:
        protocol, hops, ends, body = raw[9], raw[8], (raw[12:16], raw[16:20]), raw[20:]
    else:
        protocol, hops, ends, body = raw[6], raw[7], (raw[8:24], raw[24:40]), raw[40:]
    found = {
        Field.SOURCE: int.from_bytes(ends[0], "big"),
        Field.DESTINATION: int.from_bytes(ends[1], "big"),
        Field.HOPS: hops,
    }
    if protocol not in (ICMP, ICMPV6):
        found[Field.SOURCE_PORT], found[Field.DESTINATION_PORT] = struct.unpack_from("!HH", body)
    return found


def dscp(raw: bytes) -> int:
    return raw[1] >> 2 if raw[0] >> 4 == 4 else (raw[0] << 4 & 0xF0 | raw[1] >> 4) >> 2


def situation(way: str, packet: Packet) -> Situation:
    sent = ROUTES[way] is Route.SENT
    known = {f"the address of the {side} interface": OPEN[packet.version] for side in ("incoming", "outgoing")}
    mark = _RIG_MARK if sent else 0
    return Situation(packet, ROUTES[way], OWN, "" if sent else "tin", "tout", State.NEW, mark, known)


def check(ways: Ways, way: str, packet: Packet, raw: bytes | None) -> bool:
    """Whether the packet was translated."""
    trace = agree(ways, situation(way, packet))
    wanted = trace.numbers
    if trace.passed and way != "sent" and (wanted[Field.DESTINATION] in _OWN) is (way == "forwarded"):
        assert raw is None, "somebody else has it now"
        return False
    assert trace.passed is (raw is not None), f"{packet!r}: {explained(trace)}"
    if raw is None or (way == "delivered" and packet.version == 6):
        return False
    found = header(raw)
    assert {field: wanted[field] for field in found} == found, f"{packet!r}: {explained(trace)}"
    said = dict(trace.change.rewritten).get("DSCP", ("0",))[-1]
    assert dscp(raw) == int(said), f"{packet!r}: {explained(trace)}"
    return bool(trace.change.given)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("seed", range(9_000, 9_004))
def test_receivers_see_what_the_diagram_says(own_rig: Rig, flavour: str, seed: int) -> None:
    pools = Pools(Random(seed))
    if flavour == "nftables":
        files = {"netpolc.nft": RandomNft(pools, changes=True).text}
    else:
        files = RandomIptables(pools, _KINDS, changes=True).files
    own_rig.reset()
    own_rig.load(files, flavour)
    batches = {
        "forwarded": packets(pools, 200, 20_000),
        "delivered": packets(pools, 40, 30_000, own=True),
        "sent": packets(pools, 60, 40_000),
    }
    seen = {way: own_rig.came_out(way, probes) for way, probes in batches.items()}
    for texts in (files | beside(own_rig), shown(own_rig, flavour)):
        try:
            ways = Ways(Ruleset(tables(texts)))
        except Unprovable:  # a set that is asked under a mask which is no prefix
            continue
        found = [
            check(ways, way, packet, raw)
            for way, probes in batches.items()
            for packet, raw in zip(probes, seen[way], strict=True)
        ]
        assert len(found) > 200
        assert any(found), "nothing was translated"
