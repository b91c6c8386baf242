"""What boxes are of: an interval of numbers for each thing that a rule may ask, and how texts become numbers."""

from __future__ import annotations

from compiler.net import parse_address, parse_prefix
from compiler.ordering.overlap import Box

_NAMES = 16  # bytes of an interface name, linux/if.h
#: Source, destination, protocol, source port, destination port, interfaces of arrival and departure, conntrack state,
#: IP version.
EVERYTHING: Box = (
    (0, (1 << 128) - 1),
    (0, (1 << 128) - 1),
    (0, 255),
    (0, 65535),
    (0, 65535),
    (0, (1 << 8 * _NAMES) - 1),
    (0, (1 << 8 * _NAMES) - 1),
    (0, 6),
    (4, 6),
)
SOURCE, DESTINATION, PROTOCOL, FROM, TO, IN, OUT, STATE, VERSION = range(len(EVERYTHING))

PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "icmpv6": 58,
    "ospf": 89,
    "vrrp": 112,
    "sctp": 132,
    "udplite": 136,
}
#: States from SNAT on are asked beside the others: of these no interval can tell.
STATES = {"invalid": 0, "new": 1, "related": 2, "established": 3, "untracked": 4, "snat": 5, "dnat": 6}


def block(text: str) -> tuple[int, int]:
    """The addresses of `10.0.0.1` or `10.0.0.0/8`. ValueError."""
    if "/" not in text:
        value = parse_address(text)[1]
        return value, value
    prefix = parse_prefix(text)
    return prefix.base, prefix.base | (1 << prefix.family.bits - prefix.length) - 1


def interfaces(name: str, *, begins: bool) -> tuple[int, int]:
    """A name, or all those that begin so, as numbers: those that begin alike are an interval."""
    raw = name.encode()
    rest = 8 * (_NAMES - len(raw))
    first = int.from_bytes(raw, "big") << rest
    return (first, first | (1 << rest) - 1) if begins else (first, first)
