"""Do the expectations of a program hold? The answer in words, with places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.analysis.proof import NotProved, outcome, packet, place, ruling, turn_place
from compiler.analysis.quotes import Quotes
from compiler.resources.language import Program, Rule, Statement
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.proof.expectations import Failed, judge
from compiler.semantics.proof.translations import Strayed, judge_translations
from compiler.semantics.rules.netfilter import Hook
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located
from grammar.source import printable


@dataclass(frozen=True, slots=True)
class Expected:
    """`failed`: what does not hold, each with a packet, several lines. `remarks`: expectations that speak of nobody,
    and rules that none constrains."""

    failed: tuple[str, ...]
    remarks: tuple[str, ...]


def expected(
    program: Program,
    policies: Sequence[Located],
    snapshot: Snapshot,
    families: Sequence[int] = (4, 6),
    failsafe: Sequence[Rule] = (),
    exempt: Sequence[Rule] = (),
) -> Expected:
    """The expectations of a program, for all packets that they speak of; `exempt`: of what its raw statements never
    drop. Raises NotProved."""
    try:
        found = judge(program, [one.value for one in policies], snapshot, families, failsafe)
        translated = judge_translations(program, snapshot, families, exempt)
    except Unprovable as error:
        raise NotProved(f"cannot be proved: {error}") from None
    quotes = Quotes(policies)
    idle: list[Statement] = [*found.idle, *translated.idle]
    remarks = [f"{one.span}: speaks of no packet, so it holds: {printable(one.text)}" for one in idle]
    remarks += [
        f"{one.span}: not of IPv{version}, in which its target has no address: {printable(one.text)}"
        for one, version in translated.halves
    ]
    if program.expectations:
        remarks += [
            f"no expectation constrains {place(one)}: {printable(one.rule.text)}" for one in found.unconstrained
        ]
        remarks += [
            f"no expectation constrains {turn_place(one)}: {printable(one.statement.text)}"
            for one in translated.unconstrained
        ]
    failed = [*(_told(one, quotes) for one in found.failed), *map(_strayed, translated.failed)]
    return Expected(tuple("\n".join(lines) for lines in failed), tuple(remarks))


def _told(failed: Failed, quotes: Quotes) -> Iterator[str]:
    yield f"{failed.expected.span}: error: this does not hold: {printable(failed.expected.text)} [expectation]"
    yield f"  {packet(failed.case)}"
    yield from (f"  {line}" for line in ruling(failed.said, quotes))


def _strayed(strayed: Strayed) -> Iterator[str]:
    yield f"{strayed.expected.span}: error: this does not hold: {printable(strayed.expected.text)} [expectation]"
    yield f"  {packet(strayed.case, 'arrives', Hook.PREROUTING)}"
    yield f"  program: {outcome(strayed.outcome, strayed.case.packet.version)}"
    if strayed.turn is not None:
        yield f"    {turn_place(strayed.turn)}: {printable(strayed.turn.statement.text)}"
