"""Trees of nftables texts: what stands there, with its place, before anybody asks what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from grammar.ruletext import Place


class Atom(NamedTuple):
    """A word, with the offset where it begins. A string keeps its quotes."""

    text: str
    start: int

    @property
    def plain(self) -> str:
        """Without quotes."""
        return self.text.strip('"')


class Verdict(NamedTuple):
    """`kind` is accept, drop, return, continue, jump or goto; the last two have a chain."""

    kind: str
    chain: str
    start: int


class Element(NamedTuple):
    """`10.0.0.1 . 80-90 : drop`: one atom for each part; a range or prefix is one atom."""

    key: tuple[Atom, ...]
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Selector:
    """What a rule asks of a packet, in nft's words as `list ruleset` prints them: `ip saddr`, `iifname`. `mask` is
    what it is `&`-ed with."""

    name: str
    place: Place
    mask: Atom | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """`@name`"""

    name: str


@dataclass(frozen=True, slots=True)
class Anonymous:
    """`{ ... }`"""

    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """`80`, `1-5 . tcp`, `established,related`: alternatives of one atom for each selector. `more`: operators follow
    (`syn / syn,ack`) that are kept in the rule's text only."""

    alternatives: tuple[tuple[Atom, ...], ...]
    more: bool


Right = Named | Anonymous | Values


@dataclass(frozen=True, slots=True)
class Match:
    """`operator` is empty, ==, !=, <, >, <= or >=."""

    left: tuple[Selector, ...]
    operator: str
    right: Right
    place: Place


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """`ip saddr vmap @name`"""

    left: tuple[Selector, ...]
    right: Named | Anonymous
    place: Place


@dataclass(frozen=True, slots=True)
class Statement:
    """Any other statement, as its words."""

    words: tuple[Atom, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Unread:
    """Words that are not understood."""

    place: Place


Part = Match | VerdictMap | Verdict | Statement | Unread


@dataclass(frozen=True, slots=True)
class Rule:
    parts: tuple[Part, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class AddTable:
    family: Atom
    name: Atom


@dataclass(frozen=True, slots=True)
class AddChain:
    """`kind`, `hook`, `priority` and `policy` are empty for chains that are only jumped to; `policy` may be anyhow."""

    family: Atom
    table: Atom
    name: Atom
    kind: str
    hook: str
    priority: tuple[str, ...]
    policy: str
    place: Place


@dataclass(frozen=True, slots=True)
class AddRule:
    """`first`: in front of the chain's other rules (insert)."""

    family: Atom
    table: Atom
    chain: Atom
    rule: Rule
    first: bool = False


@dataclass(frozen=True, slots=True)
class AddSet:
    """`types`: one word for each part of the key, or with `typeof` the selectors' names. `verdicts`: it is a verdict
    map."""

    family: Atom
    table: Atom
    name: Atom
    types: tuple[Atom, ...]
    verdicts: bool
    place: Place


@dataclass(frozen=True, slots=True)
class AddElements:
    family: Atom
    table: Atom
    name: Atom
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Flush:
    """`flush ruleset` (no table), `flush table`: all rules of its chains, `flush chain`."""

    family: Atom | None
    table: Atom | None
    chain: Atom | None


Command = AddTable | AddChain | AddRule | AddSet | AddElements | Flush
