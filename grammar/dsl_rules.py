"""What lists of rules are made of: rules, their options and conditions, lists in lists, rules of one tool."""

from __future__ import annotations

from dataclasses import dataclass

from grammar.dsl_parts import Block, End, Name, Node, Number, Port, Ports, Text, Word


@dataclass(frozen=True, slots=True)
class Rate(Node):
    """`count` per `unit`; `burst` more at once."""

    count: Number
    unit: Word
    burst: Number | None


@dataclass(frozen=True, slots=True)
class Reason(Node):
    text: Text


@dataclass(frozen=True, slots=True)
class Log(Node):
    prefix: Text | None


@dataclass(frozen=True, slots=True)
class Limit(Node):
    """How many a log notes at most."""

    rate: Rate


@dataclass(frozen=True, slots=True)
class Unless(Node):
    """`unless from`: not for these sources."""

    source: End


@dataclass(frozen=True, slots=True)
class With(Node):
    """How `reject` answers."""

    answer: Name


@dataclass(frozen=True, slots=True)
class ToKernel(Node):
    """`to kernel`: where a log notes."""


@dataclass(frozen=True, slots=True)
class State(Node):
    """Of a connection: any of these."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Marked(Node):
    """The bits of `mask` (None: all) of the packet's mark."""

    mark: Number
    mask: Number | None


@dataclass(frozen=True, slots=True)
class SourcePorts(Node):
    """`source port`: any of these numbers and ranges."""

    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Chance(Node):
    """`one`/`of`, where `one` is 1."""

    one: Number
    of: Number


Condition = Unless | State | Marked | SourcePorts | Chance
Option = Reason | Log | ToKernel | Limit | With | Condition


@dataclass(frozen=True, slots=True)
class Rule(Node):
    """`verb` is allow, deny, reject, pass, log or leave. Options are as written, each kind at most once."""

    verb: Word
    source: End
    target: End
    ports: Ports | None
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Within(Block):
    """A list in a list, about what matches its head. Of a nat block its statements are those of nat."""

    source: End
    target: End
    ports: Ports | None
    options: tuple[Condition, ...]
    statements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Opaque(Node):
    """A rule of one tool (iptables or nft) as it is; of one IP version, at one hook, where these are said."""

    name: Name
    tool: Word
    version: Word | None
    hook: Word | None
    rule: Word
