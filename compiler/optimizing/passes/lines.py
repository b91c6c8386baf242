"""Rules of a table with what passes need to know of them: the packets that match, and those that come there at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from compiler.optimizing.chains import Asked, Chain, Rule
from compiler.optimizing.readers import iptables_regions, nftables_regions
from compiler.optimizing.readers.iptables_regions import version
from compiler.optimizing.regions import MOST, UNKNOWN, Region, around, common, meet
from compiler.optimizing.reorder import settled, shares
from compiler.ordering.overlap import Box
from grammar import nftables_tree
from grammar.iptables import Command

T = TypeVar("T")
#: What may enter a chain; None: anything.
Entered = tuple[Box, ...] | None
#: What was found out of what a rule says, by its identity, with what it says: nothing else may have that identity.
Known = dict[int, tuple[Command | nftables_tree.Rule, T]]


class Line(NamedTuple):
    """`asked`: a barrier, too, where the rule leads to a chain that is none of the harmless ones."""

    rule: Rule
    asked: Asked
    region: Region

    @property
    def touched(self) -> tuple[Box, ...]:
        """Packets that may fare otherwise when the rule stands elsewhere: of a barrier, all."""
        return UNKNOWN.boxes if self.asked.barrier else self.region.boxes

    @property
    def plain(self) -> bool:
        """Whether it ends the way of what it matches, and neither does nor remembers anything else."""
        return self.asked.ends and self.region.calm and not self.asked.barrier


class Block:
    """A table of the text, or what rules of it can lead to. `regions` is kept by whoever makes several of a text."""

    def __init__(self, chains: Sequence[Chain], regions: Known[Region]) -> None:
        self.chains = chains
        self.own = frozenset(chain.name for chain in chains if chain.own)
        self._known = shares(chains)
        self._ip = version(rule.said for chain in chains for rule in chain.rules if isinstance(rule.said, Command))
        self._regions = regions
        self.lines = [[self.line(rule) for rule in chain.rules] for chain in chains]

    def line(self, rule: Rule) -> Line:
        said = rule.said
        region = UNKNOWN
        if said is not None:
            known = self._regions.get(id(said))
            if known is None:
                known = self._regions[id(said)] = said, self._region(said)
            region = known[1]
        return Line(rule, settled(rule.asked, self._known), region)

    def _region(self, said: Command | nftables_tree.Rule) -> Region:
        if isinstance(said, Command):
            return iptables_regions.region(said, self._ip)
        return nftables_regions.region(said, self.chains[0].table.partition(" ")[0])


def entered(block: Block) -> dict[str, Entered]:
    """What may come into each chain: packets that a jump lets through, of those that come into the jump's chain, as
    long as nothing in front of it may change them. () where no rule leads to a chain of the table's own."""
    jumps: dict[str, list[tuple[str, Line, bool]]] = {chain.name: [] for chain in block.chains}
    for chain, own in zip(block.chains, block.lines, strict=True):
        changed = bool(chain.fixed)
        for line in own:
            for name in line.rule.asked.to:
                jumps.setdefault(name, []).append((chain.name, line, changed))
            changed |= line.asked.barrier
    found: dict[str, Entered] = {chain.name: None for chain in block.chains if not chain.own}
    waiting, left = [name for name in jumps if name not in found], -1
    while len(waiting) != left:
        left = len(waiting)
        for name in waiting:
            if all(caller in found for caller, _, _ in jumps[name]):
                found[name] = _union(jumps[name], found)
        waiting = [name for name in waiting if name not in found]
    return found | dict.fromkeys(waiting)  # in a circle


def _union(jumps: Sequence[tuple[str, Line, bool]], found: Mapping[str, Entered]) -> Entered:
    boxes: dict[Box, None] = {}
    for caller, line, changed in jumps:
        for box in within(line.region.boxes, None if changed else found[caller]):
            boxes[box] = None
    return tuple(boxes) if len(boxes) <= MOST else (around(list(boxes)),)


def within(boxes: Sequence[Box], limits: Entered) -> Sequence[Box]:
    """The packets of boxes that may come there; no more than `MOST` boxes of them."""
    if limits is None:
        return boxes
    found = list(dict.fromkeys(_common(boxes, limits)))
    return found if len(found) <= MOST else (around(found),)


def _common(boxes: Sequence[Box], limits: Sequence[Box]) -> Iterator[Box]:
    return (common(box, limit) for box in boxes for limit in limits if meet(box, limit))
