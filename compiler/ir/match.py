"""What a rule can ask of a packet: one small immutable value per question.

Fields are the packet's as the hook sees them: in FORWARD the destination is already translated (DNAT) and the
source not yet (SNAT).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from compiler.net import Prefix


class Field(Enum):
    """A header field that sets and maps are keyed by."""

    SOURCE = "source address"
    DESTINATION = "destination address"
    PROTOCOL = "protocol"
    PORT = "destination port"


@dataclass(frozen=True, slots=True)
class Replies:
    """Packets of an accepted connection and related ones: conntrack state ESTABLISHED or RELATED."""


@dataclass(frozen=True, slots=True)
class NeighbourDiscovery:
    """ICMPv6 router solicitation, neighbour solicitation and advertisement (types 133, 135, 136) with hop limit 255
    (RFC 4861): what a pod needs to have IPv6 at all, and never from another link. Router advertisements and
    redirects are not among them: they would let a pod rewire others whatever the policies say."""


@dataclass(frozen=True, slots=True)
class LocalSource:
    """The source address is one of the node's own, whichever interface has it."""


@dataclass(frozen=True, slots=True)
class InPrefix:
    """The field lies in the block; `field` is SOURCE or DESTINATION."""

    field: Field
    prefix: Prefix


@dataclass(frozen=True, slots=True)
class InSet:
    """The fields together are an element of the named set."""

    fields: tuple[Field, ...]
    set: str


@dataclass(frozen=True, slots=True)
class ToPorts:
    """Protocol (6, 17 or 132) and destination port, first to last inclusive; 0-65535 asks for the protocol alone."""

    protocol: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ToAnyPort:
    """Protocol and a destination port in one of several spans; at most 15 ports, a span counts two (multiport)."""

    protocol: int
    spans: tuple[tuple[int, int], ...]


Match = Replies | NeighbourDiscovery | LocalSource | InPrefix | InSet | ToPorts | ToAnyPort
