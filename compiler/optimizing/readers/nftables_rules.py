"""What `nft list ruleset` prints -> its chains."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from compiler.optimizing.chains import Asked, Chain, Listing, Policy, Rule
from compiler.optimizing.readers.nftables_asked import Maps, asked, is_named
from compiler.ordering.dimensions import EVERYTHING
from compiler.ordering.prices import Tool
from grammar import nftables_tree
from grammar.nftables_blocks import Blocks, ChainPlace, Key, RulePlace, blocks
from grammar.nftables_tree import Element, Match, Statement, VerdictMap
from grammar.ruletext import Place
from grammar.source import Source

#: Families whose rules look at packets as boxes do.
_FAMILIES = ("ip", "ip6", "inet")
#: A chain's name may be one of these.
_WORD = re.compile(r"[\w./-]+")
_COUNTER = re.compile(r"counter\s+packets\s+([0-9]{1,20})\s+bytes\s+([0-9]{1,20})")


def listing(source: Source) -> Listing:
    """Raises Refused for what is no text of nftables."""
    return Listing(source, Tool.NFTABLES, tuple(_chains(blocks(source))))


def _chains(found: Blocks) -> Iterator[Chain]:
    numbers: dict[tuple[str, str], int] = {}
    own: dict[tuple[str, str], set[str]] = {key[:2]: set() for key in found.chains}
    maps: dict[tuple[str, str], dict[str, list[Element]]] = {key[:2]: {} for key in found.chains}
    for key, chain in found.chains.items():
        if not chain.hook:
            own[key[:2]].add(key.name)
    for key, elements in found.maps.items():
        maps.setdefault(key[:2], {})[key.name] = elements
    for key, chain in found.chains.items():
        table = key[:2]
        rules = tuple(rule(one, key.family, own[table], maps[table]) for one in chain.rules)
        slots = tuple(one.place for one in chain.rules)
        fixed = _fixed(key, chain, found)
        number = numbers.setdefault(table, len(numbers))
        policy = _policy(*chain.policies)
        yield Chain(number, " ".join(table), key.name, not chain.hook, rules, slots, fixed, policy)


def _policy(*places: Place) -> Policy | None:
    """Without counters: nft has none for it."""
    if len(places) != 1:
        return None
    return Policy(places[0], places[0].text, places[0].text.split()[-1])


def _fixed(key: Key, chain: ChainPlace, found: Blocks) -> str:
    if key.family not in _FAMILIES:
        return f"what the family {key.family} asks is not understood"
    if found.odd:
        return f"rules are changed on line {found.odd[0].span.line}"
    if any("#" in one.place.text for one in chain.rules) and not all(one.alone for one in chain.rules):
        return "comments stand behind several rules on a line"
    return ""


def rule(one: RulePlace, family: str, own: Collection[str], maps: Maps) -> Rule:
    """A rule of a table of the family, with its chains that rules lead to and its maps to verdicts."""
    text = one.place.text
    if one.said is None:
        packets, octets = _counters(text)
        asks = Asked(
            EVERYTHING, (), to=tuple(name for name in sorted(own) if name in _WORD.findall(text)), barrier=True
        )
        return Rule(one.place, text, None, asks, "counter" in text.split(), packets, octets)
    statements = [part for part in one.said.parts if isinstance(part, Statement)]
    counters = [part.place.text for part in statements if part.words[0].text == "counter" and not is_named(part)]
    comments = [part.words[-1].plain for part in statements if part.words[0].text == "comment"]
    packets, octets = _counters(counters[-1] if counters else "")
    does = does_of(one.said)
    return Rule(
        one.place,
        text,
        one.said,
        asked(one.said, family, own, maps),
        bool(counters),
        packets,
        octets,
        does,
        comments[0] if comments else "",
        does == "return",
    )


def does_of(said: nftables_tree.Rule) -> str:
    """Statements and verdict, as words; of a map, what it is asked for, too."""
    parts = [part for part in said.parts if not isinstance(part, Match) and not _is_remark(part)]
    return " ".join(map(_words, parts))


def _is_remark(part: nftables_tree.Part) -> bool:
    return isinstance(part, Statement) and part.words[0].text in ("counter", "comment")


def _words(part: nftables_tree.Part) -> str:
    if isinstance(part, Statement | VerdictMap):
        return " ".join(part.place.text.split())
    assert isinstance(part, nftables_tree.Verdict)
    return f"{part.kind} {part.chain}".rstrip()


def _counters(text: str) -> tuple[int, int]:
    """Packets and bytes of a rule's counter; of several, those of the last one."""
    found = _COUNTER.findall(text)
    return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)
