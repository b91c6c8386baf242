"""What random rulesets talk about, and packets at the edges of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from random import Random

from compiler.semantics.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Packet, block_edges, port_edges

UDPLITE, GRE, EXPERIMENT = 136, 47, 253
#: Types whose packets routers forward. Those of neighbour discovery conntrack leaves alone; replies are INVALID.
ICMP_TYPES = {4: (8, 13, 0, 3), 6: (128, 129, 1, 135)}
MARKS = (0, 1, 2, 5, 0x10, 0xFF)
#: Of documentation and benchmarks (RFC 6890), so that no packet is for the rig itself.
_ROOTS = {4: ("198.18.0.0", 15), 6: ("2001:db8::", 48)}
_LENGTHS = {4: (16, 20, 24, 25, 28, 30, 31, 32, 32, 32), 6: (52, 56, 64, 65, 96, 112, 120, 127, 128, 128, 128)}


class Pools:
    """Few values, so that rules meet packets. `blocks` are CIDRs, `hosts` single addresses out of them."""

    def __init__(self, chosen: Random) -> None:
        self.chosen = chosen
        self.blocks = {family: tuple(self._block(family) for _ in range(7)) for family in (4, 6)}
        self.hosts = {family: tuple(self._edges(family)) for family in (4, 6)}
        self.ports = tuple(sorted(chosen.sample((1, 22, 53, 79, 80, 81, 443, 1024, 8080, 30000, 65534, 65535), 6)))
        self.spans = tuple(self._span() for _ in range(4))

    def _block(self, family: int) -> str:
        root, length = _ROOTS[family]
        width = 32 if family == 4 else 128
        wanted = self.chosen.choice(_LENGTHS[family])
        # Some bits only, so that blocks hold each other.
        low = self.chosen.choice((0, 1, 2, 3)) << max(0, wanted - length - 3) | self.chosen.choice((0, 1))
        base = int(ipaddress.ip_address(root)) | low << width - wanted
        return str(ipaddress.ip_network((base, wanted), strict=False))

    def _edges(self, family: int) -> list[str]:
        found = {edge for block in self.blocks[family] for edge in block_edges(block)}
        return sorted(edge for edge in found if not ipaddress.ip_address(edge).is_multicast)

    def _span(self) -> tuple[int, int]:
        low = self.chosen.choice(self.ports)
        return low, min(65535, low + self.chosen.choice((0, 1, 5, 300)))

    def host(self, family: int) -> str:
        return self.chosen.choice(self.hosts[family])

    def block(self, family: int) -> str:
        return self.chosen.choice(self.blocks[family])

    def range(self, family: int) -> tuple[str, str]:
        """Two addresses, the lower one first."""
        ends = sorted(self.chosen.sample(self.hosts[family], 2), key=lambda text: int(ipaddress.ip_address(text)))
        return ends[0], ends[1]

    def port(self) -> int:
        """At an edge of what rules name."""
        low, high = self.chosen.choice(self.spans)
        return self.chosen.choice((*port_edges(low, high), self.chosen.choice(self.ports)))

    def packets(self, count: int, to: Mapping[int, str] | None = None) -> list[Packet]:
        """Between the hosts, or to one address of each family. Identifiers of echoes are all different."""
        return [self._packet(number, to) for number in range(count)]

    def _packet(self, number: int, to: Mapping[int, str] | None) -> Packet:
        chosen = self.chosen
        family = chosen.choice((4, 6))
        src = self.host(family)
        dst = to[family] if to else self.host(family)
        proto = chosen.choice((TCP, TCP, TCP, UDP, UDP, SCTP, ICMP, UDPLITE, GRE, EXPERIMENT))
        hops = chosen.choice((64, 64, 2, 10, 11, 255))
        if proto == ICMP:
            kind = chosen.choice(ICMP_TYPES[family])
            code = 0 if kind not in (1, 3) else chosen.choice((0, 1, 3))
            return Packet(src, dst, ICMP if family == 4 else ICMPV6, number, 0, kind, code, hops)
        if proto in (GRE, EXPERIMENT):
            return Packet(src, dst, proto, hop_limit=hops)
        return Packet(src, dst, proto, self.port(), self.port(), hop_limit=hops)
