"""Where the statements of nat, mangle and raw are asked, and of which packets there.

What comes in by `lo` the node has sent itself: it was asked in OUTPUT, and in PREROUTING only statements are for it
that name the interface. Only OUTPUT is sure to be about this node, and PREROUTING to be not; elsewhere `self` is who
has one of its addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from compiler.backends.target import Target
from compiler.ir.match import Inbound, InPrefix, Match
from compiler.ir.names import base_name
from compiler.ir.ruleset import Accept, Chain, Hook, Jump, Return, Rule, Table
from compiler.lower.asking import Asking, Question, once
from compiler.lower.segments import Segments
from compiler.net import Family
from compiler.policy import Origin
from compiler.resolve.ends import LOOPBACK, Here, Side
from compiler.resources.language import Anyone, End, Flow, Ports, Statement

SIDES: Mapping[Hook, tuple[Side, Side]] = {
    Hook.PREROUTING: (Side(Here.NEVER, arriving=True), Side(Here.ASKED, interfaces=False)),
    Hook.INPUT: (Side(Here.ASKED), Side(Here.ALWAYS, interfaces=False)),
    Hook.FORWARD: (Side(Here.ASKED), Side(Here.ASKED)),
    Hook.OUTPUT: (Side(Here.ALWAYS, interfaces=False), Side(Here.ASKED)),
    Hook.POSTROUTING: (Side(Here.ASKED, optional=True), Side(Here.ASKED)),
}
ANYONE = Anyone()

#: In names of chains, and for the reader of the script.
SHORT: Mapping[Hook, str] = {
    Hook.PREROUTING: "pre",
    Hook.INPUT: "in",
    Hook.FORWARD: "fwd",
    Hook.OUTPUT: "out",
    Hook.POSTROUTING: "post",
}
ABOUT: Mapping[Hook, str] = {
    Hook.PREROUTING: "what arrives",
    Hook.INPUT: "what is for this node itself",
    Hook.FORWARD: "what is forwarded",
    Hook.OUTPUT: "what this node itself sends",
    Hook.POSTROUTING: "what leaves",
}

#: What is asked of packets: in which family (None: the same of both), and what.
Asked = list[tuple[Family | None, Question]]


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a flow. `answering`: the ports are those of the source."""

    source: End
    target: End
    ports: Ports = None
    answering: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A statement at a hook: a rule without matches, and what to ask for it."""

    rule: Rule
    asked: Asked


def base(table: Table, hook: Hook, rules: Iterable[Rule]) -> Chain:
    """Our base chain there."""
    note = f"{table.value} statements of a program: {ABOUT[hook]}"
    return Chain(base_name(table, hook), tuple(rules), hook, table, notes=(note,))


def ways(flow: Flow, connections: bool = False) -> Iterator[Way]:
    """The directions of a flow: packets back have the ports at their source, connections back at their target."""
    source, target = flow.source or ANYONE, flow.target or ANYONE
    yield Way(source, target, flow.ports)
    if flow.both_ways:
        yield Way(target, source, flow.ports, answering=not connections)


def origin(statement: Statement, table: Table, number: int) -> Origin:
    """Where a rule comes from: the statements of a table are counted through all blocks."""
    return Origin(table.value, "", "block", f"statement[{number}]", statement.span)


class Flows:
    """Asks for packets of flows at any hook. `admitted`: of packets that a list around has let in, so that nothing
    leaves out what comes by `lo`."""

    def __init__(self, asking: Asking, target: Target, admitted: bool = False) -> None:
        self._asking = asking
        self.families = target.families
        self._admitted = admitted

    def sides(self, hook: Hook) -> tuple[Side, Side]:
        """Who is met at the two ends there."""
        source, target = SIDES[hook]
        return (replace(source, arriving=False) if self._admitted else source), target

    def asked(self, statement: Statement, flow: Iterable[Way], hook: Hook) -> Asked:
        """Packets of the ways at the hook, each alternative once."""
        found = list(flow)
        return once({family: self.of_family(statement, found, hook, family) for family in self.families})

    def of_family(self, statement: Statement, flow: Iterable[Way], hook: Hook, family: Family) -> list[Question]:
        """The same for one family."""
        made: dict[Question, None] = {}
        for way in flow:
            questions = self._asking.between(
                statement, way.source, way.target, way.ports, family, self.sides(hook), way.answering
            )
            made.update(dict.fromkeys(questions))
        return list(made)


def guarded(entries: Sequence[Entry]) -> tuple[list[Rule], list[Entry]]:
    """What no statement of a hook is for leaves its base chain at once, and is asked by none of them any more."""
    questions = [question for entry in entries for _, question in entry.asked]
    excepted = dict.fromkeys(match for question in questions for match in question.exceptions)
    common = [one for one in excepted if all(one in q.exceptions or _apart(one, q) for q in questions)]
    guards = [
        Rule((one,), Accept(), one.prefix.family if isinstance(one, InPrefix) else None, note="for no statement here")
        for one in common
    ]
    return guards, [replace(entry, asked=[(f, _without(q, common)) for f, q in entry.asked]) for entry in entries]


def first_match(name: str, table: Table, entries: Sequence[Entry]) -> tuple[list[Rule], list[Chain]]:
    """Rules at the end of a base chain, and the chains that they lead to: the first entry that fits decides; Return is
    for leaving the base chain."""
    found = Segments(name, [f"{table.value} statements of a program, the first that fits decides"])
    aside: list[Chain] = []
    for exceptions, group in groupby(entries, key=_excepted):
        if not exceptions:
            for entry in group:
                found.add(entry.rule, entry.asked)
            continue
        # What ends the packet's way wherever it stands is asked in a chain aside: nft allows few chains in a row.
        own = Segments(f"{name}-x{len(aside) + 1}", ["for what it does not leave out at its beginning"])
        several = list(group)
        for entry in several:
            own.add(entry.rule, entry.asked)
        chains = own.chains(Return())
        found.add(replace(several[0].rule, verdict=Jump(chains[0].name)), [(None, Question(()))])
        aside += chains
    made = found.chains(Return())
    rules = [rule for chain in made[:1] for rule in chain.rules if isinstance(rule, Rule)]
    return (
        [replace(rule, verdict=Accept()) if rule.verdict == Return() else rule for rule in rules],
        [replace(chain, table=table) for chain in (*made[1:], *aside)],
    )


def _excepted(entry: Entry) -> tuple[tuple[Match, ...], ...]:
    """What an entry leaves out, one for each of its questions that does; nothing where it leads behind the list, which
    only the list itself can do."""
    if entry.rule.verdict == Return():
        return ()
    return tuple(dict.fromkeys(one.exceptions for _, one in entry.asked if one.exceptions))


def _without(question: Question, common: Sequence[Match]) -> Question:
    return question._replace(exceptions=tuple(one for one in question.exceptions if one not in common))


def _apart(exception: Match, question: Question) -> bool:
    """Whether the question cannot be about packets that came in by `lo`, which is what the exception says."""
    if exception != Inbound(LOOPBACK):
        return False
    by = [match for match in question.matches if isinstance(match, Inbound)]
    return any(not (LOOPBACK.startswith(one.interface) if one.prefix else one.interface == LOOPBACK) for one in by)
