"""What a rule can ask of a packet: one small immutable value per question.

Fields are the packet's as the hook sees them: in FORWARD the destination is already translated (DNAT) and the
source not yet (SNAT). All matches of a rule that speak of a protocol speak of the same one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from compiler.net import Family, Prefix

#: Protocols whose header begins with the two ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
WITH_PORTS = frozenset({6, 17, 33, 132, 136})
ICMP = {Family.IPV4: 1, Family.IPV6: 58}


class Field(Enum):
    """A header field that sets and maps are keyed by."""

    SOURCE = "source address"
    DESTINATION = "destination address"
    PROTOCOL = "protocol"
    PORT = "destination port"

    __hash__ = object.__hash__  # by identity, as equality: Enum's own is Python, and fields are in many keys


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
class HasBit:
    """A bit of the address is 1, or with `one` False 0; bit 0 is the last. `field` is SOURCE or DESTINATION, of the
    rule's family; iptables takes one question about an address in a rule."""

    field: Field
    bit: int
    one: bool = True


@dataclass(frozen=True, slots=True)
class InSet:
    """The fields together are an element of the named set."""

    fields: tuple[Field, ...]
    set: str


@dataclass(frozen=True, slots=True)
class InNets:
    """The first `length` bits of the address, 1 or more, with zeros behind them are an element of the named set;
    `negated`: are not. `field` is SOURCE or DESTINATION. What a prefix set becomes where there are none."""

    field: Field
    length: int
    set: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class ToPorts:
    """Protocol (one of WITH_PORTS) and destination port, first to last inclusive; 0-65535 asks for the protocol
    alone."""

    protocol: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ToAnyPort:
    """Protocol and a destination port in one of several spans; at most 15 ports, a span counts two (multiport)."""

    protocol: int
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class FromPorts:
    """Protocol (one of WITH_PORTS) and source port, first to last inclusive."""

    protocol: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class IsProtocol:
    """IANA's number, 1-255; of IPv6 the protocol behind the extension headers. 0 would be any protocol to iptables."""

    protocol: int


@dataclass(frozen=True, slots=True)
class IcmpType:
    """ICMP (of IPv4) or ICMPv6 of this type, and of this code unless that is None."""

    family: Family
    type: int
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """The interface that the packet came in by: in OUTPUT packets have none, in POSTROUTING they may have none.
    `prefix`: its name begins so, every name with "" (in POSTROUTING alone).
    """

    interface: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Outbound:
    """The interface that the packet leaves by: in FORWARD, OUTPUT and POSTROUTING. `prefix`: its name begins so."""

    interface: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class HasMark:
    """The packet's mark and `mask` are `value`."""

    value: int
    mask: int = 0xFFFFFFFF


class State(Enum):
    """Conntrack's state of a packet, exactly one; the value is nft's word, in capitals iptables'."""

    NEW = "new"
    ESTABLISHED = "established"
    RELATED = "related"
    INVALID = "invalid"
    UNTRACKED = "untracked"


@dataclass(frozen=True, slots=True)
class InState:
    """Conntrack's state is one of these. Nothing has a state in the raw table."""

    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class LocalDestination:
    """The destination address is one of the node's own, whichever interface has it."""


class RouteKind(Enum):
    """What routing says of an address; the value is nft's word, in capitals iptables'."""

    LOCAL = "local"
    BROADCAST = "broadcast"
    MULTICAST = "multicast"


@dataclass(frozen=True, slots=True)
class RoutedAs:
    """Routing takes the address for broadcast or multicast (LocalSource and LocalDestination: for local). `field` is
    SOURCE or DESTINATION. No address of IPv6 is broadcast, and ip6tables cannot ask."""

    field: Field
    kind: RouteKind


@dataclass(frozen=True, slots=True)
class NoWayBack:
    """Packets to the source address would not leave by the interface that this one came in by (RFC 3704, strict): the
    source is forged, or routes are not symmetric. In PREROUTING of raw and mangle."""


@dataclass(frozen=True, slots=True)
class Hops:
    """TTL or hop limit from first to last, inclusive."""

    first: int
    last: int


class Per(Enum):
    """The time of a rate; the value is a word that both tools know."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def seconds(self) -> int:
        return {Per.SECOND: 1, Per.MINUTE: 60, Per.HOUR: 3600, Per.DAY: 86400}[self]


@dataclass(frozen=True, slots=True)
class Rate:
    """So many packets in that time on average; `burst` packets at once after a time of rest, 1 or more."""

    count: int
    per: Per
    burst: int = 5


@dataclass(frozen=True, slots=True)
class WithinRate:
    """No more packets came here than the rate allows. Stateful: the answer depends on packets before this one, each
    rule of the kernel counts for itself (one for each family, or alternative), and iptables begins anew when the
    table is loaded again. The last match of its rule, so that packets that the rule does not mean are not counted."""

    rate: Rate


@dataclass(frozen=True, slots=True)
class OneIn:
    """One packet in `of`, 1 or more, by chance; in the nat table one connection."""

    of: int


Match = (
    Replies
    | NeighbourDiscovery
    | LocalSource
    | InPrefix
    | HasBit
    | InSet
    | InNets
    | ToPorts
    | ToAnyPort
    | FromPorts
    | IsProtocol
    | IcmpType
    | Inbound
    | Outbound
    | HasMark
    | InState
    | LocalDestination
    | RoutedAs
    | NoWayBack
    | Hops
    | WithinRate
    | OneIn
)


def protocols(matches: Iterable[Match]) -> set[int]:
    """The protocols that these matches ask for: none or one in a rule that is well formed."""
    found: set[int] = set()
    for match in matches:
        match match:
            case ToPorts() | ToAnyPort() | FromPorts() | IsProtocol():
                found.add(match.protocol)
            case IcmpType(family):
                found.add(ICMP[family])
            case NeighbourDiscovery():
                found.add(ICMP[Family.IPV6])
            case _:
                pass
    return found
