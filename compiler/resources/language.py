"""What programs in the policy language say, as values: names resolved, nothing yet decided about chains.

Ends of connections and ports are of `language_parts`, and to be had from here, too; `ports` None means every protocol.
Values made by hand pass the same checks as those made of a text; a text's are found earlier, with their places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import Field

from compiler.resources.language_parts import Addresses as Addresses
from compiler.resources.language_parts import Anyone as Anyone
from compiler.resources.language_parts import Both as Both
from compiler.resources.language_parts import Either as Either
from compiler.resources.language_parts import End as End
from compiler.resources.language_parts import Interfaces as Interfaces
from compiler.resources.language_parts import Less as Less
from compiler.resources.language_parts import MessageType as MessageType
from compiler.resources.language_parts import NamedPort as NamedPort
from compiler.resources.language_parts import Nodes as Nodes
from compiler.resources.language_parts import Pods as Pods
from compiler.resources.language_parts import Port as Port
from compiler.resources.language_parts import PortRange as PortRange
from compiler.resources.language_parts import Ports as Ports
from compiler.resources.language_parts import PortSpec as PortSpec
from compiler.resources.language_parts import Protocol as Protocol
from compiler.resources.language_parts import Routed as Routed
from compiler.resources.language_parts import ThisNode as ThisNode
from compiler.resources.language_parts import Value as Value
from compiler.resources.language_parts import WholeProtocol as WholeProtocol
from compiler.resources.language_parts import every_part as every_part
from compiler.resources.language_parts import parts as parts
from compiler.resources.language_parts import patterns as patterns
from grammar.source import Flaw, Source, Span

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
    """Note the packets in the log, with `prefix`, at most at `limit`. `kernel`: in the kernel's own log instead of the
    NFLOG group 0."""

    prefix: str = ""
    limit: Rate | None = None
    kernel: bool = False


class Marked(Value):
    """The bits of `mask` in a packet's mark are those of `value`, which has no others."""

    value: Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
    mask: Annotated[int, Field(ge=1, le=0xFFFFFFFF)]


ConnectionState = Literal["new", "established", "related", "invalid", "untracked"]


class Conditional(Statement):
    """What a statement asks beside ends and ports, all at once: one of these states (none named: any), the mark, a
    source port in one of these ranges (none: any; `ports` then names protocols that have some), and one packet in
    `chance` at random, of nat one connection."""

    states: tuple[ConnectionState, ...] = ()
    marked: Marked | None = None
    source_ports: tuple[tuple[Port, Port], ...] = ()
    chance: Annotated[int, Field(ge=1)] | None = None

    @property
    def conditional(self) -> bool:
        """Whether it asks any of this."""
        return bool(self.states or self.marked or self.source_ports or self.chance)


class Matching(Conditional):
    """Connections from `source` (not from `unless`) to `target` at `ports`."""

    source: End
    target: End
    ports: Ports = None
    unless: End | None = None


class Rule(Matching):
    """`log` and `leave` are verbs that decide nothing: log notes the packet as `log` says and goes on with the next
    item; leave goes on behind the innermost list in braces, at the top behind the list that is asked (as pass).
    `answer` is how reject answers, None the default of the family."""

    verb: Literal["allow", "deny", "reject", "pass", "log", "leave"]
    reason: str = ""
    log: Log | None = None
    answer: str | None = None


class Within(Matching):
    """A list in a list: its items are asked about what matches its head, in their order, and what none decides goes on
    behind it. `text` is its head."""

    items: tuple[Item, ...]


class Opaque(Statement):
    """A rule of one tool as it is, without its chain; `name` is for messages. `version`: of one IP version alone.
    `hook` where the list has several. What it does is not known to anything that reads programs."""

    name: str
    tool: Literal["iptables", "nft"]
    version: Literal[4, 6] | None = None
    hook: Literal["prerouting", "input", "forward", "output", "postrouting"] | None = None
    rule: str


#: What lists are made of: those of policy, node and forward blocks.
Item = Rule | Within | Opaque


class Flow(Value):
    """Packets from `source` to `target` (None: any) at `ports`; `both_ways`: also those back."""

    source: End | None = None
    target: End | None = None
    ports: Ports = None
    both_ways: bool = False


class Dnat(Conditional):
    """Connections from `source` to `to` (None: this node's own addresses) at `ports` go to `target` instead, at
    `port` (None: the same)."""

    source: End
    to: End | None
    ports: tuple[PortSpec, ...]
    target: End
    port: Port | None


class Snat(Conditional):
    """Connections leave with `address` as their source."""

    flow: Flow
    address: IPv4Address | IPv6Address


class Masquerade(Conditional):
    """Connections leave with the address of the interface that they leave by."""

    flow: Flow


class Redirect(Conditional):
    """Connections go to this node itself, at `port`."""

    flow: Flow
    port: Port


class KeepSource(Conditional):
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


class NatWithin(Matching):
    """A list in a nat block: as `Within`, of connections."""

    items: tuple[NatItem, ...]


def every_item(items: Iterable[Item | NatItem]) -> Iterator[Item | NatItem]:
    """Everything in a list, lists in it in front of what is in them."""
    for item in items:
        yield item
        if isinstance(item, Within | NatWithin):
            yield from every_item(item.items)


class PolicyBlock(Statement):
    """An ordered list: the first rule that decides does. `text` is its head."""

    name: str
    tier: Literal["admin", "baseline"]
    priority: Annotated[int, Field(ge=0, le=1000)]
    rules: tuple[Item, ...]


NatStatement = Dnat | Snat | Masquerade | Redirect | KeepSource
#: Of rules log and leave alone. Mark: of the first packets of connections.
NatItem = NatStatement | Mark | Rule | NatWithin | Opaque
MangleStatement = Mark | Dscp | Ttl | Mss | Opaque
RawStatement = Notrack | DropFrom | DropFlow | Opaque
Expectation = Reaches | Translates


class Program(Value):
    """Everything that the files of a run say, in their order. The lists of `packets` are about every packet, replies
    too, and asked before replies pass; they can only take away."""

    policies: tuple[PolicyBlock, ...] = ()
    node: tuple[Item, ...] = ()
    forward: tuple[Item, ...] = ()
    node_packets: tuple[Item, ...] = ()
    forward_packets: tuple[Item, ...] = ()
    nat: tuple[NatItem, ...] = ()
    mangle: tuple[MangleStatement, ...] = ()
    raw: tuple[RawStatement, ...] = ()
    expectations: tuple[Expectation, ...] = ()


#: Says nothing. Made without validation, which builds all of these models: most runs have no program.
NO_PROGRAM = Program.model_construct()
