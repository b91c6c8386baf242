"""One class in one family, its reach kept up to date address by address.

`resolve.reach` decides everything. Here is only what one address changes: its place among the exact ones, and the
counts that most of a large selector depend on. What changes more *breaks* the class: it is to be made anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from compiler.live.groups import LiveGroup, Step, Watched
from compiler.live.index import Index
from compiler.lower.pods import Part
from compiler.net import Family, PortSet
from compiler.policy import NodeSelector
from compiler.resolve.classes import PodClass
from compiler.resolve.reach import ClassReach, Cover, commonest

_NO_CLAUSES = frozenset[int]()
#: Answers of one class: more are seldom asked for in a row, and there are hundreds of classes.
_REMEMBERED = 1 << 9


class _Answer(NamedTuple):
    """What a class says of addresses that it does not tell apart: the cover that decides, if it is one that does;
    their ports; without a cover, whether they are exact."""

    cover: Cover | None
    ports: PortSet
    apart: bool


class Kept:
    """`addresses` are the class's own; `watched`: its selectors, `covering`: those that are large. `tally`: how many
    exact addresses have which ports. `before`: what was known of exact addresses that have changed, None for nothing,
    until somebody clears it. `broken`: to be made anew; `reshaped`: ports have come to the tally or gone. `lowered`,
    `counted`: whether the class is in the ruleset, and whether its pairs are. `chain`, `part`: what a layout made of
    it, if one did."""

    __slots__ = (
        "_answers",
        "_census",
        "addresses",
        "before",
        "broken",
        "chain",
        "counted",
        "covering",
        "family",
        "lowered",
        "part",
        "pods",
        "reach",
        "reshaped",
        "tally",
        "watched",
    )

    def __init__(self, census: Index, pods: PodClass, family: Family) -> None:
        self._census = census
        self.family = family
        self.pods = pods
        self.addresses: Sequence[int] = pods.addresses(family)
        self.reach = ClassReach(census, pods, family)
        self.tally: dict[PortSet, int] = Counter(self.reach.exact.values())
        self.watched: tuple[Watched, ...] = tuple(map(census.watch, self.reach.selectors))
        self.covering = tuple((cover, census.watch(cover.chosen)) for cover in self.reach.covers)
        self._answers: dict[tuple[int, int], _Answer] = {}
        self.chain = ""
        self.part: Part | None = None
        self.before: dict[int, PortSet | None] = {}
        self.broken = self.reshaped = self.lowered = self.counted = False

    @property
    def asks_nodes(self) -> bool:
        """Whether the labels and addresses of nodes count."""
        return any(isinstance(peer, NodeSelector) for clause in self.pods.clauses for peer in clause.rule.peers)

    def allows_as(self, other: Kept) -> bool:
        """Whether both allow the same to whoever there is."""
        if self is other:
            return True
        one, two = self.reach, other.reach
        if one.nets != two.nets or one.exact != two.exact:
            return False
        covers = ([(cover.chosen, cover.ports) for cover in reach.covers] for reach in (one, two))
        return next(covers) == next(covers)

    def ask(self, address: int) -> PortSet:
        """The ports that the class allows for an address of one of the node's pods, as `resolve.reach.asker`."""
        ports = self.reach.exact.get(address)
        if ports is not None:
            return ports
        group = self._census.holder(self.family, address)
        if group is not None:
            for cover, watched in self.covering:
                if group.number in watched.numbers:
                    return cover.ports
        return self.reach.ports(_NO_CLAUSES, self.reach.stretch(address), None)

    def take(self, step: Step) -> tuple[PortSet | None, PortSet | None] | None:
        """What a step changes at its address: the exact ports before and after; None for nothing."""
        stretch = self.reach.stretch(step.address)
        known = self._answers.get((step.likeness, stretch))
        if known is None:
            if len(self._answers) > _REMEMBERED:
                self._answers.clear()
            known = self._answers[step.likeness, stretch] = self._answer(step.group, stretch)
        cover, ports, apart = known
        if cover is not None:
            apart = ports != cover.ports
            self._count(cover, ports, step)
        return self._set(step.address, ports if step.comes and apart else None)

    def _answer(self, group: LiveGroup, stretch: int) -> _Answer:
        standing = self.reach.standing(group)
        ports = self.reach.ports(standing.clauses, stretch, group)
        if standing.listed:
            apart = standing.cover is not None or ports != self.reach.ports(_NO_CLAUSES, stretch, None)
            return _Answer(None, ports, apart)
        return _Answer(None if standing.cover is None else self.reach.covers[standing.cover], ports, False)

    def _count(self, cover: Cover, ports: PortSet, step: Step) -> None:
        change = 1 if step.comes else -1
        if step.edge:
            cover.groups += change
            if cover.groups == (1 if step.comes else 0):  # nobody was there, or is: then a cover says something else
                self.broken = True
        if cover.tally is None:
            self.broken |= ports != cover.ports
            return
        cover.tally[ports] = cover.tally.get(ports, 0) + change
        if cover.tally[ports] <= 0:
            del cover.tally[ports]
        self.broken |= not cover.tally or commonest(cover.tally) != cover.ports

    def _set(self, address: int, ports: PortSet | None) -> tuple[PortSet | None, PortSet | None] | None:
        exact = self.reach.exact
        was = exact.get(address)
        if was == ports:
            return None
        self.before.setdefault(address, was)
        if was is not None:
            self.tally[was] -= 1
            if not self.tally[was]:
                del self.tally[was]
                self.reshaped = True
        if ports is None:
            del exact[address]
        else:
            exact[address] = ports
            self.reshaped |= ports not in self.tally
            self.tally[ports] = self.tally.get(ports, 0) + 1
        return was, ports
