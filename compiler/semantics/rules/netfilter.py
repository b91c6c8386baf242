"""What texts of rules say, in one form for iptables, ipset and nftables. Standard library only.

A *ruleset* has tables; a *base chain* hangs on a hook; other chains are jumped to. A rule is a sequence of
conditions and statements, taken one after the other: the first condition that does not hold ends the rule. Every
number is a non-negative int, and what a field may hold is the closed range from 0 to `Field.top`.

| field | numbers |
|---|---|
| FAMILY | 4 or 6 |
| SOURCE, DESTINATION | the address; a rule that asks one asks FAMILY first, so 32 or 128 bits are meant |
| PROTOCOL | IANA's; of IPv6 the one behind the extension headers |
| SOURCE_PORT, DESTINATION_PORT | asked only where the rule, or the element, has asked for a PROTOCOL that has ports |
| ICMP_TYPE, ICMP_CODE | asked only where the rule has asked for PROTOCOL 1 or 58 |
| INPUT, OUTPUT | the interface's name, 16 bytes big-endian filled up with zeros; 0 where the hook has none |
| STATE | `State` |
| MARK | 32 bits |
| HOPS | TTL or hop limit; a rule that asks it asks FAMILY first |
| SOURCE_TYPE, DESTINATION_TYPE | `AddressType` |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

from grammar.ruletext import Place

#: Protocols whose header begins with the two ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
WITH_PORTS = frozenset({6, 17, 33, 132, 136})


class Field(Enum):
    """What a condition asks of a packet; see the module's table."""

    FAMILY = "family"
    SOURCE = "source address"
    DESTINATION = "destination address"
    PROTOCOL = "protocol"
    SOURCE_PORT = "source port"
    DESTINATION_PORT = "destination port"
    ICMP_TYPE = "ICMP type"
    ICMP_CODE = "ICMP code"
    INPUT = "input interface"
    OUTPUT = "output interface"
    STATE = "conntrack state"
    MARK = "mark"
    HOPS = "hop limit"
    SOURCE_TYPE = "source address type"
    DESTINATION_TYPE = "destination address type"

    @property
    def top(self) -> int:
        """The largest number that the field may hold; of addresses, the largest of IPv6."""
        return _TOP[self]


_TOP = {
    Field.FAMILY: 15,
    Field.SOURCE: (1 << 128) - 1,
    Field.DESTINATION: (1 << 128) - 1,
    Field.PROTOCOL: 255,
    Field.SOURCE_PORT: 65535,
    Field.DESTINATION_PORT: 65535,
    Field.ICMP_TYPE: 255,
    Field.ICMP_CODE: 255,
    Field.INPUT: (1 << 128) - 1,
    Field.OUTPUT: (1 << 128) - 1,
    Field.STATE: 4,
    Field.MARK: (1 << 32) - 1,
    Field.HOPS: 255,
    Field.SOURCE_TYPE: 11,
    Field.DESTINATION_TYPE: 11,
}


class State(IntEnum):
    """Conntrack's state of a packet, exactly one (include/uapi/linux/netfilter/nf_conntrack_common.h)."""

    NEW = 0
    ESTABLISHED = 1
    RELATED = 2
    INVALID = 3
    UNTRACKED = 4


class AddressType(IntEnum):
    """How the routing table knows an address: RTN_* of include/uapi/linux/rtnetlink.h."""

    UNSPEC = 0
    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9
    NAT = 10
    XRESOLVE = 11


#: First and last number, inclusive.
Interval = tuple[int, int]
#: Sorted, disjoint, not adjacent; the empty tuple holds nothing.
Intervals = tuple[Interval, ...]


# Conditions


@dataclass(frozen=True, slots=True)
class In:
    """The field's number lies in one of the intervals. `mask`: those bits of it alone; None when the intervals can
    say it without (masks of prefixes). Negation is written out: the intervals are the complement then."""

    field: Field
    intervals: Intervals
    mask: int | None = None


class Key(NamedTuple):
    """One part of what a set is asked for: the field's number, `& mask` when there is one."""

    field: Field
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class InSet:
    """The keys together are an element of the table's set; `negated`: are not."""

    keys: tuple[Key, ...]
    set: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Opaque:
    """A match that is not modelled but depends on nothing but the packet: the same text has the same answer for a
    packet wherever it stands. `negated`: the answer turned round."""

    text: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Barrier:
    """A match that is not modelled and depends on what went before or on chance: limit, recent, statistic, quota,
    hashlimit, connlimit. Each place may answer either way for any packet."""

    text: str


Condition = In | InSet | Opaque | Barrier


# Statements


@dataclass(frozen=True, slots=True)
class Accept:
    """Ends this base chain; those of later priorities and hooks still see the packet."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The end of the packet. `rejected`: the sender is told, by an answer of this `kind`: "tcp reset", or the ICMP
    message by type and code, like "icmp 3/3"."""

    rejected: bool = False
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Return:
    """Goes on behind the jump that led here; in a base chain, its policy."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Goes on with the next rule."""


