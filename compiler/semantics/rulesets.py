"""Texts of several tools -> one ruleset, each text read by what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable

from compiler.semantics import reads_ipset, reads_iptables, reads_nftables
from compiler.semantics.netfilter import Ruleset, Table
from grammar.source import Source

_IPTABLES = re.compile(r"^\*[a-z]+\s*$", re.MULTILINE)
_IPSET = re.compile(r"^\s*(create|-N) \S+ (hash|bitmap|list):", re.MULTILINE)
#: As iptables-save says in its first line, or a name of ours.
_IPV6 = re.compile(r"ip6tables")


def read(texts: Iterable[tuple[str, str]]) -> Ruleset:
    """The ruleset of these (name, text): iptables-save or -restore, ipset save or restore, nft's own language, in any
    number and order. iptables' text is IPv6's where its name or a comment in it says ip6tables. Raises Refused."""
    known = [Source(name, text) for name, text in texts]
    iptables = [source for source in known if _IPTABLES.search(source.text)]
    ipset = [source for source in known if source not in iptables and _IPSET.search(source.text)]
    sets = {name: found for source in ipset for name, found in reads_ipset.read(source).items()}
    tables: list[Table] = []
    for source in known:
        if source in iptables:
            tables += reads_iptables.read(source, _family(source), sets)
        elif source not in ipset:
            tables += reads_nftables.read(source)
    return Ruleset(tuple(tables))


def _family(source: Source) -> int:
    comments = (line for line in source.text.split("\n") if line.startswith("#"))
    return 6 if _IPV6.search(source.name) or any(map(_IPV6.search, comments)) else 4
