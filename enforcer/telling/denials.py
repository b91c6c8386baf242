"""Denied packets, told to people: who wanted to reach whom, and which policies say no.

The kernel copies denied packets to an NFLOG group (`compile --log-denied`); what comes here is one of them. The oracle
says why, from the objects that the daemon sees: as `netpolc explain` would.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from compiler.analysis.quotes import title
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import ICMP, ICMPV6, PORTED, SCTP, TCP, UDP, Packet
from compiler.semantics.verdict import AnyPolicy, Because, Direction, Ruling
from compiler.snapshot import build

#: Headers of IPv6 that stand in front of what the packet carries (RFC 8200, 4.1), each with its length in its second
#: byte, in units of eight bytes beyond the first eight: hop-by-hop options, routing, destination options.
_EXTENSIONS = frozenset({0, 43, 60})
_FRAGMENT = 44
_NAMES = {ICMP: "icmp", ICMPV6: "icmpv6", TCP: "tcp", UDP: "udp", SCTP: "sctp"}


@dataclass(frozen=True, slots=True)
class Denial:
    """`source` and `destination` name the pods (NAMESPACE/NAME) that hold the addresses, empty where none does. `why`
    has a sentence for each direction that denies; none where the policies of this moment allow the packet: it was
    denied by those of before, or by a program."""

    packet: Packet
    source: str
    destination: str
    policies: tuple[str, ...]
    why: tuple[str, ...]

    def __str__(self) -> str:
        seen = self.packet
        port = f":{seen.dport}" if seen.proto in PORTED else ""
        return f"{_NAMES.get(seen.proto, seen.proto)} {self.source or seen.src} -> {self.destination or seen.dst}{port}"

    def fields(self) -> dict[str, object]:
        """For a line of a log."""
        seen = self.packet
        found: dict[str, object] = {"source": self.source, "source_ip": seen.src}
        found |= {"destination": self.destination, "destination_ip": seen.dst, "protocol": seen.proto}
        if seen.proto in PORTED:
            found |= {"source_port": seen.sport, "port": seen.dport}
        return found | {"policies": list(self.policies), "why": "; ".join(self.why)}


def packet_of(payload: bytes) -> Packet | None:
    """The packet of which these are the first bytes, from its IP header on; None where too few are there. A fragment
    behind the first has no ports: they are 0."""
    try:
        version = payload[0] >> 4
        if version == 4:
            return _seen(payload, payload[9], (payload[0] & 15) * 4, (12, 16, 20), payload[8], payload[6:8])
        return _sixth(payload) if version == 6 else None
    except (IndexError, struct.error, ValueError):
        return None


def _sixth(payload: bytes) -> Packet:
    protocol, at, fragment = payload[6], 40, b"\0\0"
    while protocol in _EXTENSIONS or protocol == _FRAGMENT:
        if protocol == _FRAGMENT:
            (offset,) = struct.unpack_from("!H", payload, at + 2)
            fragment = (offset >> 3).to_bytes(2, "big")
        length = 8 if protocol == _FRAGMENT else 8 * (payload[at + 1] + 1)
        protocol, at = payload[at], at + length
    return _seen(payload, protocol, at, (8, 24, 40), payload[7], fragment)


def _seen(payload: bytes, protocol: int, at: int, ends: tuple[int, int, int], hops: int, fragment: bytes) -> Packet:
    first, middle, last = ends
    source, destination = (str(ipaddress.ip_address(payload[a:b])) for a, b in ((first, middle), (middle, last)))
    whole = not int.from_bytes(fragment, "big") & 0x1FFF
    if protocol in PORTED and whole:
        sport, dport = struct.unpack_from("!HH", payload, at)
        return Packet(source, destination, protocol, sport, dport, hop_limit=hops)
    if protocol in (ICMP, ICMPV6) and whole:
        kind, code = payload[at], payload[at + 1]
        return Packet(source, destination, protocol, icmp_type=kind, icmp_code=code, hop_limit=hops)
    return Packet(source, destination, protocol, hop_limit=hops)


def denial(
    packet: Packet,
    node: str,
    pods: Collection[Pod],
    namespaces: Mapping[str, Namespace],
    nodes: Mapping[str, Node],
    policies: Collection[AnyPolicy],
) -> Denial:
    """Why `node` denies the packet. `pods`: all that hold one of its two addresses, others do no harm; `policies`: all
    that may be about them."""
    oracle = Oracle(policies, build(pods, namespaces.values(), nodes.values()))
    found = oracle.at_node(packet, node)
    denied = [
        (direction, ruling)
        for direction, ruling in ((Direction.EGRESS, found.egress), (Direction.INGRESS, found.ingress))
        if not ruling.allowed
    ]
    names = dict.fromkeys(title(policy) for _, ruling in denied for policy in ruling.policies)
    return Denial(
        packet,
        _name(oracle.holder(packet.src)),
        _name(oracle.holder(packet.dst)),
        tuple(names),
        tuple(_why(direction, ruling) for direction, ruling in denied),
    )


def _name(pod: Pod | None) -> str:
    return f"{pod.namespace}/{pod.name}" if pod else ""


def _why(direction: Direction, ruling: Ruling) -> str:
    where, names = direction.value.lower(), _listed([title(policy) for policy in ruling.policies])
    match ruling.because:
        case Because.RULE:
            return f"{where}: {where}[{ruling.rule}] of {names} denies it"
        case Because.ISOLATED:
            verb = "isolates" if len(ruling.policies) == 1 else "isolate"
            allows = "no rule of it allows it" if len(ruling.policies) == 1 else "no rule of them allows it"
            return f"{where}: {names} {verb} the pod and {allows}"
        case _:
            return f"{where}: {ruling.because.value}"


def _listed(names: Sequence[str]) -> str:
    *others, last = names or [""]
    return f"{', '.join(others)} and {last}" if others else last