@dataclass(frozen=True, slots=True)
class Jump:
    chain: str


@dataclass(frozen=True, slots=True)
class Goto:
    """Like Jump, but the chain's end is the end of this one."""

    chain: str


Verdict = Accept | Drop | Return | Continue | Jump | Goto


@dataclass(frozen=True, slots=True)
class Lookup:
    """A verdict map: the verdict of the keys' element; without one the rule ends, as if a condition did not hold."""

    keys: tuple[Key, ...]
    set: str


@dataclass(frozen=True, slots=True)
class SetMark:
    """mark = (mark & keep) ^ flip."""

    keep: int
    flip: int


@dataclass(frozen=True, slots=True)
class NoTrack:
    """Conntrack leaves the packet alone: its STATE is UNTRACKED from here on."""


@dataclass(frozen=True, slots=True)
class SetHops:
    """HOPS = HOPS + add, at least `low` and at most `high`."""

    add: int = 0
    low: int = 0
    high: int = 255


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Changes a part of the header or of what travels with the packet that no field is for: `what` names the part,
    `text` says how. Opaque matches may answer otherwise behind it."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Tells somebody of the packet, or sends a copy; the packet goes on as it is."""

    text: str


class End(Enum):
    """Which end of a packet is translated."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Translate:
    """NAT, in a base chain of kind `nat`, which sees NEW packets only: gives the end an address and a port out of
    these ranges (None: as it is) and accepts. `own`: the address of the interface (MASQUERADE: the outgoing one;
    REDIRECT: the incoming one, in OUTPUT loopback's). `how`: what else has a say in a choice among several."""

    end: End
    addresses: Interval | None = None
    ports: Interval | None = None
    own: bool = False
    how: str = ""


@dataclass(frozen=True, slots=True)
class Unmodelled:
    """A statement whose effect is not modelled; a packet that comes here has no answer."""

    text: str


Change = SetMark | NoTrack | SetHops | Rewrite | Notice
Statement = Accept | Drop | Return | Continue | Jump | Goto | Lookup | Change | Translate | Unmodelled


# What holds them


class Element(NamedTuple):
    """A box of keys: one interval for each part. `member` False takes it out of the set (ipset's nomatch);
    `verdict` is there in verdict maps."""

    box: tuple[Interval, ...]
    place: Place
    verdict: Verdict | None = None
    member: bool = True


@dataclass(frozen=True, slots=True)
class Set:
    """A set or verdict map. Of the elements that hold a key the first one decides: nets come longest first."""

    name: str
    elements: tuple[Element, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Rule:
    """`parts` in the order in which the kernel takes them; `place` is the rule's text."""

    parts: tuple[Condition | Statement, ...]
    place: Place


class Hook(Enum):
    """The value is nft's word."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"


#: Conntrack looks at packets in PREROUTING and OUTPUT at this priority; base chains before it see no state.
CONNTRACK = -200


#: All nat chains of a hook run here, where conntrack translates, whatever their own priority: that only orders them
#: among each other (nf_nat_register_fn; kernels from 4.18).
TRANSLATES = {Hook.PREROUTING: -100, Hook.OUTPUT: -100, Hook.INPUT: 100, Hook.POSTROUTING: 100}


@dataclass(frozen=True, slots=True)
class Base:
    """How a base chain hangs on its hook: lower priorities come first; `accepts` is its policy; `nat` chains see the
    first packets of connections only."""

    hook: Hook
    priority: int
    accepts: bool = True
    nat: bool = False

    @property
    def place(self) -> tuple[int, int]:
        """Chains of a hook run in this order."""
        return (TRANSLATES.get(self.hook, self.priority) if self.nat else self.priority), self.priority


@dataclass(frozen=True, slots=True)
class Chain:
    """`base` is None for chains that are only jumped to."""

    name: str
    rules: tuple[Rule, ...]
    base: Base | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """`families` are those whose packets it sees, of 4 and 6. What jumps, lookups and InSet name is in here."""

    name: str
    families: frozenset[int]
    chains: Mapping[str, Chain]
    sets: Mapping[str, Set]


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Tables in the order of their texts, which is taken for the order in which they were loaded. Of base chains of
    equal hook and priority the one that was loaded last runs first (nf_hook_entries_grow)."""

    tables: tuple[Table, ...]

    def at(self, hook: Hook, family: int) -> tuple[tuple[Table, Chain], ...]:
        """The base chains that a packet of this family passes at the hook, in their order."""
        found = [
            (chain.base.place, table, chain)
            for table in reversed(self.tables)
            if family in table.families
            for chain in reversed(list(table.chains.values()))
            if chain.base is not None and chain.base.hook is hook
        ]
        found.sort(key=lambda entry: entry[0])
        return tuple((table, chain) for _, table, chain in found)
