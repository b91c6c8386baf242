"""A ruleset as data: chains of rules, sets, verdict maps. Back ends print it, passes rewrite it.

Glossary: netfilter's words. A *base chain* hangs on a hook of a table; other chains are jumped to. A *lookup* is a
rule that asks a verdict map and falls through when the map has no element. Every named thing carries notes for
the reader of the script; every rule carries the origins it enforces and a weight.

Within a hook the tables come in the order raw, mangle, nat (destinations), filter, nat (sources); a drop is final,
anything else goes on to the next table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from compiler.ir.effects import Effect
from compiler.ir.match import Field, Match
from compiler.ir.nat import Translation
from compiler.net import Family, Prefix
from compiler.policy import Origin


class Table(Enum):
    """The four tables of iptables; in nftables they are priorities of base chains. In the order of loading."""

    RAW = "raw"
    MANGLE = "mangle"
    NAT = "nat"
    FILTER = "filter"


class Hook(Enum):
    """The five hooks; values are nft's, upper-cased iptables'."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"


@dataclass(frozen=True, slots=True)
class Accept:
    """Leave our base chain without objection: other tables and rules of the hook still see the packet."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Discard the packet, silently."""


class Answer(Enum):
    """What the sender of a rejected packet is told. Values are of the policy language; of one family or both."""

    PORT_UNREACHABLE = "icmp-port-unreachable"
    HOST_UNREACHABLE = "icmp-host-unreachable"
    NET_UNREACHABLE = "icmp-net-unreachable"  # ICMPv6: no route to destination
    ADMIN_PROHIBITED = "icmp-admin-prohibited"
    TCP_RESET = "tcp-reset"
    PROTO_UNREACHABLE = "icmp-proto-unreachable"
    NET_PROHIBITED = "icmp-net-prohibited"
    HOST_PROHIBITED = "icmp-host-prohibited"
    POLICY_FAIL = "icmp-policy-fail"
    REJECT_ROUTE = "icmp-reject-route"

    @property
    def family(self) -> Family | None:
        """The one family that knows it; None for both."""
        if self in (Answer.PROTO_UNREACHABLE, Answer.NET_PROHIBITED, Answer.HOST_PROHIBITED):
            return Family.IPV4
        return Family.IPV6 if self in (Answer.POLICY_FAIL, Answer.REJECT_ROUTE) else None


@dataclass(frozen=True, slots=True)
class Reject:
    """Discard the packet and tell the sender, in filter. A TCP reset needs a rule that asks for TCP."""

    answer: Answer = Answer.PORT_UNREACHABLE


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on with the next rule: of rules that have effects alone."""


@dataclass(frozen=True, slots=True)
class Return:
    """Go back to where the chain was jumped from."""


@dataclass(frozen=True, slots=True)
class Jump:
    chain: str


@dataclass(frozen=True, slots=True)
class Goto:
    """Like Jump, but the target returns to our own caller."""

    chain: str


Verdict = Accept | Drop | Reject | Return | Continue | Jump | Goto | Translation


@dataclass(frozen=True, slots=True)
class Rule:
    """All matches hold -> effects, in their order, and the verdict. `family` None applies to both; `weight`: packets
    that matched, None where nobody counted. `note` is for the reader of the script, who sees it once above a run of
    rules that share it. Matches are asked before the first effect."""

    matches: tuple[Match, ...]
    verdict: Verdict
    family: Family | None = None
    origins: tuple[Origin, ...] = ()
    weight: float | None = None
    note: str = ""
    effects: tuple[Effect, ...] = ()

    def asking(self, matches: tuple[Match, ...], family: Family | None) -> Rule:
        """The same rule with these matches, for that family: a `replace` for those who make very many."""
        return Rule(matches, self.verdict, family, self.origins, self.weight, self.note, self.effects)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Find `field` (SOURCE or DESTINATION) in the prefix map `map`: the longest prefix decides. No element: go on
    with the next rule."""

    field: Field
    map: str
    family: Family
    origins: tuple[Origin, ...] = ()
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """`hook` is None for all but base chains. Chains without family hold rules for both. A base chain without rules
    takes away what an earlier version had there. Jumps stay within a table."""

    name: str
    rules: tuple[Rule | Lookup, ...]
    hook: Hook | None = None
    table: Table = Table.FILTER
    family: Family | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Set:
    """A set of tuples of integers, one per field of `key`, in the order of `key`, sorted and distinct.
    `family` is None when the key has no address. A set `by_hand` is declared without elements and filled by someone
    else; loading the script again leaves it as it is."""

    name: str
    family: Family | None
    key: tuple[Field, ...]
    elements: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...] = ()
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class PrefixMap:
    """Address prefixes to verdicts; the longest prefix that holds the address wins. Sorted, distinct. `subjects`: they
    are pods of the node, each with what its packets have to pass, and whatever the map does not know goes to the chain
    that the rule behind its lookup leads to."""

    name: str
    family: Family
    elements: tuple[tuple[Prefix, Verdict], ...]
    notes: tuple[str, ...] = ()
    subjects: bool = False


@dataclass(frozen=True, slots=True)
class PrefixSet:
    """Address prefixes of which the longest decides: True is a member, False is not (ipset's nomatch)."""

    name: str
    family: Family
    elements: tuple[tuple[Prefix, bool], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Everything of one node. Order of chains, sets and maps is the order in the script; names are unique. `counted`:
    rules count packets, also where a tool counts only when it is told to."""

    chains: tuple[Chain, ...]
    sets: tuple[Set | PrefixSet, ...] = ()
    maps: tuple[PrefixMap, ...] = ()
    notes: tuple[str, ...] = ()
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    counted: bool = False

    def chain(self, name: str) -> Chain:
        """The chain of that name. KeyError when there is none."""
        return {c.name: c for c in self.chains}[name]
