"""Packets as policies see them, and where among all packets a verdict can change. Standard library only.

A verdict is a function of who sends, who receives, protocol and destination port. It can change only at the *edges*
that policies and cluster name: the first and last address of a block, the ends of a port range, and the points right
beside them. `Boundaries` lists those points; `packets` turns them into connections.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
#: Protocols with ports that a policy can name.
PORTED = frozenset({TCP, UDP, SCTP})
#: IANA protocol numbers that no policy can name, so that only a rule without ports lets them through. DCCP and
#: UDP-Lite carry ports where TCP has them, which must not make them TCP; 253 is for experiments (RFC 3692).
OTHERS = (33, 136, 253)
#: ICMPv6 types of neighbour discovery (RFC 4861), which is only ever sent with this hop limit.
NEIGHBOUR_DISCOVERY, LINK_LOCAL_HOPS = (133, 135, 136), 255

_NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6", SCTP: "sctp"}
_LAST_PORT = 65535
_FIRST_SOURCE_PORT = 1024


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, as the FORWARD hook sees it: after DNAT, before SNAT.

    `src` and `dst` are canonical texts of one family; `proto` is the IANA number. The ports, 0-65535, count for TCP,
    UDP and SCTP; of an ICMP echo, `sport` is the identifier. `icmp_type` None is an echo request.
    """

    src: str
    dst: str
    proto: int
    sport: int = 0
    dport: int = 0
    icmp_type: int | None = None
    icmp_code: int = 0
    hop_limit: int = 64

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.dst else 4

    @property
    def is_neighbour_discovery(self) -> bool:
        """Whether the link itself needs it, and no router forwarded it."""
        found = self.proto == ICMPV6 and self.icmp_type in NEIGHBOUR_DISCOVERY
        return found and self.hop_limit == LINK_LOCAL_HOPS

    def __str__(self) -> str:
        what = _NAMES.get(self.proto, f"protocol {self.proto}")
        detail = f"/{self.dport}" if self.proto in PORTED else ""
        if self.icmp_type is not None:
            detail = f" type {self.icmp_type}"
        return f"{self.src} -> {self.dst} {what}{detail}"


@dataclass(frozen=True, slots=True)
class Boundaries:
    """`addresses` are canonical and sorted; `points` are (protocol, destination port), the port 0 for protocols
    without ports. `ICMP` stands for the ICMP of either family."""

    addresses: tuple[str, ...]
    points: tuple[tuple[int, int], ...]


def block_edges(cidr: str) -> Iterator[str]:
    """The first and last address of a block, and the addresses right outside it. Host bits are masked."""
    block = ipaddress.ip_network(cidr, strict=False)
    first, last = int(block.network_address), int(block.broadcast_address)
    for value in (first - 1, first, last, last + 1):
        if 0 <= value < 1 << block.max_prefixlen:
            yield str(type(block.network_address)(value))


def port_edges(first: int, last: int) -> Iterator[int]:
    """The ends of an inclusive range of ports, and the ports right outside it."""
    yield from (port for port in (first - 1, first, last, last + 1) if 0 <= port <= _LAST_PORT)


def in_order(addresses: Iterable[str]) -> tuple[str, ...]:
    """Distinct addresses, IPv4 first, by number."""
    known = {text: ipaddress.ip_address(text) for text in addresses}
    return tuple(sorted(known, key=lambda text: (known[text].version, int(known[text]))))


def packets(boundaries: Boundaries, count: int, seed: int, subjects: Sequence[str] | None = None) -> tuple[Packet, ...]:
    """At most `count` connections between the addresses of `boundaries`, one end of each among `subjects` (None: any).

    All of them when there are no more, else a sample: the same arguments give the same packets. No two share a
    source port, and of a protocol without ports only one goes between the same two addresses, so that conntrack
    cannot take one for a reply to another.
    """
    chosen = random.Random(seed)
    ends = list(boundaries.addresses if subjects is None else subjects)
    whole = 2 * len(ends) * len(boundaries.addresses) * len(boundaries.points)
    if whole <= 4 * count:
        candidates: Iterator[tuple[str, str, bool, tuple[int, int]]]
        every = list(product(ends, boundaries.addresses, (False, True), boundaries.points))
        chosen.shuffle(every)
        candidates = iter(every)
    else:
        candidates = _draws(chosen, ends, boundaries, 4 * count)
    found: list[Packet] = []
    seen: set[object] = set()
    for own, other, inbound, (protocol, port) in candidates:
        source, destination = (other, own) if inbound else (own, other)
        if (":" in source) != (":" in destination):
            continue
        portless = protocol not in PORTED and protocol != ICMP
        key = (frozenset((source, destination)) if portless else (source, destination), protocol, port)
        if key not in seen:
            seen.add(key)
            found.append(connection(source, destination, protocol, port, len(found)))
            if len(found) == count:
                break
    return tuple(found)


def _draws(
    chosen: random.Random, ends: Sequence[str], boundaries: Boundaries, most: int
) -> Iterator[tuple[str, str, bool, tuple[int, int]]]:
    for _ in range(most):
        pair = (chosen.choice(ends), chosen.choice(boundaries.addresses))
        yield *pair, chosen.random() < 0.5, chosen.choice(boundaries.points)


def connection(src: str, dst: str, proto: int, dport: int, number: int) -> Packet:
    """The first packet of a connection; `number` tells it from others between the same ends."""
    if proto in (ICMP, ICMPV6):
        return Packet(src, dst, ICMPV6 if ":" in src else ICMP, number & _LAST_PORT)
    if proto not in PORTED:
        return Packet(src, dst, proto)
    return Packet(src, dst, proto, _FIRST_SOURCE_PORT + number % (_LAST_PORT + 1 - _FIRST_SOURCE_PORT), dport)
