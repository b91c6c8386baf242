"""Do the expectations of a program hold, for all packets that they speak of? And which rules does none constrain?

An expectation speaks of first packets (state new) from its source to its target at its ports:

| hook | packets |
|---|---|
| FORWARD | whose source and target are of the ends |
| INPUT | whose source is of the end: where the target says `self`, all; else those to a known address of a node |
| OUTPUT | only where the source says `self` or `nodes`: those of the node's own |

The node's own connections, those that come in by lo among them, count for no other source, and nobody counts them among
others. Nobody can stop neighbour discovery and a pod's way to itself, so nobody speaks of them; nor of packets that no
machine sees on a path. Rules and policies count as for the whole cluster, each pod's wherever it runs.

`A can reach B`: every such packet passes. `A cannot reach B`: none does; an answer is no way to reach. `only A can
reach B`: of packets from others than A, none passes; whether A can is not said. `only A cannot`: all of those do.

A rule is *constrained* when an expectation that holds would fail if this rule alone said something else: the rule
decides a packet that has to pass, or one that has to be stopped and that nothing behind the rule stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compiler.resources.language import Item, Nodes, Opaque, PolicyBlock, Program, Reaches, Rule, ThisNode
from compiler.semantics.diagrams.cells import Unforeseen
from compiler.semantics.diagrams.clauses import Clauses
from compiler.semantics.diagrams.diagram import IN, NOTHING
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.policy_diagram import LOCAL, PolicyDiagrams
from compiler.semantics.diagrams.questions import of_policies, told_apart
from compiler.semantics.diagrams.ranges import runs
from compiler.semantics.diagrams.space import ACCEPT, DROP, Level, Path, space
from compiler.semantics.proof.boxes import case_of
from compiler.semantics.proof.case import Case, Decided, Said
from compiler.semantics.proof.items import Label, lists
from compiler.semantics.proof.program import ProgramOracle, in_baseline, in_order
from compiler.semantics.proof.program_diagram import ProgramDiagrams, baseline_blocks
from compiler.semantics.proof.program_ends import ProgramEnds, names, of_program
from compiler.semantics.rules.netfilter import State
from compiler.semantics.rules.numbers import interface
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot

_LOOPBACK = interface("lo", "*")
_STOPS = (DROP, "reject ", "unknown: ")


@dataclass(frozen=True, slots=True)
class Failed:
    """A packet that fares otherwise than expected, and what program and policies say of it."""

    expected: Reaches
    case: Case
    said: Said


@dataclass(frozen=True, slots=True)
class Judged:
    """`failed`: one for each expectation that does not hold. `idle`: expectations that speak of no packet.
    `unconstrained`: rules that no expectation constrains; those of a failsafe are nobody's to expect."""

    failed: tuple[Failed, ...]
    idle: tuple[Reaches, ...]
    unconstrained: tuple[Decided, ...]


class _Found(NamedTuple):
    """Of an expectation in one family."""

    speaks: bool
    against: Case | None
    constrains: frozenset[Label]


def judge(
    program: Program,
    policies: Iterable[AnyPolicy],
    snapshot: Snapshot,
    families: Sequence[int] = (4, 6),
    failsafe: Sequence[Rule] = (),
) -> Judged:
    """The expectations of a program about who can reach whom. Raises Unprovable."""
    expected = [one for one in program.expectations if isinstance(one, Reaches)]
    known = tuple(policies)
    sides = [_family(program, expected, known, snapshot, version, failsafe) for version in families]
    oracle = ProgramOracle(program, known, snapshot, None, failsafe)
    failed, idle, constrained = [], [], set[Label]()
    for one, *found in zip(expected, *sides, strict=True):
        case = next((side.against for side in found if side.against is not None), None)
        if case is not None:
            failed.append(Failed(one, case, oracle.said(case)))
        elif not any(side.speaks for side in found):
            idle.append(one)
        else:
            constrained.update(*(side.constrains for side in found))
    every = [one for one in lists(program, in_order(program, known)).every() if _decides(one.item)]
    rules = [(one.label, one.decided) for one in every]
    rules += [(("baseline", n), rule) for n, rule in enumerate(_of_blocks(in_baseline(program)))]
    free = tuple(rule for label, rule in rules if label not in constrained)
    return Judged(tuple(failed), tuple(idle), free)


def _of_blocks(blocks: Sequence[PolicyBlock]) -> Iterator[Decided]:
    for block in blocks:
        yield from (Decided(f"policy {block.name}", n, rule) for n, rule in enumerate(block.rules))


def _decides(item: Item) -> bool:
    """Whether it is counted: what stands as it is, lists and rules that leave them or only note packets are not."""
    return isinstance(item, Rule) and item.verb not in ("log", "leave")


def _family(
    program: Program,
    expected: Sequence[Reaches],
    policies: Sequence[AnyPolicy],
    snapshot: Snapshot,
    version: int,
    failsafe: Sequence[Rule],
) -> list[_Found]:
    """Each expectation, of packets of one family."""
    ends = ProgramEnds(Ends(snapshot, version), snapshot)
    known = lists(program, in_order(program, policies), failsafe)
    blocks = tuple(baseline_blocks(in_baseline(program), ends))
    clauses = Clauses(policies, ends.ends, blocks)
    asked = [*of_policies(clauses, None), *of_program(program, failsafe, ends)]
    while True:
        over = space(version, cells=(cells := told_apart(version, asked)))
        try:
            behind = PolicyDiagrams(clauses, None, over)
            says = ProgramDiagrams(known, ends, None, behind, over)
            side = _Side(says, ends, [rule for block in blocks for rule in block.rules])
            return [side.found(one) for one in expected]
        except Unforeseen as more:
            asked += [(end, more.ranges) for end, cut in cells.items() if cut is more.cells]


