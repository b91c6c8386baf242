"""Do the expectations of a program hold? The answer in words, with places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.analysis.proof import NotProved, packet, place, ruling
from compiler.analysis.quotes import Quotes
from compiler.resources.language import Program, Rule
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.proof.expectations import Failed, judge
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
) -> Expected:
    """The expectations of a program, for all packets that they speak of. Raises NotProved."""
    try:
        found = judge(program, [one.value for one in policies], snapshot, families, failsafe)
    except Unprovable as error:
        raise NotProved(f"cannot be proved: {error}") from None
    quotes = Quotes(policies)
    remarks = [f"{one.span}: speaks of no packet, so it holds: {printable(one.text)}" for one in found.idle]
    if program.expectations:
        remarks += [
            f"no expectation constrains {place(one)}: {printable(one.rule.text)}" for one in found.unconstrained
        ]
    return Expected(tuple("\n".join(_told(one, quotes)) for one in found.failed), tuple(remarks))


def _told(failed: Failed, quotes: Quotes) -> Iterator[str]:
    yield f"{failed.expected.span}: error: this does not hold: {printable(failed.expected.text)} [expectation]"
    yield f"  {packet(failed.case)}"
    yield from (f"  {line}" for line in ruling(failed.said, quotes))
