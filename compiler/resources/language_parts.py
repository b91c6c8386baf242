"""What statements of programs are made of: ends of connections, and ports. `language` has the rest.

An *end* is a set of packets' sources or destinations: by address, by who holds it, or by the interface. Ends are
expressions, since who a selector means is only known with a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from compiler.resources.labels import LabelSelector


class Value(BaseModel):
    """Immutable; of exactly these types. What validates a model is built when the first one is made. Validators are of
    fields, as those of models are asked again by every model around."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)


# ---- Ends


class Addresses(Value):
    """From `first` to `last`, both included, whoever holds them."""

    first: IPv4Address | IPv6Address
    last: IPv4Address | IPv6Address

    @field_validator("last")
    @classmethod
    def _is_a_range(cls, last: IPv4Address | IPv6Address, info: ValidationInfo) -> IPv4Address | IPv6Address:
        first = info.data.get("first", last)
        if first.version != last.version or int(first) > int(last):
            raise ValueError("a range of addresses is of one family and begins with the lower one")
        return last


class Anyone(Value):
    """Every address, by every interface."""


class ThisNode(Value):
    """The node that the rules are for, whichever of its addresses."""


class Pods(Value):
    """The pods with these labels, in the namespace of that name, in those with such labels, or (None) anywhere."""

    namespaces: str | LabelSelector | None = None
    labels: LabelSelector = LabelSelector()


class Nodes(Value):
    """The addresses of the nodes with these labels, this one's too."""

    labels: LabelSelector = LabelSelector()


class Interfaces(Value):
    """What comes in (as a source) or goes out (as a target) by one of these; `wg*` is every name that begins so."""

    names: tuple[str, ...]


class Routed(Value):
    """The addresses that routing takes for this machine's own, for broadcast or for multicast (a source or a target:
    always the address, unlike ThisNode)."""

    kind: Literal["local", "broadcast", "multicast"]


class Either(Value):
    """Any of these; none of them: nobody."""

    ends: tuple[End, ...]


class Both(Value):
    """All of these at once."""

    ends: tuple[End, ...]


class Less(Value):
    """The first without the second."""

    end: End
    without: End


End = Addresses | Anyone | ThisNode | Pods | Nodes | Interfaces | Routed | Either | Both | Less


def parts(end: End) -> Iterator[End]:
    """What an expression is made of, down to what is no expression; not what it takes away."""
    return _parts(end, False)


def every_part(end: End) -> Iterator[End]:
    """The same, with what it takes away."""
    return _parts(end, True)


def _parts(end: End, taken: bool) -> Iterator[End]:
    ahead: list[End] = [end]
    while ahead:
        one = ahead.pop()
        if type(one) is Addresses:  # most are, and pydantic's classes are slow to say no
            yield one
        elif isinstance(one, Either | Both):
            ahead += one.ends[::-1]
        elif isinstance(one, Less):
            ahead += (one.without, one.end) if taken else (one.end,)
        else:
            yield one


def patterns(end: End) -> Iterator[str]:
    """The names of interfaces that an expression asks for, what it takes away among them."""
    for part in every_part(end):
        if isinstance(part, Interfaces):
            yield from part.names


# ---- Ports

Protocol = Annotated[int, Field(ge=0, le=255)]
Port = Annotated[int, Field(ge=0, le=65535)]


class PortRange(Value):
    """Destination ports `first` to `last`, both included."""

    protocol: Protocol
    first: Port
    last: Port

    @field_validator("last")
    @classmethod
    def _is_a_range(cls, last: int, info: ValidationInfo) -> int:
        if info.data.get("first", last) > last:
            raise ValueError("a range of ports begins with the lower one")
        return last


class NamedPort(Value):
    """A container port's name, looked up on each pod that is the target."""

    protocol: Protocol
    name: str


class MessageType(Value):
    """A type of ICMP (protocol 1) or ICMPv6 (58)."""

    protocol: Literal[1, 58]
    type: Annotated[int, Field(ge=0, le=255)]


class WholeProtocol(Value):
    """All of a protocol."""

    protocol: Protocol


PortSpec = PortRange | NamedPort | MessageType | WholeProtocol
Ports = tuple[PortSpec, ...] | None
