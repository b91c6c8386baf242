"""What boxes are of: an interval of numbers for each thing that a rule may ask, and how texts become numbers."""

from __future__ import annotations

from collections.abc import Sequence

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

#: A rule has so many boxes at most, else the one around them.
_PARTS = 8

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


class Narrowing:
    """What a rule lets through, while its questions are asked one after the other: intervals of a dimension each."""

    def __init__(self) -> None:
        self._box = list(EVERYTHING)
        self._lists: list[tuple[int, Sequence[tuple[int, int]]]] = []

    def take(self, dimension: int, spans: Sequence[tuple[int, int]]) -> None:
        """What lies in one of these, at least one."""
        low, high = self._box[dimension]
        self._box[dimension] = max(low, min(first for first, _ in spans)), min(high, max(last for _, last in spans))
        if len(spans) > 1:
            self._lists.append((dimension, spans))

    def box(self) -> Box | None:
        """The box around all that is left; None when nothing is."""
        return tuple(self._box) if all(low <= high for low, high in self._box) else None

    def parts(self) -> tuple[Box, ...]:
        """The boxes that it is where they are several, but not too many; else none."""
        found = [self._box]
        for dimension, spans in self._lists:
            found = [
                [*one[:dimension], (max(low, one[dimension][0]), min(high, one[dimension][1])), *one[dimension + 1 :]]
                for one in found
                for low, high in spans
                if low <= one[dimension][1] and one[dimension][0] <= high
            ]
            if len(found) > _PARTS:
                return ()
        return tuple(map(tuple, found)) if len(found) > 1 else ()


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
