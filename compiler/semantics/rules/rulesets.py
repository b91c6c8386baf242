"""Texts of several tools -> one ruleset, each text read by what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from compiler.semantics.rules import reads_ipset, reads_iptables, reads_nftables
from compiler.semantics.rules.netfilter import Chain, Goto, Jump, Lookup, Rule, Ruleset, Table
from grammar.source import Source

_IPTABLES = re.compile(r"^\*[a-z]+\s*$", re.MULTILINE)
_IPSET = re.compile(r"^\s*(create|-N) \S+ (hash|bitmap|list):", re.MULTILINE)
#: As iptables-save says in its first line, or a name of ours.
_IPV6 = re.compile(r"ip6tables")


def read(texts: Iterable[tuple[str, str]], partly: bool = False) -> Ruleset:
    """The ruleset of these (name, text): iptables-save or -restore, ipset save or restore, nft's own language, in any
    number and order. iptables' text is IPv6's where its name or a comment in it says ip6tables. `partly`: of nft's,
    what is not understood is kept as such (`reads_nftables.read`). Raises Refused, also for jumps in a circle, which no
    kernel loads."""
    known = [Source(name, text) for name, text in texts]
    iptables = [source for source in known if _IPTABLES.search(source.text)]
    ipset = [source for source in known if source not in iptables and _IPSET.search(source.text)]
    sets = {name: found for source in ipset for name, found in reads_ipset.read(source).items()}
    tables: list[Table] = []
    for source in known:
        if source in iptables:
            tables += reads_iptables.read(source, _family(source), sets)
        elif source not in ipset:
            tables += reads_nftables.read(source, partly)
    for table in tables:
        _refuse_circles(table)
    return Ruleset(tuple(tables))


def _refuse_circles(table: Table) -> None:
    """From every base chain, along jumps and gotos; without recursion, since chains may be thousands deep."""
    done: set[str] = set()
    for base in table.chains.values():
        if base.base is None:
            continue
        on_the_way, steps = {base.name}, [(base.name, _targets(table, base))]
        while steps:
            name, targets = steps[-1]
            target, rule = next(targets, ("", None))
            if rule is None:
                steps.pop()
                on_the_way.discard(name)
                done.add(name)
            elif target in on_the_way:
                raise rule.place.refused(f"the chain {target} leads back to itself", "circle")
            elif target not in done:
                on_the_way.add(target)
                steps.append((target, _targets(table, table.chains[target])))


def _targets(table: Table, chain: Chain) -> Iterator[tuple[str, Rule]]:
    """Every chain that rules of this one may lead to, each once for a rule."""
    for rule in chain.rules:
        for part in rule.parts:
            match part:
                case Jump(name) | Goto(name):
                    yield name, rule
                case Lookup(_, found):
                    said = {element.verdict for element in table.sets[found].elements}
                    yield from ((one.chain, rule) for one in sorted(said, key=str) if isinstance(one, Jump | Goto))


def _family(source: Source) -> int:
    comments = (line for line in source.text.split("\n") if line.startswith("#"))
    return 6 if _IPV6.search(source.name) or any(map(_IPV6.search, comments)) else 4
