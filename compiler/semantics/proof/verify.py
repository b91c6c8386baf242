"""Policies == text of rules? Equal, or packets on which they differ, with what the policies say of each.

The proof is complete for every packet that has the fields of `space`: both sides are built as canonical diagrams,
the policies' from the resources, the text's by executing it symbolically, and compared path by path and family by
family. Neither side knows how the compiler came to its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

from compiler.resources.language import NO_PROGRAM, Opaque, Program, Rule
from compiler.semantics.diagrams.cells import Cells, Unforeseen
from compiler.semantics.diagrams.clauses import Clauses
from compiler.semantics.diagrams.diagram import NOTHING
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.odds import Odds, settled
from compiler.semantics.diagrams.policy_diagram import LOCAL, PolicyDiagrams
from compiler.semantics.diagrams.questions import of_policies, of_rules, told_apart
from compiler.semantics.diagrams.space import Path, Space, address_text, space
from compiler.semantics.diagrams.spots import Spot
from compiler.semantics.diagrams.text_diagram import TextDiagrams
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet
from compiler.semantics.proof.as_written import found_in
from compiler.semantics.proof.boxes import case_of, numbers_of
from compiler.semantics.proof.case import Case, Said, said
from compiler.semantics.proof.flows import as_they_are, rewrites
from compiler.semantics.proof.items import lists
from compiler.semantics.proof.program import ProgramOracle, filters, in_baseline, in_order
from compiler.semantics.proof.program_diagram import ProgramDiagrams, baseline_blocks
from compiler.semantics.proof.program_ends import ProgramEnds, of_program
from compiler.semantics.proof.text_parts import of_filter
from compiler.semantics.proof.verify_tables import CARRIED, TableComparison, TableWitness
from compiler.semantics.rules.journey import Route, Situation, Trace, Unanswerable
from compiler.semantics.rules.netfilter import Field, Hook, Ruleset
from compiler.semantics.rules.trace import Tracer
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot

#: So many witnesses for each path and family.
MOST_WITNESSES = 3


@dataclass(frozen=True, slots=True)
class Witness:
    """A case on which policies and text differ; `found` is what the text makes of it: "accept", "drop", or the
    statement whose effect is not known. `trace`: its way through the rules, unless they have something on the way that
    cannot be followed. `setting`: who the ends are, in words, where the input knows no pod."""

    case: Case
    said: Said
    found: str
    trace: Trace | None = None
    setting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Equal:
    """`families` are those that were proved; `given`: on what it hangs, in words."""

    families: tuple[int, ...]
    given: str = ""


@dataclass(frozen=True, slots=True)
class Different:
    """At least one."""

    witnesses: tuple[Witness | TableWitness, ...]


class _Says:
    """What policies and program say at a node. Raises Unprovable for programs of which that is not known yet."""

    def __init__(
        self,
        policies: Sequence[AnyPolicy],
        snapshot: Snapshot,
        program: Program,
        node: str | None,
        failsafe: tuple[Rule, ...],
    ) -> None:
        self._policies, self._snapshot, self._program = policies, snapshot, program
        self.node, self.failsafe = node, failsafe
        #: Whether the program takes part.
        self.of_program = filters(program)
        self._lists = lists(program, in_order(program, policies), failsafe)
        self._opaque = [one.item for one in self._lists.every() if isinstance(one.item, Opaque)]

    @cached_property
    def of_one(self) -> Callable[[Case], Said]:
        """One packet at a time."""
        if self.of_program:
            return ProgramOracle(self._program, self._policies, self._snapshot, self.node, self.failsafe).said
        oracle = Oracle(self._policies, self._snapshot)
        return lambda case: said(oracle, self.node, case)

    def of_all(
        self, clauses: Clauses, ends: ProgramEnds, over: Space, region: int, matches: Matches
    ) -> PolicyDiagrams | ProgramDiagrams:
        """All packets of a space that count."""
        policies = PolicyDiagrams(clauses, self.node, over, region)
        if not self.of_program:
            return policies
        return ProgramDiagrams(self._lists, ends, self.node, policies, over, matches)

    def as_written(self, ruleset: Ruleset, version: int) -> dict[Spot, str]:
        """Where a text has stateful matches of rules that stand in the program as they are."""
        asked = {
            Hook(path.value): [one.item for one in self._lists.asked(path) if isinstance(one.item, Opaque)]
            for path in Path
        }
        return found_in(ruleset, version, asked)

    @property
    def given(self) -> str:
        """On what a proof hangs, in words."""
        every = [*self._opaque, *as_they_are(self._program)]
        named = ", ".join(f"{one.name} ({one.span.file_line})" for one in every)
        many = f"{len(every)} rule{'s' * (len(every) > 1)}"
        return f"with {many} of one tool, unverified: {named}" if every else ""


class Verifier:
    """Policies and a snapshot, prepared once for the rules of any number of nodes. `program`: what the policy language
    says beside them. It is about packets that pass pods by, too, and how a reject answers has to agree; log is no
    effect that counts. Without pods and policies, it is that of a machine by itself."""

    def __init__(self, policies: Iterable[AnyPolicy], snapshot: Snapshot, program: Program = NO_PROGRAM) -> None:
        self._policies, self._snapshot, self._program = tuple(policies), snapshot, program
        #: By family.
        self._clauses: dict[int, Clauses] = {}
        self._ends: dict[int, ProgramEnds] = {}

    @property
    def obstacle(self) -> str:
        """Why nothing can be proved of any rules; empty when there is nothing in the way. Policies alone are for
        `AloneVerifier`."""
        by_itself = self._program != NO_PROGRAM and not self._policies
        if by_itself or self._snapshot.complete or any(pod.holds_addresses for pod in self._snapshot.pods):
            return ""
        if self._program != NO_PROGRAM:
            return (
                "the input has policies, and no pod with an address: policies alone are proved for every cluster there "
                "may be, which a program beside them is not; name the pods, or leave the policies out"
            )
        return "no pod with an address in the input, so there is no packet that any policy is about"

    def verify(
        self,
        node: str | None,
        ruleset: Ruleset,
        families: Sequence[int] = (4, 6),
        failsafe: Sequence[Rule] = (),
        exempt: Sequence[Rule] = (),
        carried: int = CARRIED,
    ) -> Equal | Different:
        """Whether the rules mean what the policies say, on this node (None: with every pod as a subject). `failsafe`:
        rules in front of the program's list for the node; `exempt`: of what its raw statements never drop; `carried`:
        bits of the mark that are netpolc's own. Raises `Unprovable` for rules that no diagram can hold."""
        if self.obstacle:
            raise Unprovable(self.obstacle)
        says = _Says(self._policies, self._snapshot, self._program, node, tuple(failsafe))
        deciding = of_filter(ruleset) if rewrites(self._program) else ruleset
        found: list[Witness | TableWitness] = []
        given = [says.given]
        for version in families:
            found += self._differences(says, deciding, version)
        for version in families if rewrites(self._program) else ():
            tables = TableComparison(self._program, self._ends[version], ruleset, exempt, carried)
            found += tables.witnesses()
            given += [f"the mark's bits {carried:#x} being netpolc's own"] * tables.carries
        told = ", ".join(dict.fromkeys(filter(None, given)))
        return Different(tuple(found)) if found else Equal(tuple(families), told)

    def _differences(self, says: _Says, ruleset: Ruleset, version: int) -> list[Witness]:
        clauses = self._clauses.get(version)
        if clauses is None:
            ends = self._ends[version] = ProgramEnds(Ends(self._snapshot, version), self._snapshot)
            blocks = baseline_blocks(in_baseline(self._program), ends)
            clauses = self._clauses[version] = Clauses(self._policies, ends.ends, blocks)
        asked = [*of_policies(clauses, says.node), *of_rules(ruleset, version)]
        asked += of_program(self._program, says.failsafe, self._ends[version])
        while True:
            cells = told_apart(version, asked)
            try:
                return list(self._compared(clauses, says, ruleset, cells))
            except Unforeseen as more:
                asked += [(end, more.ranges) for end, own in cells.items() if own is more.cells]

    def _compared(
        self, clauses: Clauses, says: _Says, ruleset: Ruleset, cells: Mapping[Field, Cells]
    ) -> Iterator[Witness]:
        version = clauses.ends.version
        own = [(address, address) for address in clauses.subjects(says.node)]
        shown: dict[Path, int] = dict.fromkeys(Path, 0)
        # Packets to our pods and packets to others, each with the address of our pods asked first.
        for source_first in (False, True):
            over = space(version, source_first, cells)
            made = over.made
            ours = made.inside(over.destination, own)
            region = made.outside(ours) if source_first else ours
            if region == NOTHING:
                continue
            matches = Matches(over)
            wanted = says.of_all(clauses, self._ends[version], over, region, matches)
            known = says.as_written(ruleset, version)
            text = TextDiagrams(ruleset, over, region, True, says.of_program, matches=matches, known=known)
            for path in Path:
                # Of the packets behind DNAT, in terms of those in front.
                out, among, meant = (
                    text.before(path, one) for one in (wanted.impossible(path), region, wanted.at(path))
                )
                out = made.where(out, made.outcome("impossible"))
                sides = [made.where(among, made.first([out, side])) for side in (meant, text.at(path))]
                one, two = (settled(made, side, text.coins(path)) for side in sides)
                for box, wants, found in islice(made.differences(one, two), MOST_WITNESSES - shown[path]):
                    shown[path] += 1
                    case = case_of(path, over, box, text.matches.opaque)
                    given = text.translated(path, numbers_of(case, over, box))
                    behind = replace(case, packet=_translated(case.packet, given))
                    words = () if behind == case else (f"translated: {behind.packet}",)
                    trace = way_of(ruleset, case, behind.packet.dst)
                    told = says.of_one(behind)
                    told = replace(told, note=str(wants)) if isinstance(wants, Odds) else told
                    yield Witness(case, told, str(found), trace, words)


