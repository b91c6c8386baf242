"""Does a text of rules mean what the policies say? The answer in words, with places on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compiler.analysis.quotes import Quotes, title
from compiler.errors import Diagnostic, NetpolcError, Severity
from compiler.resources.language import NO_PROGRAM, Program, Rule
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.odds import Odds
from compiler.semantics.diagrams.space import ACCEPT, Path
from compiler.semantics.proof.as_written import not_understood
from compiler.semantics.proof.case import Case, Decided, Said
from compiler.semantics.proof.flows import Turn
from compiler.semantics.proof.verify import Equal, Verifier, Witness
from compiler.semantics.proof.verify_alone import AloneVerifier
from compiler.semantics.proof.verify_tables import CARRIED, TableWitness
from compiler.semantics.proof.way_words import told as words_of
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.effects import Outcome
from compiler.semantics.rules.journey import Trace
from compiler.semantics.rules.netfilter import AddressType, Hook, Ruleset, State
from compiler.semantics.verdict import Because, Direction, Ruling
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located
from grammar.ruletext import Refused
from grammar.source import printable

_WHERE = {Path.FORWARD: "forwarded", Path.INPUT: "to the node", Path.OUTPUT: "from the node"}


class NotProved(NetpolcError):
    """Nothing can be said of these rules: the text is wrong, or has something that is not understood."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`witnesses` in words, several lines each; none when the rules mean what was wanted, "the policies say" or that of
    a program, too. `given`: on what that hangs. `ends`: addresses that the witnesses' packets come from and go to."""

    families: tuple[int, ...]
    witnesses: tuple[str, ...] = ()
    given: str = ""
    wanted: str = "the policies say"
    ends: frozenset[str] = frozenset()

    @property
    def equal(self) -> bool:
        return not self.witnesses


class Prover:
    """Policies and a snapshot, prepared once for the texts of any number of nodes. Where the snapshot has no pod with
    an address, rules are proved for all that there might be. `program`: what the policy language says beside them."""

    def __init__(self, policies: Sequence[Located], snapshot: Snapshot, program: Program = NO_PROGRAM) -> None:
        self._policies, self._program = policies, program
        self._wanted = "the policies say" if program == NO_PROGRAM else "program and policies say"
        values = [one.value for one in policies]
        self._verifier = Verifier(values, snapshot, program)
        alone = self._verifier.obstacle and program == NO_PROGRAM
        self._alone = AloneVerifier(values, snapshot) if alone else None

    def prove(
        self,
        node: str | None,
        texts: Iterable[tuple[str, str]],
        families: Sequence[int] = (4, 6),
        failsafe: Sequence[Rule] = (),
        exempt: Sequence[Rule] = (),
        mark_mask: int = CARRIED,
    ) -> Proof:
        """Policies against texts of rules, (name, text) each; `node` None: every pod of the snapshot is a subject;
        `families`: 4 and 6; `failsafe`: rules in front of the program's list for the node; `exempt`: of what its raw
        statements never drop; `mark_mask`: bits of marks that the rules use for themselves. Raises NotProved."""
        if flaws := list(not_understood(self._program, families)):
            raise NotProved(
                "\n".join(
                    Diagnostic(Severity.ERROR, flaw.span, flaw.message, flaw.code, flaw.excerpt).render()
                    for flaw in flaws
                )
            )
        ruleset = understood(texts)
        try:
            if self._alone is not None:
                found = self._alone.verify(node, ruleset, families)
            else:
                found = self._verifier.verify(node, ruleset, families, failsafe, exempt, mark_mask)
        except Unprovable as error:
            raise NotProved(f"cannot be proved: {error}") from None
        except RecursionError:
            raise NotProved("cannot be proved: hundreds of chains lead into each other") from None
        if isinstance(found, Equal):
            return Proof(found.families, given=found.given, wanted=self._wanted)
        quotes = Quotes(self._policies)
        told = (_told_of_table(one) if isinstance(one, TableWitness) else _told(one, quotes) for one in found.witnesses)
        ends = frozenset(end for one in found.witnesses for end in (one.case.packet.src, one.case.packet.dst))
        return Proof(tuple(families), tuple("\n".join(lines) for lines in told), ends=ends)


def understood(texts: Iterable[tuple[str, str]], partly: bool = False) -> Ruleset:
    """What texts of rules say, (name, text) each; `partly`: rules of nft that are not understood are kept as such.
    Raises NotProved."""
    try:
        return rulesets.read(texts, partly)
    except Refused as error:
        flaw = error.flaw
        told = "\n".join([f"{flaw.span}: error: {flaw.message} [{flaw.code}]", *flaw.excerpt])
        raise NotProved(told) from None


def _told(witness: Witness, quotes: Quotes) -> Iterator[str]:
    yield packet(witness.case)
    yield from (f"  {printable(line)}" for line in witness.setting)
    yield from (f"  {line}" for line in ruling(witness.said, quotes))
    yield f"  rules: {_found(witness)}"
    yield from (f"    {line}" for line in _way(witness.trace))


