"""Ruleset -> one script for `nft -f`: the table `inet netpolc`, replaced in one transaction.

The script declares everything, empties the chains and fills them again, all in one transaction, and loading twice is
loading once. Base chains are never deleted. All sets are hashes: a new interval set loses packets while the
transaction that brings it commits, a hash does not (docs/DATAPATH.md), so a prefix map becomes one hash per prefix
length, asked from the longest to the shortest.

One transaction alone is not enough for packets that are between two rules when it commits: the kernel goes on with
the old rules of every chain, yet each lookup sees the elements of that moment. New elements that name a new chain
would lead into one whose old rules are none, which lets the packet pass. So sets and maps are named after their
content, and those that old rules ask stay as they are: old rules ask old maps, new rules new ones.

Rules of a ruleset that is `counted` have a counter and a comment, by which they are found again in what nft prints of
them: a digest of their words, with the ruleset's names of sets. Not those of base chains of filter, which all packets
pass.
Needs nft 1.0.6 and Linux 5.10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from compiler.backends.nftables_print import TABLE, Printer, Words, chain_line, filled_set, hashes, is_counted
from compiler.backends.nftables_rules import BACKEND
from compiler.backends.text import Printed, Refusals, comments, refuse
from compiler.ir.ruleset import Goto, Jump, Lookup, Rule, Ruleset

__all__ = ["DEEPEST", "FILE", "TABLE", "emit", "refuse_deep", "rules"]

FILE = "netpolc.nft"
DEEPEST = 15


def emit(ruleset: Ruleset) -> dict[str, str]:
    """File name -> text. Raises InvalidInput for statements that nft cannot say, Unsupported for chains too deep."""
    refuse_deep(ruleset)
    refusals = Refusals()
    text = "\n".join(_lines(ruleset, refusals)) + "\n"
    refusals.check()
    return {FILE: text}


def refuse_deep(ruleset: Ruleset) -> None:
    """The kernel follows DEEPEST jumps and gotos in each other (NFT_JUMP_STACK_SIZE, less the base chain's)."""
    maps = {found.name: dict.fromkeys(verdict for _, verdict in found.elements) for found in ruleset.maps}
    ways = {
        chain.name: [
            verdict.chain
            for rule in chain.rules
            for verdict in (maps[rule.map] if isinstance(rule, Lookup) else (rule.verdict,))
            if isinstance(verdict, Jump | Goto)
        ]
        for chain in ruleset.chains
    }
    level = {chain.name for chain in ruleset.chains if chain.hook}
    for _ in range(DEEPEST):
        level = {behind for name in level for behind in ways[name]}
    deep = sorted(name for name in level if ways[name])
    if deep:
        raise refuse(f"more than {DEEPEST} chains one in the other, as lists in lists may be ({deep[0]})", BACKEND)


def _lines(ruleset: Ruleset, refusals: Refusals) -> Iterator[str]:
    sets = {found.name: filled_set(found, _by_content) for found in ruleset.sets}
    maps = {found.name: dict(hashes(found, _by_content)) for found in ruleset.maps}
    every = [*sets.values(), *(filled for lengths in maps.values() for filled in lengths.values())]
    yield from comments(*ruleset.notes, f"Load with: nft -f {FILE}   (one transaction; loading again is safe)")
    yield ""
    yield f"add table {TABLE}"
    yield from map(chain_line, ruleset.chains)
    yield f"flush table {TABLE}"
    for filled in every:
        yield from filled.declared()
    yield ""
    yield f"table {TABLE} {{"
    printer = Printer(
        {name: filled.name for name, filled in sets.items()},
        {name: {length: filled.name for length, filled in lengths.items()} for name, lengths in maps.items()},
        ruleset.counted,
        refusals,
    )
    for chain in ruleset.chains:
        yield from printer.chain(chain)
    yield "}"
    for filled in every:
        yield from filled.filled()


def _by_content(name: str, texts: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:10]
    return f"{name}-{digest}"


def rules(ruleset: Ruleset) -> Iterator[Printed]:
    """Rules that can be found again in what nft lists of a ruleset that was counted: by their comments."""
    words = Words({found.name: found.name for found in ruleset.sets})
    for number, chain in enumerate(ruleset.chains):
        for place, rule in enumerate(chain.rules):
            if isinstance(rule, Rule) and is_counted(rule, chain):
                yield Printed("nft", TABLE, chain.name, (number, place), words.comment(rule, chain.family))