def verify(
    policies: Iterable[AnyPolicy],
    snapshot: Snapshot,
    node: str | None,
    ruleset: Ruleset,
    families: Sequence[int] = (4, 6),
    program: Program = NO_PROGRAM,
    failsafe: Sequence[Rule] = (),
    exempt: Sequence[Rule] = (),
) -> Equal | Different:
    """The rules of one node, from scratch."""
    return Verifier(policies, snapshot, program).verify(node, ruleset, families, failsafe, exempt)


def _translated(packet: Packet, given: Mapping[Field, int]) -> Packet:
    """The packet behind DNAT."""
    to = given.get(Field.DESTINATION)
    dst = packet.dst if to is None else address_text(packet.version, to)
    return replace(packet, dst=dst, dport=given.get(Field.DESTINATION_PORT, packet.dport))


def way_of(ruleset: Ruleset, case: Case, destination: str | None = None) -> Trace | None:
    """The way of the witness, as the kernel would go it; `destination`: behind DNAT, where that is another one."""
    packet, local = case.packet, set[str]()
    if case.path is Path.INPUT:
        local.add(destination or packet.dst)
    if case.path is Path.FORWARD:  # a router takes one hop off in front of the hook
        packet = replace(packet, hop_limit=min(packet.hop_limit + 1, 255))
    if case.source_type is LOCAL:
        local.add(packet.src)
    sent = case.path is Path.OUTPUT
    situation = Situation(
        packet,
        Route.SENT if sent else Route.ARRIVES,
        frozenset(local),
        "" if sent else case.input,
        case.output,
        case.state,
        case.mark,
    )
    try:
        return Tracer(ruleset, lambda test, _: case.others.get(test.text, False)).trace(situation)
    except (Unanswerable, ValueError):
        return None
