"""Do connections to the node arrive where a program expects? For every first packet, or a packet that does not.

`SRC : PORTS translates to END : PORT` speaks of first packets that arrive from SRC, not by lo, for an address of the
node that is not loopback's, at one of the ports. What PREROUTING leaves of each has to have a destination in END and
that port; of several destinations by chance, all of them. What is dropped there does not arrive and does not count.
Where END has no address of a family, its packets are not spoken of; where it has none at all, nothing arrives there.

A dnat or redirect is *constrained* by an expectation that holds and speaks of a packet that it decides about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.resources.language import Dnat, End, Nodes, Pods, Program, Redirect, Rule, Translates
from compiler.semantics.diagrams.chain_diagram import Left
from compiler.semantics.diagrams.diagram import IN, NOTHING
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import Level, Path, space
from compiler.semantics.diagrams.substitution import Substitution
from compiler.semantics.diagrams.variables import Variables
from compiler.semantics.diagrams.way_diagram import Places
from compiler.semantics.proof.boxes import case_of
from compiler.semantics.proof.case import Case
from compiler.semantics.proof.flows import OWN_ADDRESSES, Turn, placed
from compiler.semantics.proof.program_ends import ProgramEnds, every_part
from compiler.semantics.proof.routing_tables import impossible
from compiler.semantics.proof.table_diagrams import SYN, TableDiagrams, decided_by
from compiler.semantics.proof.way_witness import Witnesses
from compiler.semantics.rules.effects import Outcome
from compiler.semantics.rules.netfilter import Hook, Ruleset, State
from compiler.semantics.rules.numbers import interface
from compiler.snapshot import Snapshot

_ARRIVAL = Hook.PREROUTING
_LO = interface("lo", "\0")


@dataclass(frozen=True, slots=True)
class Strayed:
    """A packet that arrives elsewhere than expected: what becomes of it, by which statement, if by any."""

    expected: Translates
    case: Case
    outcome: Outcome
    turn: Turn | None


@dataclass(frozen=True, slots=True)
class JudgedTranslations:
    """`failed`: one for each expectation that does not hold. `idle`: those that speak of no packet. `halves`: those
    about pods or nodes that have no address of a family, with that. `unconstrained`:
    statements of nat that no expectation constrains."""

    failed: tuple[Strayed, ...]
    idle: tuple[Translates, ...]
    halves: tuple[tuple[Translates, int], ...]
    unconstrained: tuple[Turn, ...]


def judge_translations(
    program: Program, snapshot: Snapshot, families: Sequence[int] = (4, 6), exempt: Sequence[Rule] = ()
) -> JudgedTranslations:
    """`exempt`: of what raw never drops. Raises Unprovable."""
    expected = [one for one in program.expectations if isinstance(one, Translates)]
    sides = [_Side(program, ProgramEnds(Ends(snapshot, version), snapshot), exempt) for version in families]
    failed, idle, halves = [], list[Translates](), list[tuple[Translates, int]]()
    constrained = set[str]()
    for one in expected:
        there = [side for side in sides if side.has(one)] or sides
        if any(isinstance(part, Pods | Nodes) for part in every_part(one.target)):
            halves += [(one, side.version) for side in sides if side not in there]
        strayed = next((found for side in there if (found := side.strayed(one)) is not None), None)
        if strayed is not None:
            failed.append(strayed)
        elif all(side.speaks(one) == NOTHING for side in there):
            idle.append(one)
        else:
            constrained.update(label for side in there for label in side.deciding(one))
    translating = sides[0].translating() if sides else ()
    free = tuple(turn for turn in translating if decided_by(turn) not in constrained)
    return JudgedTranslations(tuple(failed), tuple(idle), tuple(halves), free)


class _Side:
    """The packets of one family."""

    def __init__(self, program: Program, ends: ProgramEnds, exempt: Sequence[Rule]) -> None:
        over = self._over = space(ends.ends.version)
        self._made, self.version = over.made, over.version
        matches = Matches(over)
        matches.unknown(SYN)
        self._matches, self._variables = matches, Variables(over, matches)
        self._substitution = Substitution(over, matches, self._variables)
        self._says = TableDiagrams(program, ends, over, (matches, self._variables, Places()), exempt)
        self._chains = self._says.chains
        #: With the ends, which live as long as what is known of them.
        self._targets: dict[int, tuple[int, End]] = {}
        early = self._says.packets(_ARRIVAL)
        self._left = self._chains.total(self._chains.then(early, self._says.connections(_ARRIVAL)))
        self._by = self._chains.then(early, self._says.deciding(_ARRIVAL))

    def translating(self) -> Iterator[Turn]:
        """The statements that expectations can be about."""
        every = (one for turn in self._says.turns[_ARRIVAL].nat for one in turn.every())
        return (turn for turn in every if isinstance(turn.statement, Dnat | Redirect))

    def has(self, expected: Translates) -> bool:
        """Whether there is anybody to arrive at."""
        return self._target(expected) != NOTHING

    def speaks(self, expected: Translates) -> int:
        """The packets that it speaks of."""
        made = self._made
        to_us = Rule.model_construct(
            verb="pass",
            source=expected.source,
            target=OWN_ADDRESSES,
            ports=expected.ports,
            text=expected.text,
            span=expected.span,
        )
        among = self._says.arriving(to_us)
        new = made.inside(Level.STATE, [(State.NEW, State.NEW)])
        return made.where(new, made.where(made.outside(made.inside(Level.INPUT, [_LO])), among))

    def deciding(self, expected: Translates) -> Iterator[str]:
        """The statements that decide about a packet that it speaks of (`decided_by`)."""
        found = self._made.where(self.speaks(expected), self._by)
        return (left.how for left in self._made.said(found) if isinstance(left, Left))

    def strayed(self, expected: Translates) -> Strayed | None:
        made = self._made
        port = made.inside(Level.DPORT, [(expected.port, expected.port)])
        right = made.where(self._target(expected), port)
        wrong = []
        for left in self._chains.ways(self._left):
            if left.how != "drop":
                leaf = made.outcome(left)
                others = {made.outcome(one): NOTHING for one in self._chains.ways(self._left)}
                among = made.relabel(self._left, {**others, leaf: IN})
                missed = made.outside(self._substitution.after(left.effect, right))
                wrong.append(made.where(among, missed))
        spoken = made.where(made.outside(impossible(self._over, self._variables)), self.speaks(expected))
        witnesses = Witnesses((Ruleset(()), Ruleset(())), self._over, self._matches, self._variables)
        for box, *_ in made.differences(made.where(spoken, made.first(wrong)), NOTHING):
            values = witnesses.packet(box)
            if values is not None:
                found = made.says(self._left, values)
                assert isinstance(found, Left), "a way out"
                case = case_of(Path.FORWARD, self._over, {n: (value, value) for n, value in values.items()}, {})
                return Strayed(expected, case, Outcome("accept", found.effect.change), self._turn(values))
        return None

    def _turn(self, packet: Mapping[int, int]) -> Turn | None:
        left = self._made.says(self._by, packet)
        found = (turn for turn in self.translating() if isinstance(left, Left) and decided_by(turn) == left.how)
        return next(found, None)

    def _target(self, expected: Translates) -> int:
        """Where a packet has to be going then: nobody knows yet by which interface it goes out."""
        if id(expected) not in self._targets:
            end = placed(expected.target, _ARRIVAL, source=False)
            self._targets[id(expected)] = (self._says.about.end(end, Path.FORWARD, source=False), end)
        return self._targets[id(expected)][0]
