"""Texts of rules -> a program, and what there is to say of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compiler.errors import Unsupported
from compiler.importing import iptables, nftables
from compiler.importing.families import EITHER, both_ways, together
from compiler.importing.lists import statements
from compiler.importing.naming import names
from compiler.importing.sections import Section, sections
from compiler.importing.values import Account, Lines, Log, Opaque, Origin, Statement, Verdict
from compiler.importing.writing import needs_everywhere, program
from grammar.source import Source

_IPTABLES = re.compile(r"^\*[a-z]+\s*$", re.MULTILINE)
_IPV6 = re.compile(r"ip6tables")
#: Words of matches that remember packets.
_COUNTING = ("limit", "hashlimit", "connlimit", "recent", "quota", "nth", "connbytes")


@dataclass(frozen=True, slots=True)
class Imported:
    """`text` is not laid out. `tool`: iptables or nftables; `versions`: the families that the rules were for. `opaque`,
    `dropped` and `lost`: rules that stay in the tool's words, that have no effect, and that nothing stands for, each
    with the reason. `apart`: rules that keep one count for several ways to their chain, where the program keeps one for
    each. `eased`: rules without an option that they had."""

    text: str
    tool: str
    versions: tuple[int, ...]
    rules: int
    statements: int
    opaque: tuple[tuple[Origin, str], ...]
    dropped: tuple[tuple[Origin, str], ...]
    lost: tuple[tuple[Origin, str], ...]
    apart: tuple[Origin, ...] = ()
    eased: tuple[tuple[Origin, str], ...] = ()


def imported(sources: Sequence[Source], as_written: Lines = frozenset()) -> Imported:
    """The texts together, of one tool; rules at these lines stay in its own words. Raises Refused for a text that is
    none of rules, Unsupported for rules that would be too many statements."""
    tools = {"iptables" if _IPTABLES.search(source.text) else "nftables" for source in sources}
    if len(tools) != 1:
        raise Unsupported("rules of iptables and of nftables: import them one by one")
    (tool,) = tools
    account = Account()
    found: dict[int, list[Section]] = {}
    for source in sources:
        made = nftables.tables(source, account, as_written)
        if tool == "iptables":
            version = _version(source)
            if version in found:
                raise Unsupported(f"two rulesets for IPv{version}: import them one by one")
            made = iptables.tables(source, version, as_written)
        for table in made:
            found.setdefault(table.version, []).extend(sections([table], account))
    return _program(tool, sources, found, account)


def _program(tool: str, sources: Sequence[Source], found: dict[int, list[Section]], account: Account) -> Imported:
    versions = (4, 6) if len(found) > 1 or 0 in found else tuple(found)
    families: dict[int, str] = {}
    whole = tuple(found[versions[0]]) if len(versions) == 1 else ()
    if len(versions) > 1:
        families = {4: "every-ipv4", 6: "every-ipv6"}
        whole = (*together(found.get(4, ()), found.get(6, ())), *found.get(0, ()))
    whole = both_ways(whole)
    named = names(whole, families, needs_everywhere(whole), account.sets)
    text = program(whole, named, tuple(_head(tool, sources, versions)))
    made = [one for section in whole for one in statements(section.items)]
    opaque = [(origin, one.why) for one in made if isinstance(one.action, Opaque) for origin in one.origins]
    dropped, lost = _once(account.dropped), _once(account.lost)
    apart = tuple(_counted_apart(whole))
    eased = _once(account.eased)
    return Imported(text, tool, versions, account.rules, len(made), _once(opaque), dropped, lost, apart, eased)


def _counted_apart(sections: Iterable[Section]) -> Iterator[Origin]:
    """Rules that count, and stand for several statements."""
    times: Counter[Origin] = Counter()
    for section in sections:
        for one in statements(section.items):
            if _counts(one):
                times[one.origins[-1]] += 2 if section.hook == EITHER else 1
    return (origin for origin, count in times.items() if count > 1)


def _counts(one: Statement) -> bool:
    action = one.action.log if isinstance(one.action, Verdict) else one.action
    if isinstance(action, Log):
        return bool(action.limit)
    return isinstance(action, Opaque) and any(f" {word} " in f" {one.words} " for word in _COUNTING)


def _head(tool: str, sources: Sequence[Source], versions: tuple[int, ...]) -> Iterator[str]:
    yield f"Imported from {', '.join(source.name.rpartition('/')[2] for source in sources)} ({tool}) by netpolc import."
    family = "" if len(versions) > 1 else f" --family ipv{versions[0]}"
    yield f"The same rules again: netpolc compile --backend {tool}{family} --no-failsafe"


def _once(told: Iterable[tuple[Origin, str]]) -> tuple[tuple[Origin, str], ...]:
    return tuple(sorted(dict.fromkeys(told)))


def _version(source: Source) -> int:
    """IPv6 where the name or a comment says ip6tables."""
    comments = (line for line in source.text.split("\n") if line.startswith("#"))
    return 6 if _IPV6.search(source.name) or any(map(_IPV6.search, comments)) else 4