def _told_of_table(witness: TableWitness) -> Iterator[str]:
    case = witness.case
    kind = "filter chains" if witness.filters else "nat" if witness.nat else "raw and mangle"
    yield packet(case, f"{witness.hook.value}, {kind}", witness.hook)
    yield f"  program: {outcome(witness.said, case.packet.version)}"
    for turn in witness.turns:
        yield f"    {turn_place(turn)}: {printable(turn.statement.text)}"
    yield f"  rules: {outcome(witness.found, case.packet.version)}"
    yield from (f"    {line}" for line in _way(witness.trace))


def outcome(found: Outcome | Odds, version: int) -> str:
    """What becomes of a packet, in words."""
    if isinstance(found, Outcome):
        return printable(words_of(found, version))
    each = sorted((share, words_of(one, version)) for one, share in found.outcomes if isinstance(one, Outcome))
    return printable("; or ".join(f"{share} of them: {words}" for share, words in reversed(each)))


def packet(case: Case, where: str = "", hook: Hook | None = None) -> str:
    """The packet, and what else is known of it; `hook`: where it is, "" of a path."""
    beside = [where or _WHERE[case.path]]
    beside += [f"state {case.state.name.lower()}"] * (case.state is not State.NEW)
    if case.source_type is AddressType.LOCAL:
        beside.append("the source is the node's own address")
    if hook is not None and case.destination_type is AddressType.LOCAL:
        beside.append("the destination is the node's own address")
    if case.packet.hop_limit == 255 and case.packet.icmp_type is not None:
        beside.append("hop limit 255")
    came = case.input if hook not in (Hook.OUTPUT,) else ""
    goes = case.output if hook not in (Hook.PREROUTING, Hook.INPUT) else ""
    beside += [f"in by {printable(came)}"] * bool(came) + [f"out by {printable(goes)}"] * bool(goes)
    beside += [f"mark {case.mark:#x}"] * bool(case.mark)
    beside += [f"{printable(text)}: {'yes' if holds else 'no'}" for text, holds in case.others.items()]
    return f"{case.packet} ({', '.join(beside)})"


def ruling(said: Said, quotes: Quotes) -> Iterator[str]:
    """What policies and program say, and which rules it was that decided."""
    yield f"policies: {_verdict(said)}{_because(said.note)}"
    for decided in said.decided:
        yield f"  {place(decided)}: {printable(decided.rule.text)}"
    for direction, found in said.rulings.items():
        if found.because is not Because.NO_SUBJECT:
            yield f"  {_ruling(direction, found, quotes)}"


def _verdict(said: Said) -> str:
    if said.answer:
        return f"rejected, with {said.answer}"
    return "allowed" if said.allowed else "denied"


def turn_place(turn: Turn) -> str:
    """The block or list that a statement stands in, its place there, and file and line."""
    return f"{turn.where}[{turn.index}] ({turn.statement.span.file_line})"


def place(decided: Decided) -> str:
    """The list that a program's rule stands in, its place there, and file and line."""
    return f"{decided.where} rule[{decided.index}] ({decided.rule.span.file_line})"


def _because(note: str) -> str:
    return f": {note}" if note else ""


def _ruling(direction: Direction, ruling: Ruling, quotes: Quotes) -> str:
    verdict = "allowed" if ruling.allowed else "denied"
    if ruling.because is Because.RULE:
        (policy,), field = ruling.policies, direction.value.lower()
        place = quotes.place(policy, "spec", field, ruling.rule if ruling.rule is not None else 0)
        return f"{field} {verdict} by {title(policy)} {field}[{ruling.rule}] ({place})"
    by = ", ".join(f"{title(policy)} ({quotes.place(policy)})" for policy in ruling.policies[:3])
    more = f" and {len(ruling.policies) - 3} more" if len(ruling.policies) > 3 else ""
    return f"{direction.value.lower()} {verdict}, since {ruling.because.value}{f': {by}{more}' if by else ''}"


def _found(witness: Witness) -> str:
    if witness.found == ACCEPT:
        return "accepted"
    if witness.found.startswith("reject "):
        return f"rejected, with {witness.found.removeprefix('reject ')}"
    if witness.found.startswith("by chance, "):
        return witness.found
    return "dropped" if witness.found == "drop" else f"no answer, {printable(witness.found)}"


def _way(trace: Trace | None) -> Iterator[str]:
    for stop in trace.stops if trace is not None else ():
        for step in stop.steps:
            where = f"{step.rule.place.span.file_line}: {stop.hook.value}, chain {printable(step.chain.name)}"
            element = f" [{' '.join(printable(step.element.place.text).split())}]" if step.element is not None else ""
            yield f"{where}: {' '.join(printable(step.rule.place.text).split())[:120]}{element}"
        if stop.by_policy and not stop.passed:
            yield f"{stop.hook.value}, chain {printable(stop.chain.name)}: its policy"
