"""Two rulesets == each other? For every packet, on its whole way: arriving, forwarded, for the node and of its own.

Equal means: the same end for each packet; of what is accepted the same header and mark, of what is rejected the same
answer; the same notices (log, copies) in the same order about the same state of the packet; and the same questions to
stateful matches, for which places of the two texts stand for each other (`way_diagram.Places`); of chance, throws.
Counters, comments and names do not matter. A statement that is not modelled is equal to the same text where the packet
comes there changed alike, and where all that may come behind it is the same for any packet at all.

Chains of the same name that are found to do the same rule by rule (`side_by_side`) need no diagram of their own: where
all are, none is made.

What the texts leave open is open in both alike: addresses of interfaces, choices out of a range, which the kernel makes
by packet and range, and source ports that conntrack changes when they are in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from compiler.semantics.diagrams.diagram import IN
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import Level, space
from compiler.semantics.diagrams.variables import Variables
from compiler.semantics.diagrams.way_diagram import KNOWN, Alike, Places, Way, WayDiagrams
from compiler.semantics.diagrams.way_settled import Settled
from compiler.semantics.proof.same_chains import same_chains
from compiler.semantics.proof.way_differences import differing
from compiler.semantics.proof.way_witness import Question, WayWitness, Witnesses
from compiler.semantics.rules.netfilter import AddressType, Ruleset, State
from compiler.semantics.rules.numbers import interface

#: Nodes of diagrams after which a comparison is given up, within two minutes and two GiB: 10,000 rules of kube-proxy
#: take 900,000.
MOST_NODES = 2_000_000
#: So many witnesses for each family and question.
MOST_WITNESSES = 3


@dataclass(frozen=True, slots=True)
class Equal:
    """`families` are those that were proved."""

    families: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Different:
    """At least one."""

    witnesses: tuple[WayWitness, ...]


def equivalent(one: Ruleset, two: Ruleset, families: Sequence[int] = (4, 6), apart: bool = False) -> Equal | Different:
    """Whether the two do the same with every packet of these families. `apart`: whether they do when each answer of a
    stateful match is given, wherever one text or the other keeps its count. Raises `Unprovable` for rules that no
    diagram can hold."""
    second, equal = same_chains(one, two)
    if equal or (second is not two and not _witnesses(one, second, families, apart)):
        return Equal(tuple(families))
    found = _witnesses(one, two, families, apart)
    return Different(found) if found else Equal(tuple(families))


def _witnesses(one: Ruleset, two: Ruleset, families: Sequence[int], apart: bool) -> tuple[WayWitness, ...]:
    found: list[WayWitness] = []
    for version in families:
        first, *others = (Alike.ANY,) if apart else (Alike.RULES, Alike.CHAINS, Alike.MATCHES)
        new = list(_Comparison(one, two, version, Places(first)).witnesses())
        # They are equal when there is any way for places to stand for each other.
        if new and not any(_agree(one, two, version, alike) for alike in others):
            found += new
    return tuple(found)


def _agree(one: Ruleset, two: Ruleset, version: int, alike: Alike) -> bool:
    return next(_Comparison(one, two, version, Places(alike)).witnesses(), None) is None


class _Comparison:
    """Of one family."""

    def __init__(self, one: Ruleset, two: Ruleset, version: int, places: Places) -> None:
        self._over = space(version)
        self._made = self._over.made
        self._made.most = MOST_NODES
        matches = Matches(self._over)
        self._variables = Variables(self._over, matches)
        shared = matches, self._variables, places
        self._sides = WayDiagrams(one, self._over, shared), WayDiagrams(two, self._over, shared)
        self._witnesses = Witnesses((one, two), self._over, matches, self._variables)

    def witnesses(self) -> Iterator[WayWitness]:
        """Of packets that end differently; where there are none, of those that routing is told something else of."""
        one, two = self._sides
        finer = Settled(self._over)
        found = False
        questions = [Question(way) for way in Way] + [Question(way, routing=True) for way in Way]
        if any(a != b for a, b in zip(one.segments(), two.segments(), strict=True)):
            questions += [question._replace(known=True) for question in questions]
        for question in sorted(questions, key=lambda question: question.routing):
            if question.routing and found:
                return
            asked = WayDiagrams.routing if question.routing else WayDiagrams.whole
            a, b = (asked(side, question.way, question.known) for side in self._sides)
            among = self._known_connections() if question.known else IN
            if question.routing:  # what does not come there is not routed
                among = self._made.where(among, self._made.where(finer.comes(a), finer.comes(b)))
            a, b = self._made.where(among, a), self._made.where(among, b)
            for values in islice(differing(a, b, self._over, self._variables, self._witnesses), MOST_WITNESSES):
                found = True
                yield self._witnesses.witness(question, values, a, b)

    def _known_connections(self) -> int:
        """Packets that nat chains do not see; those of the machine to itself too, which come by a second time."""
        made, loopback = self._made, interface("lo", "\0")
        local = (int(AddressType.LOCAL),) * 2
        looped = made.box({Level.STATE: (State.NEW,) * 2, Level.INPUT: loopback, Level.DESTINATION_TYPE: local})
        return made.first([made.inside(Level.STATE, [(state, state) for state in KNOWN]), looped])
