"""What programs in the policy language say, as values: names resolved, nothing yet decided about chains.

An *end* is a set of packets' sources or destinations: by address, by who holds it, or by the interface. Ends are
expressions, since who a selector means is only known with a cluster. `ports` None means every protocol.
Values made by hand pass the same checks as those made of a text; a text's are found earlier, with their places.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from compiler.resources.labels import LabelSelector
from grammar.source import Flaw, Source, Span


class Value(BaseModel):
    """Immutable; of exactly these types. What validates a model is built when the first one is made."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)


# ---- Ends


class Addresses(Value):
    """From `first` to `last`, both included, whoever holds them."""

    first: IPv4Address | IPv6Address
    last: IPv4Address | IPv6Address

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.first.version != self.last.version or int(self.first) > int(self.last):
            raise ValueError("a range of addresses is of one family and begins with the lower one")
        return self


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


End = Addresses | Anyone | ThisNode | Pods | Nodes | Interfaces | Either | Both | Less


def parts(end: End) -> Iterator[End]:
    """What an expression is made of, down to what is no expression; not what it takes away."""
    match end:
        case Either(ends=ends) | Both(ends=ends):
            for one in ends:
                yield from parts(one)
        case Less(end=inner):
            yield from parts(inner)
        case _:
            yield end


# ---- Ports

Protocol = Annotated[int, Field(ge=0, le=255)]
Port = Annotated[int, Field(ge=0, le=65535)]


class PortRange(Value):
    """Destination ports `first` to `last`, both included."""

    protocol: Protocol
    first: Port
    last: Port

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.first > self.last:
            raise ValueError("a range of ports begins with the lower one")
        return self


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

# ---- Statements


class Statement(Value):
    """`text` is the statement as written, on one line; `span` its place."""

    text: str
    span: Span

    def flaw(self, message: str, code: str) -> Flaw:
        """A flaw of the whole statement; its excerpt is the statement on one line."""
        line = Source(self.span.file, self.text, self.span.line)
        return Flaw(self.span, message, code, line.excerpt(0, len(self.text)))


class Rate(Value):
    """`count` per `unit`, and `burst` more at once (None: the kernel's default of 5)."""

    count: Annotated[int, Field(ge=1)]
    unit: Literal["second", "minute", "hour", "day"]
    burst: int | None = None


class Log(Value):
    """Note the packets in the log, with `prefix`, at most at `limit`."""

    prefix: str = ""
    limit: Rate | None = None


class Rule(Statement):
    """Connections from `source` (not from `unless`) to `target` at `ports`. `answer` is how reject answers, None the
    default of the family."""

    verb: Literal["allow", "deny", "reject", "pass"]
    source: End
    target: End
    ports: Ports = None
    unless: End | None = None
    reason: str = ""
    log: Log | None = None
    answer: str | None = None


class Flow(Value):
    """Packets from `source` to `target` (None: any) at `ports`; `both_ways`: also those back."""

    source: End | None = None
    target: End | None = None
    ports: Ports = None
    both_ways: bool = False


class Dnat(Statement):
    """Connections from `source` to `to` (None: this node's own addresses) at `ports` go to `target` instead, at
    `port` (None: the same)."""

    source: End
    to: End | None
    ports: tuple[PortSpec, ...]
    target: End
    port: Port | None


class Snat(Statement):
    """Connections leave with `address` as their source."""

    flow: Flow
    address: IPv4Address | IPv6Address


class Masquerade(Statement):
    """Connections leave with the address of the interface that they leave by."""

    flow: Flow


class Redirect(Statement):
    """Connections go to this node itself, at `port`."""

    flow: Flow
    port: Port


class KeepSource(Statement):
    """Exempt from snat and masquerade."""

    flow: Flow


class Mark(Statement):
    """Sets the bits of `mask` of the packet's mark to those of `value`."""

    flow: Flow
    value: int
    mask: int


class Dscp(Statement):
    """Sets the differentiated services field (0-63)."""

    flow: Flow
    value: Annotated[int, Field(ge=0, le=63)]


class Ttl(Statement):
    """Changes IPv4's time to live, IPv6's hop limit."""

    flow: Flow
    change: Literal["dec", "inc", "set"]
    amount: Annotated[int, Field(ge=1, le=255)]


class Mss(Statement):
    """Bounds the segments that a TCP connection announces: to `size`, or (None) to what fits the path."""

    flow: Flow
    size: int | None


class Notrack(Statement):
    """Conntrack does not follow these packets."""

    flow: Flow


class DropFrom(Statement):
    """Packets from `source` are dropped before conntrack sees them; `spoofed`: those that claim to be from there
    and come by another way."""

    source: End
    spoofed: bool


class DropFlow(Statement):
    """Packets are dropped before conntrack sees them."""

    flow: Flow


class Reaches(Statement):
    """What must hold: `source` can (cannot) open connections to `target`; `only`: and nobody else can."""

    source: End
    target: End
    ports: Ports
    can: bool
    only: bool


class Translates(Statement):
    """What must hold: connections from `source` to this node at `ports` arrive at `target`, at `port`."""

    source: End
    ports: tuple[PortSpec, ...]
    target: End
    port: Port


class PolicyBlock(Statement):
    """An ordered list: the first rule that matches decides. `text` is its head."""

    name: str
    tier: Literal["admin", "baseline"]
    priority: Annotated[int, Field(ge=0, le=1000)]
    rules: tuple[Rule, ...]


NatStatement = Dnat | Snat | Masquerade | Redirect | KeepSource
MangleStatement = Mark | Dscp | Ttl | Mss
RawStatement = Notrack | DropFrom | DropFlow
Expectation = Reaches | Translates


class Program(Value):
    """Everything that the files of a run say, in their order."""

    policies: tuple[PolicyBlock, ...] = ()
    node: tuple[Rule, ...] = ()
    nat: tuple[NatStatement, ...] = ()
    mangle: tuple[MangleStatement, ...] = ()
    raw: tuple[RawStatement, ...] = ()
    expectations: tuple[Expectation, ...] = ()


#: Says nothing. Made without validation, which builds all of these models: most runs have no program.
NO_PROGRAM = Program.model_construct()
