"""What rules of iptables counted, by their words.

Numbers are read from the kernel; words only once for every chain as it is: printing 10,000 rules and finding their
words takes a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from compiler.backends.iptables_rules import PREFIX
from compiler.net import Family
from compiler.profiles.profiles import Count, Key, Profile, numbered
from compiler.profiles.words import of_iptables_text
from enforcer.iptables.xtables import TOOLS, Chains, Reader
from grammar.ruletext import Refused

#: Rules of a table as the tool prints them, of any chain: `-A CHAIN ...`.
Listed = Callable[[Family, str], Sequence[str]]
#: By which a chain is known: tool, table and name.
_Place = tuple[str, str, str]


class _Words(NamedTuple):
    """Of the rules of a chain as it was: their contents and their words."""

    contents: tuple[bytes, ...]
    texts: tuple[str, ...]


class Counters:
    """Counters of our chains. `listed` runs the tool."""

    def __init__(self, reader: Reader, listed: Listed) -> None:
        self._reader = reader
        self._listed = listed
        self._known: dict[_Place, _Words] = {}

    def profile(self, family: Family, at: float) -> Profile:
        """Of one tool. A chain that changes meanwhile is left out. OSError when the kernel refuses."""
        tool = TOOLS[family]
        rules: list[tuple[str, str, str]] = []
        counts: list[Count] = []
        known: dict[_Place, _Words] = {}
        for table in self._reader.tables(family):
            found = self._reader.chains(family, table)
            own = {chain: held for chain, held in found.items() if chain.startswith(PREFIX)}
            for chain, words in self._words_of(family, table, own):
                known[tool, table, chain] = words
                for text, rule in zip(words.texts, own[chain], strict=True):
                    rules.append((table, chain, text))
                    counts.append(Count(rule.packets, rule.bytes))
        self._known = {place: words for place, words in self._known.items() if place[0] != tool} | known
        keys: dict[Key, Count] = dict(zip(numbered(rules), counts, strict=True))
        return Profile(f"counters of {tool}", tool, keys, int(at))

    def _words_of(self, family: Family, table: str, own: Chains) -> Iterator[tuple[str, _Words]]:
        """Every chain whose words are known or can be found."""
        printed: dict[str, list[str]] | None = None
        for chain, held in own.items():
            contents = tuple(rule.content for rule in held)
            words = self._known.get((TOOLS[family], table, chain))
            if words is None or words.contents != contents:
                if printed is None:
                    printed = _by_chain(self._listed(family, table))
                texts = printed.get(chain, [])
                if len(texts) != len(held):
                    continue
                words = _Words(contents, tuple(map(_words, texts)))
            yield chain, words


def _by_chain(lines: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        _, chain, *rest = line.split(" ", 2)
        found.setdefault(chain, []).append(rest[0] if rest else "")
    return found


def _words(text: str) -> str:
    """A rule of one tool may be anything."""
    try:
        return of_iptables_text(text)
    except Refused:
        return text
