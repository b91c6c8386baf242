"""The policy language as trees: one class per kind of node, each with the offsets where it begins and ends.

Trees hold what was written, as it was written: numbers and addresses are texts that passed a check, names are not
resolved. Two trees are equal when they say the same, wherever they stand. Words, ends and ports are of `dsl_parts`,
what lists of rules have of `dsl_rules`; both are to be had from here, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from grammar.dsl_parts import Address as Address
from grammar.dsl_parts import Anyone as Anyone
from grammar.dsl_parts import Block as Block
from grammar.dsl_parts import Braced as Braced
from grammar.dsl_parts import End as End
from grammar.dsl_parts import Flow as Flow
from grammar.dsl_parts import Group as Group
from grammar.dsl_parts import InNamespace as InNamespace
from grammar.dsl_parts import InNamespaces as InNamespaces
from grammar.dsl_parts import Interfaces as Interfaces
from grammar.dsl_parts import Label as Label
from grammar.dsl_parts import Name as Name
from grammar.dsl_parts import Node as Node
from grammar.dsl_parts import Nodes as Nodes
from grammar.dsl_parts import Number as Number
from grammar.dsl_parts import Pods as Pods
from grammar.dsl_parts import Port as Port
from grammar.dsl_parts import Ports as Ports
from grammar.dsl_parts import PortSet as PortSet
from grammar.dsl_parts import Prefix as Prefix
from grammar.dsl_parts import Range as Range
from grammar.dsl_parts import Relation as Relation
from grammar.dsl_parts import Selector as Selector
from grammar.dsl_parts import Term as Term
from grammar.dsl_parts import Text as Text
from grammar.dsl_parts import ThisNode as ThisNode
from grammar.dsl_parts import Word as Word
from grammar.dsl_rules import Chance as Chance
from grammar.dsl_rules import Condition as Condition
from grammar.dsl_rules import Limit as Limit
from grammar.dsl_rules import Log as Log
from grammar.dsl_rules import Marked as Marked
from grammar.dsl_rules import Opaque as Opaque
from grammar.dsl_rules import Option as Option
from grammar.dsl_rules import Rate as Rate
from grammar.dsl_rules import Reason as Reason
from grammar.dsl_rules import Rule as Rule
from grammar.dsl_rules import SourcePorts as SourcePorts
from grammar.dsl_rules import State as State
from grammar.dsl_rules import ToKernel as ToKernel
from grammar.dsl_rules import Unless as Unless
from grammar.dsl_rules import With as With
from grammar.dsl_rules import Within as Within

# ---- Definitions


@dataclass(frozen=True, slots=True)
class Include(Node):
    path: Text


@dataclass(frozen=True, slots=True)
class Without(Node):
    """A prefix less some of its addresses."""

    prefix: Prefix
    cuts: tuple[Address | Range | Prefix, ...]


Entry = Name | Address | Range | Prefix | Without


@dataclass(frozen=True, slots=True)
class SetDefinition(Braced):
    name: Name
    entries: tuple[Entry, ...]
    may_be_empty: bool


@dataclass(frozen=True, slots=True)
class ServiceDefinition(Node):
    name: Name
    ports: Ports


@dataclass(frozen=True, slots=True)
class ZoneDefinition(Node):
    name: Name
    meaning: End
    may_be_empty: bool


# ---- Statements of the other tables


@dataclass(frozen=True, slots=True)
class Dnat(Node):
    """Connections from `source` (to `to`, else to this node) to `ports` go to `target`, there to `port`."""

    source: End
    to: End | None
    ports: Ports
    target: End
    port: Number | None
    options: tuple[Marked | SourcePorts | Chance, ...] = ()


@dataclass(frozen=True, slots=True)
class Snat(Node):
    flow: Flow
    address: Address
    options: tuple[Marked | SourcePorts | Chance, ...] = ()


@dataclass(frozen=True, slots=True)
class Masquerade(Node):
    flow: Flow
    options: tuple[Marked | SourcePorts | Chance, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect(Node):
    flow: Flow
    port: Number
    options: tuple[Marked | SourcePorts | Chance, ...] = ()


@dataclass(frozen=True, slots=True)
class KeepSource(Node):
    """Exempt from snat and masquerade."""

    flow: Flow
    options: tuple[Marked | SourcePorts | Chance, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark(Node):
    flow: Flow
    mark: Number
    mask: Number | None


@dataclass(frozen=True, slots=True)
class Dscp(Node):
    flow: Flow
    to: Name | Number


@dataclass(frozen=True, slots=True)
class Ttl(Node):
    """`change` is dec, inc or set."""

    change: Word
    amount: Number
    flow: Flow


@dataclass(frozen=True, slots=True)
class Mss(Node):
    """`size` is None for `clamp pmtu`."""

    size: Number | None
    flow: Flow


@dataclass(frozen=True, slots=True)
class Notrack(Node):
    flow: Flow
    between: End | None


@dataclass(frozen=True, slots=True)
class DropFrom(Node):
    """`spoofed`: sources that claim to be `source` and come from elsewhere."""

    spoofed: bool
    source: End


@dataclass(frozen=True, slots=True)
class Drop(Node):
    flow: Flow


# ---- Expectations


@dataclass(frozen=True, slots=True)
class Reach(Node):
    """`only`: and nobody else."""

    only: bool
    source: End
    can: bool
    target: End
    ports: Ports | None


@dataclass(frozen=True, slots=True)
class Translates(Node):
    source: End
    ports: Ports
    target: End
    port: Number


# ---- Blocks

ListItem = Rule | Within | Opaque
NatStatement = Dnat | Snat | Masquerade | Redirect | KeepSource
NatItem = NatStatement | Mark | Rule | Within | Opaque


@dataclass(frozen=True, slots=True)
class PolicyBlock(Block):
    name: Name
    tier: Word | None
    priority: Number | None
    statements: tuple[ListItem, ...]


@dataclass(frozen=True, slots=True)
class NodeBlock(Block):
    """`packets`: about every packet, not only the first ones of connections."""

    packets: bool
    statements: tuple[ListItem, ...]


@dataclass(frozen=True, slots=True)
class ForwardBlock(Block):
    """`packets`: as of `NodeBlock`."""

    packets: bool
    statements: tuple[ListItem, ...]


@dataclass(frozen=True, slots=True)
class NatBlock(Block):
    statements: tuple[NatItem, ...]


@dataclass(frozen=True, slots=True)
class MangleBlock(Block):
    statements: tuple[Mark | Dscp | Ttl | Mss | Opaque, ...]


@dataclass(frozen=True, slots=True)
class RawBlock(Block):
    statements: tuple[Notrack | DropFrom | Drop | Opaque, ...]


@dataclass(frozen=True, slots=True)
class ExpectBlock(Block):
    statements: tuple[Reach | Translates, ...]


Definition = SetDefinition | ServiceDefinition | ZoneDefinition
AnyBlock = PolicyBlock | NodeBlock | ForwardBlock | NatBlock | MangleBlock | RawBlock | ExpectBlock
Item = Include | Definition | AnyBlock


@dataclass(frozen=True, slots=True)
class File(Node):
    items: tuple[Item, ...]
