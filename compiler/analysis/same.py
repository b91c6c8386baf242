"""Do two texts of rules do the same? The answer in words, with the packet's way through both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compiler.analysis.proof import NotProved, understood
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.packet import Packet
from compiler.semantics.proof.equivalence import Equal, equivalent
from compiler.semantics.proof.way_witness import WayWitness
from compiler.semantics.proof.way_words import told
from compiler.semantics.rules.journey import Trace
from compiler.semantics.rules.netfilter import State
from grammar.source import printable


class TooDeep(NotProved):
    """Chains lead into each other more often than can be followed."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`text`: the packet, what becomes of it, and its way through both texts. `lines`: (file, line) of the first text's
    rules on it."""

    text: str
    lines: frozenset[tuple[str, int]]


def differences(
    one: Iterable[tuple[str, str]],
    two: Iterable[tuple[str, str]],
    families: Sequence[int],
    names: tuple[str, str],
    apart: bool = False,
    partly: bool = False,
) -> tuple[Difference, ...]:
    """Where texts of rules, (name, text) each, differ for packets of these families: some packets, or nothing when all
    fare alike. `names`: what the two sides are called; `apart`: where limits keep their counts does not matter;
    `partly`: rules of nft that are not understood stand for themselves, and do the same where their words are the same
    and come to the same. Raises NotProved."""
    try:
        found = equivalent(understood(one, partly), understood(two, partly), families, apart)
    except Unprovable as error:
        raise NotProved(f"cannot be compared: {error}") from None
    except RecursionError:
        raise TooDeep("cannot be compared: hundreds of chains lead into each other") from None
    if isinstance(found, Equal):
        return ()
    return tuple(_difference(witness, names) for witness in found.witnesses)


def _difference(witness: WayWitness, names: tuple[str, str]) -> Difference:
    first = witness.traces[0]
    steps = () if first is None else tuple(step for stop in first.stops for step in stop.steps)
    spans = (step.rule.place.span for step in steps)
    return Difference("\n".join(_told(witness, names)), frozenset((span.file, span.line) for span in spans))


def _told(witness: WayWitness, names: tuple[str, str]) -> Iterator[str]:
    packet = witness.situation.packet
    yield f"{packet} ({', '.join(_beside(witness))})"
    version = 6 if ":" in packet.src else 4
    width = max(map(len, names))
    for name, outcome, trace in zip(names, (witness.one, witness.two), witness.traces, strict=True):
        yield f"  {name:<{width}}  {printable(told(outcome, version))}"
        yield from (f"    {line}" for line in _way(trace))


def _beside(witness: WayWitness) -> Iterator[str]:
    """What else is known of the packet."""
    situation = witness.situation
    yield witness.question.way.value
    if witness.question.routing:
        yield "as routing is told"
    if witness.question.known:
        yield "of a connection that may be translated"
    if situation.state not in (None, State.NEW):
        yield f"state {situation.state.name.lower()}"
    yield from [f"in by {printable(situation.input)}"] * bool(situation.input)
    yield from [f"out by {printable(situation.output)}"] * bool(situation.output)
    yield from [f"mark {situation.mark:#x}"] * bool(situation.mark)
    yield from _own(situation.packet, situation.local)
    yield from (f"{printable(text)}: {value}" for text, value in witness.open.items())


def _own(packet: Packet, local: frozenset[str]) -> Iterator[str]:
    for what, address in (("source", packet.src), ("destination", packet.dst)):
        if address in local:
            yield f"the {what} is the node's own address"


def _way(trace: Trace | None) -> Iterator[str]:
    for stop in trace.stops if trace is not None else ():
        for step in stop.steps:
            where = f"{step.rule.place.span.file_line}: {stop.hook.value}, chain {printable(step.chain.name)}"
            yield f"{where}: {' '.join(printable(step.rule.place.text).split())[:120]}"
        if stop.by_policy and not stop.passed:
            yield f"{stop.hook.value}, chain {printable(stop.chain.name)}: its policy"
