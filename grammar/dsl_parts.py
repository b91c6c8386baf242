"""What statements of the policy language are made of: words, ends of connections, ports. `dsl_tree` has the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Finding(NamedTuple):
    """What is wrong with the characters from `begin` up to but not including `end`; `code` names the kind of flaw.
    A text may have very many: lines and excerpts are made for those alone that are told."""

    begin: int
    end: int
    message: str
    code: str


@dataclass(frozen=True, slots=True)
class Node:
    """The characters from `begin` up to but not including `end` of a source."""

    begin: int = field(compare=False, repr=False)
    end: int = field(compare=False, repr=False)


# ---- Words


@dataclass(frozen=True, slots=True)
class Word(Node):
    """Anything that is one word: a keyword that makes a difference, a label's key or value, an interface."""

    text: str

    @property
    def value(self) -> str:
        """What the word means: a text in quotes without them, its escapes resolved."""
        if not self.text.startswith('"'):
            return self.text
        return self.text[1:-1].replace('\\"', '"').replace("\\\\", "\\") if "\\" in self.text else self.text[1:-1]


@dataclass(frozen=True, slots=True)
class Name(Word):
    """The name of a set, service, zone, policy, protocol, port or class: what, is known by its place and by what
    is defined."""


@dataclass(frozen=True, slots=True)
class Text(Word):
    """A text, in its quotes."""


@dataclass(frozen=True, slots=True)
class Number(Word):
    """A number in decimal or, where bits are meant, in hexadecimal."""

    @property
    def number(self) -> int:
        return int(self.text, 16 if self.text[:2] in ("0x", "0X") else 10)


@dataclass(frozen=True, slots=True)
class Address(Word):
    """An IPv4 or IPv6 address."""


@dataclass(frozen=True, slots=True)
class Prefix(Word):
    """`ADDRESS/LENGTH`, no bit set behind the length."""


@dataclass(frozen=True, slots=True)
class Range(Node):
    """All addresses from `low` to `high`, both included; of one family."""

    low: Address
    high: Address


# ---- Ends of connections


class Relation(Enum):
    """What a label requires of a key; the value is how it is written."""

    EXISTS = ""
    ABSENT = "!"
    EQUAL = "="
    UNEQUAL = "!="
    AMONG = "in"
    NOT_AMONG = "notin"


@dataclass(frozen=True, slots=True)
class Label(Node):
    """A requirement on a label. `values` are none for EXISTS and ABSENT, one for EQUAL and UNEQUAL."""

    key: Word
    relation: Relation
    values: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class InNamespace(Node):
    """`namespace: NAME`"""

    name: Word


@dataclass(frozen=True, slots=True)
class InNamespaces(Node):
    """`namespace: (LABEL, ...)`: namespaces by their labels."""

    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Selector(Node):
    """All parts are required."""

    parts: tuple[Label | InNamespace | InNamespaces, ...]


@dataclass(frozen=True, slots=True)
class Pods(Node):
    selector: Selector | None


@dataclass(frozen=True, slots=True)
class Nodes(Node):
    selector: Selector | None


@dataclass(frozen=True, slots=True)
class Anyone(Node):
    """`any`"""


@dataclass(frozen=True, slots=True)
class ThisNode(Node):
    """`self`"""


@dataclass(frozen=True, slots=True)
class Interfaces(Node):
    """What comes in or goes out by one of these; a name may end in `*` for any rest."""

    names: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Group(Node):
    """Any of these ends."""

    ends: tuple[End, ...]


Term = Name | Address | Prefix | Range | Group | Interfaces | Pods | Nodes | Anyone | ThisNode


@dataclass(frozen=True, slots=True)
class End(Node):
    """All `terms` at once, less `without`."""

    terms: tuple[Term, ...]
    without: Term | None


# ---- Ports


@dataclass(frozen=True, slots=True)
class Port(Node):
    """A number, an inclusive range, or a name: of a container's port or of an ICMP type."""

    low: Number | Name
    high: Number | None


@dataclass(frozen=True, slots=True)
class PortSet(Node):
    """Ports, types or (for `proto`) numbers of a protocol. `protocol` is None for bare numbers: what the statement
    implies."""

    protocol: Name | None
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Ports(Node):
    """Any of these. A Name is a service or a protocol with all of its ports."""

    sets: tuple[PortSet | Name, ...]


@dataclass(frozen=True, slots=True)
class Flow(Node):
    """What a statement of nat, mangle or raw is about. `arrow` is None where there is no target, "->" or "<->". A
    `source` that is a name alone, without target and ports, may be a service."""

    source: End | None
    arrow: str | None
    target: End | None
    ports: Ports | None


# ---- Braces


@dataclass(frozen=True, slots=True)
class Braced(Node):
    """What has braces: `brace` is the offset of the opening one, `close` that of the closing one."""

    brace: int = field(compare=False, repr=False)
    close: int = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Block(Braced):
    """Statements in braces, in their order."""