class _OnPath(NamedTuple):
    """First packets on a path. `lists`: of each list, which rule decides, and the packets that all the others let pass;
    `turned`: by rule of the baseline tier those that would pass if it said the contrary; `unknown`: those of which
    nobody knows what becomes of them."""

    lists: tuple[tuple[int, int], ...]
    passing: int
    stopped: int
    turned: tuple[tuple[Label, int], ...]
    unknown: int


class _Side:
    """The packets of one family; `baseline`: the rules of the baseline tier."""

    def __init__(self, says: ProgramDiagrams, ends: ProgramEnds, baseline: Sequence[Label]) -> None:
        self._says, self._over, self._made = says, says.over, says.over.made
        self._baseline = baseline
        self._nodes = tuple(runs(address for own in ends.ends.of_node.values() for address in own))
        self._paths: dict[Path, _OnPath] = {}

    def _on(self, path: Path) -> _OnPath:
        found = self._paths.get(path)
        if found is None:
            made, says = self._made, self._says
            verdicts = {made.outcome(one.label): says.verdict(one) for one in says.lists.every()}
            asked = (says.of_packets, says.of_blocks, says.of_list)
            first, blocks, last = (ask(path, lambda one: made.outcome(one.label)) for ask in asked)
            decided = made.relabel(blocks, verdicts)
            come = self._let_through(says.before_list(path, decided))
            taken, left = (self._not_stopped(made.relabel(one, verdicts)) for one in (first, last))
            beside = made.where(taken, left)
            passing = made.where(beside, come)
            turned = tuple(
                (rule, made.where(beside, self._let_through(says.before_list(path, decided, rule))))
                for rule in self._baseline
            )
            lists = ((first, made.where(left, come)), (blocks, beside), (last, made.where(taken, come)))
            opaque = any(isinstance(one.item, Opaque) for one in says.lists.every())
            whole = says.at(path) if opaque else NOTHING
            unknown = self._said(whole, lambda said: str(said).startswith("unknown: "))
            found = self._paths[path] = _OnPath(lists, passing, made.outside(passing), turned, unknown)
        return found

    def _said(self, diagram: int, holds: Callable[[object], bool]) -> int:
        """The packets of which the diagram says such a thing."""
        outcomes = self._made.outcomes().items()
        return self._made.relabel(diagram, {leaf: IN if holds(said) else NOTHING for said, leaf in outcomes})

    def _not_stopped(self, diagram: int) -> int:
        return self._made.outside(self._said(diagram, lambda said: str(said).startswith(_STOPS)))

    def _let_through(self, diagram: int) -> int:
        return self._said(diagram, lambda said: said == ACCEPT)

    def found(self, expected: Reaches) -> _Found:
        made, says, speaks, constrains = self._made, self._says, False, set[Label]()
        for path in Path:
            among = self._spoken(expected, path)
            if among == NOTHING:
                continue
            speaks, on = True, self._on(path)
            passes = expected.can != expected.only
            wrong = made.where(on.stopped if passes else on.passing, among)
            if made.where(among, on.unknown) != NOTHING:
                raise Unprovable(f"{expected.span.file_line}: nobody knows what becomes of some of its packets")
            box = next((box for box, *_ in made.differences(wrong, NOTHING)), None)
            if box is not None:
                return _Found(True, case_of(path, self._over, box, says.matches.opaque), frozenset())
            decide = [
                made.where(among if passes else made.where(among, beside), decides) for decides, beside in on.lists
            ]
            constrains.update(said for one in decide for said in made.said(one) if isinstance(said, tuple))
            right = among if passes else NOTHING
            constrains.update(rule for rule, turned in on.turned if made.where(among, turned) != right)
        return _Found(speaks, None, frozenset(constrains))

    def _spoken(self, expected: Reaches, path: Path) -> int:
        """The packets on the path that an expectation speaks of."""
        made, over, says = self._made, self._over, self._says
        source = says.about.end(expected.source, path, source=True)
        target = says.about.end(expected.target, path, source=False)
        own = [made.inside(Level.SOURCE_TYPE, [(LOCAL, LOCAL)])]
        if path is Path.OUTPUT:
            if expected.only or not names(expected.source, ThisNode, Nodes):
                return NOTHING
            if not names(expected.source, ThisNode):
                source = made.where(made.inside(over.source, self._nodes), source)
            among = own[0]
        else:
            among = IN
            if path is Path.FORWARD:
                own.append(made.inside(Level.DESTINATION_TYPE, [(LOCAL, LOCAL)]))
            else:
                own.append(made.inside(Level.INPUT, [_LOOPBACK]))
                if not names(expected.target, ThisNode):
                    target = made.where(made.inside(over.destination, self._nodes), target)
            if path is Path.FORWARD or expected.only or not names(expected.source, ThisNode, Nodes):
                among = made.outside(made.first(own))
        if expected.only:
            source = made.outside(source)
        among = made.where(among, made.inside(Level.STATE, [(State.NEW, State.NEW)]))
        for part in (source, target, says.about.ports(expected.ports)):
            among = made.where(among, part)
        return made.where(made.outside(made.first([says.exempt(), says.impossible(path)])), among)
