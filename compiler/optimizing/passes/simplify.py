"""A listing -> the same with fewer rules, or rules that are asked faster: passes in their order, until nothing changes.

Rules that go give their counters to whoever has their packets now, so totals stay. Where a counter would be lost, the
rule stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from compiler.optimizing.chains import Chain, Listing, Rule
from compiler.optimizing.passes.counts import heir, policy_heir
from compiler.optimizing.passes.lines import Block, Entered, Known, Line, entered
from compiler.optimizing.passes.merge import Memory, merges
from compiler.optimizing.passes.nftables_sets import merged
from compiler.optimizing.passes.normalize import normalized
from compiler.optimizing.passes.seen import Seen, key
from compiler.optimizing.passes.shadow import Shadow, redundant, unreached, worth
from compiler.optimizing.regions import Region
from compiler.ordering.prices import Tool
from grammar.iptables import Command
from grammar.ruletext import Place

#: A chain can be simplified so often at most; two or three times are usual.
_ROUNDS = 50


class Pass(Enum):
    """What can be asked for, in the order in which it is done."""

    NORMALIZE = "normalize"
    SHADOW = "shadow"
    MERGE = "merge"
    SETS = "sets"


class Why(Enum):
    """What became of rules."""

    UNREACHED = "no packet reaches it"
    REDUNDANT = "it makes no difference"
    MERGED = "merged"
    REWRITTEN = "asked faster"


class Change(NamedTuple):
    """`places`: the rules that were, of a merge all of them; `text`: of a rule that went, what it was; else what is
    there now. `by`: who has the packets of a rule that went; `policy`: the policy, or it as well."""

    why: Why
    places: tuple[Place, ...]
    text: str
    by: tuple[Place, ...] = ()
    policy: bool = False


@dataclass(frozen=True, slots=True)
class Simplified:
    """`deserted`: chains of a table's own that no rule leads to, by table and name; they stay."""

    listing: Listing
    changes: tuple[Change, ...]
    deserted: tuple[tuple[str, str], ...] = ()

    @property
    def gone(self) -> int:
        """Rules fewer than there were."""
        merged = sum(len(change.places) - 1 for change in self.changes if change.why is Why.MERGED)
        return merged + sum(change.why in (Why.UNREACHED, Why.REDUNDANT) for change in self.changes)


def simplify(listing: Listing, passes: Collection[Pass] = tuple(Pass), counters: bool = False) -> Simplified:
    """By these passes. `counters`: rules of nft become one also where each has a counter of its own."""
    return Simplifier(passes, counters).simplify(listing)


class Simplifier:
    """`simplify` for whoever does it again with the same rules in another order: it remembers what it found out."""

    def __init__(self, passes: Collection[Pass], counters: bool = False) -> None:
        self._passes = passes
        self._counters = counters
        self._works: dict[int, _Work] = {}

    def simplify(self, listing: Listing) -> Simplified:
        if not self._passes:
            return Simplified(listing, ())
        changes: list[Change] = []
        deserted: list[tuple[str, str]] = []
        new: dict[tuple[int, str], Chain] = {}
        for number, chains in listing.blocks().items():
            work = self._works.setdefault(number, _Work(self._passes, listing.tool, self._counters))
            chains, comes = work.done(chains)
            changes += work.changes
            deserted += ((chain.table, chain.name) for chain in chains if chain.own and comes[chain.name] == ())
            new |= {(number, chain.name): chain for chain in chains}
        chains = [new[chain.block, chain.name] for chain in listing.chains]
        return Simplified(replace(listing, chains=tuple(chains)), tuple(changes), tuple(deserted))


