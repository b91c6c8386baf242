"""Where rules stand in what `nft list ruleset` prints or `nft -f` takes, whatever else the text has.

`nftables.commands` refuses a text for one thing that it does not know. Here a rule that is not understood is a place
and the reason, and everything that is neither a chain nor a map to verdicts is passed over, to its closing brace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from grammar.nftables_rules import elements, rule
from grammar.nftables_tokens import Tokens
from grammar.nftables_tree import Element, Rule
from grammar.ruletext import Place, Refused
from grammar.source import Source

_FAMILIES = ("ip", "ip6", "inet", "arp", "bridge", "netdev")
_ENDS = ("\n", ";", "}", "")
_OF_CHAINS = ("type", "policy", "comment", "flags", "devices")


class Key(NamedTuple):
    """Of a chain, or of a map (which may have a chain's name)."""

    family: str
    table: str
    name: str


class RulePlace(NamedTuple):
    """`place` has a comment behind the rule, too, up to the end of its line; `alone`: nothing else is on its lines.
    `said` is None for a rule that is not understood, then `why`."""

    place: Place
    said: Rule | None
    alone: bool
    why: str = ""


@dataclass(slots=True)
class ChainPlace:
    """`hook`: packets enter it there; empty for chains that rules lead to. `policies`: each `policy WORD`."""

    hook: str = ""
    policies: list[Place] = field(default_factory=list)
    rules: list[RulePlace] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Blocks:
    """`maps`: elements of maps to verdicts. `odd`: commands of scripts after which places do not tell in which order
    rules are asked."""

    chains: dict[Key, ChainPlace]
    maps: dict[Key, list[Element]]
    odd: list[Place]


def blocks(source: Source) -> Blocks:
    """Raises Refused for what does not begin like commands of nft, or whose braces do not close."""
    reader = _Reader(source)
    reader.read()
    return reader.found


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._tokens = Tokens(source)
        self.found = Blocks({}, {}, [])

    def read(self) -> None:
        tokens = self._tokens
        tokens.lines()
        while tokens.here:
            first = tokens.at
            added = tokens.accept("add", "create")
            match tokens.here:
                case "table":
                    self._table()
                case "rule" | "chain" | "map" | "element" if added:
                    self._added(tokens.take().text, first)
                case "flush" | "delete" | "destroy" if not any(one.rules for one in self.found.chains.values()):
                    tokens.skip()
                case (
                    "flush" | "delete" | "destroy" | "insert" | "replace" | "reset" | "define" | "undefine" | "include"
                ):
                    tokens.skip()
                    self.found.odd.append(tokens.place(first))
                case _ if added:
                    tokens.skip()
                case _:
                    raise tokens.refused("a table or a command of nft is expected")
            tokens.lines()

    def _key(self) -> tuple[str, str]:
        tokens = self._tokens
        family = tokens.take().text if tokens.here in _FAMILIES else "ip"
        return family, tokens.word("the name of a table").plain

    def _added(self, kind: str, first: int) -> None:
        """`add rule inet filter input RULE`; `first`: the command's first token."""
        tokens = self._tokens
        key = Key(*self._key(), tokens.word(f"the name of a {'chain' if kind == 'rule' else kind}").plain)
        match kind:
            case "rule" if tokens.here in ("handle", "index", "position"):
                tokens.skip()
                self.found.odd.append(tokens.place(first))
            case "rule":
                self.found.chains.setdefault(key, ChainPlace()).rules.append(self._rule())
            case "chain":
                chain = self.found.chains.setdefault(key, ChainPlace())
                if tokens.here == "{":
                    self._chain(chain)
            case "map":
                self._map(self.found.maps.setdefault(key, []))
            case "element" if key in self.found.maps:
                self._elements(self.found.maps[key])
            case _:
                tokens.skip()

    def _table(self) -> None:
        tokens = self._tokens
        tokens.expect("table")
        family, table = self._key()
        if not tokens.accept("{"):
            return
        tokens.lines()
        while not tokens.accept("}"):
            if tokens.here == "chain":
                tokens.take()
                name = tokens.word("the name of a chain").plain
                self._chain(self.found.chains.setdefault(Key(family, table, name), ChainPlace()))
            elif tokens.here == "map":
                tokens.take()
                name = tokens.word("the name of a map").plain
                self._map(self.found.maps.setdefault(Key(family, table, name), []))
            elif not tokens.here:
                raise tokens.refused("} is expected")
            else:
                tokens.skip()
            tokens.lines()

    def _chain(self, chain: ChainPlace) -> None:
        tokens = self._tokens
        tokens.expect("{")
        tokens.lines()
        while not tokens.accept("}"):
            if tokens.here == "type" and tokens.peek(2) == "hook":
                chain.hook = tokens.peek(3)
            if tokens.here in _OF_CHAINS:
                first, said = tokens.at, tokens.here
                tokens.skip()
                if said == "policy":
                    chain.policies.append(tokens.place(first))
            elif not tokens.here:
                raise tokens.refused("} is expected")
            else:
                chain.rules.append(self._rule())
            tokens.lines()

    def _map(self, found: list[Element]) -> None:
        tokens = self._tokens
        tokens.expect("{")
        tokens.lines()
        while not tokens.accept("}"):
            if tokens.here == "elements":
                tokens.take()
                tokens.expect("=")
                self._elements(found)
            elif not tokens.here:
                raise tokens.refused("} is expected")
            else:
                tokens.skip()
            tokens.lines()

    def _elements(self, found: list[Element]) -> None:
        """Of a map to something else than verdicts, one that leads nobody knows where."""
        tokens = self._tokens
        first = tokens.at
        try:
            found += elements(tokens)
        except Refused:
            tokens.at = first
            tokens.skip()
            found.append(Element((), None))

    def _rule(self) -> RulePlace:
        tokens = self._tokens
        first, why = tokens.at, ""
        said = None
        try:
            said = rule(tokens)
            if tokens.here not in _ENDS:
                raise tokens.refused("the end of the line is expected")
        except Refused as error:
            said, why, tokens.at = None, error.flaw.message, first
            tokens.skip()
        place = tokens.place(first)
        whole = self._source.text
        end = whole.find("\n", place.end)
        end = len(whole) if end < 0 else end
        behind = whole[place.end : end]
        if behind.strip().startswith("#"):
            place = place._replace(end=place.end + len(behind.rstrip()))
        alone = not whole[whole.rfind("\n", 0, place.start) + 1 : place.start].strip()
        return RulePlace(place, said, alone and not whole[place.end : end].strip(), why)