class _Work:
    """What is done to the chains of a block, told in `changes`, and what was found out of its rules so far."""

    def __init__(self, passes: Collection[Pass], tool: Tool, counters: bool) -> None:
        self.changes: list[Change] = []
        self._passes = passes
        self._tool = tool
        self._counters = counters
        self._regions: Known[Region] = {}
        self._memory = Memory()
        self._normal: Known[None] = {}
        self._settled: dict[str, tuple[Entered, tuple[Rule, ...]]] = {}
        self._unreached: dict[str, tuple[Entered, Seen]] = {}
        self._redundant: dict[str, tuple[Seen, list[Shadow]]] = {}
        self._unmerged: dict[str, Seen] = {}

    def done(self, chains: list[Chain]) -> tuple[list[Chain], Mapping[str, Entered]]:
        """The block's chains when nothing is left to do, and what comes into them."""
        self.changes = []
        for _ in range(_ROUNDS):
            before = len(self.changes)
            block = Block(chains, self._regions)
            comes = entered(block)
            chains = self._round(block, comes)
            if len(self.changes) == before:
                break
        return chains, comes

    def _round(self, block: Block, comes: Mapping[str, Entered]) -> list[Chain]:
        """Each pass once, but for chains in which it found nothing last time."""
        found = []
        for chain, lines in zip(block.chains, block.lines, strict=True):
            comes_here, before = comes[chain.name], len(self.changes)
            if not chain.fixed and self._settled.get(chain.name) != (comes_here, chain.rules):
                chain = self._simplified(chain, lines, block, comes_here)
                if len(self.changes) == before:
                    self._settled[chain.name] = comes_here, chain.rules
            found.append(chain)
        return found

    def _simplified(self, chain: Chain, lines: Sequence[Line], block: Block, comes: Entered) -> Chain:
        if Pass.NORMALIZE in self._passes:
            lines = [self._faster(line, block) for line in lines]
        if Pass.SHADOW in self._passes:
            # To a chain that no rule leads to anything may come, some day.
            chain, lines = self._shadowless(chain, lines, comes or None)
        if Pass.MERGE in self._passes:
            before = -1
            while len(lines) != before:
                before, lines = len(lines), self._merged(lines, chain, block)
        chain = replace(chain, rules=tuple(line.rule for line in lines))
        if Pass.SETS in self._passes and self._tool is Tool.NFTABLES:
            chain, found = merged(chain, lines, block.own, self._counters)
            self.changes += (Change(Why.MERGED, one.places, one.text) for one in found)
        return chain

    def _faster(self, line: Line, block: Block) -> Line:
        said = line.rule.said
        if not isinstance(said, Command) or id(said) in self._normal:
            return line
        self._normal[id(said)] = said, None
        new = normalized(line, said, block.own, self._tool)
        if new is None:
            return line
        self.changes.append(Change(Why.REWRITTEN, (new.place,), new.text))
        return block.line(new)

    def _shadowless(self, chain: Chain, lines: Sequence[Line], comes: Entered) -> tuple[Chain, list[Line]]:
        """Without rules that make no difference; asked about are those that may be other than last time."""
        seen = self._unreached.get(chain.name)
        only = seen[1].again(lines, ordered=True) if seen and seen[0] == comes else None
        self._unreached[chain.name] = comes, Seen(lines)
        chain, lines = self._without(chain, lines, unreached(lines, comes, only))
        last = self._redundant.get(chain.name)
        only = last[0].again(lines, ordered=False) if last else None
        known = [] if last is None or only is None else renumbered(last[1], last[0].lines, lines, only)
        found = redundant(lines, chain, only, known)
        self._redundant[chain.name] = Seen(lines), found
        return self._without(chain, lines, worth(found, lines, chain, self._tool))

    def _without(self, chain: Chain, lines: Sequence[Line], shadows: Sequence[Shadow]) -> tuple[Chain, list[Line]]:
        """Without those that can go, their counters given to the first that has their packets."""
        left: dict[int, Line] = dict(enumerate(lines))
        policy = chain.policy
        for shadow in shadows:
            rule = left[shadow.number].rule
            first = shadow.by[0] if shadow.by else None
            if first is not None:
                left[first] = left[first]._replace(rule=heir(left[first].rule, rule))
            elif shadow.policy and policy is not None:
                policy = policy_heir(policy, rule)
            del left[shadow.number]
            by = tuple(lines[number].rule.place for number in shadow.by)
            why = Why.REDUNDANT if shadow.reached else Why.UNREACHED
            self.changes.append(Change(why, (rule.place,), rule.text, by, shadow.policy))
        return replace(chain, policy=policy), [left[number] for number in sorted(left)]

    def _merged(self, lines: Sequence[Line], chain: Chain, block: Block) -> list[Line]:
        left: dict[int, Line] = dict(enumerate(lines))
        seen = self._unmerged.get(chain.name)
        only = seen.again(lines, ordered=False) if seen else None
        self._unmerged[chain.name] = Seen(lines)
        for merge in merges(lines, chain, block.own, self._tool, self._memory, only):
            rule = merge.rule
            for number in merge.numbers[1:]:
                rule = heir(rule, left.pop(number).rule)
            left[merge.numbers[0]] = block.line(rule)
            places = tuple(lines[number].rule.place for number in merge.numbers)
            self.changes.append(Change(Why.MERGED, places, rule.text))
        return [left[number] for number in sorted(left)]


def renumbered(
    found: Sequence[Shadow], before: Sequence[Line], lines: Sequence[Line], again: Collection[int]
) -> list[Shadow]:
    """What was found of rules that are not asked about again, with the numbers that they and the others have now."""
    places = {key(line): number for number, line in enumerate(lines)}
    kept = []
    for shadow in found:
        number = places.get(key(before[shadow.number]))
        if number is not None and number not in again:
            by = tuple(sorted(places[key(before[one])] for one in shadow.by))
            kept.append(shadow._replace(number=number, by=by))
    return kept
