"""Statements of nat, mangle and raw == a text of rules? Equal, or packets that fare otherwise.

A packet's way is a sequence of parts: at each hook what base chains of nat do, and what all others do; filter chains
are not among them (`text_parts`), and must change nothing. The program says of each part what it does to whatever
packet comes there, and so does the text. Where all parts are equal, whole ways are, and the filter chains are asked
about the same packets.

One thing a text may do on two hooks: POSTROUTING of iptables does not know where a packet came in, so bits of the mark
that nobody else uses may carry that there. Then what they are behind FORWARD has to follow from the inbound interface
alone, they have to be the same for all that the node sends, and POSTROUTING is asked with what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice

from compiler.resources.language import Mark, Program, Rule, Statement
from compiler.semantics.diagrams.diagram import NOTHING
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.odds import Odds, probability, settled
from compiler.semantics.diagrams.space import MARK_BITS, Level, Path, space
from compiler.semantics.diagrams.variables import Answer, Variables
from compiler.semantics.diagrams.way_diagram import Alike, Places, WayDiagrams, rules_met
from compiler.semantics.diagrams.way_settled import Settled, with_changes
from compiler.semantics.proof.boxes import case_of
from compiler.semantics.proof.case import Case
from compiler.semantics.proof.flows import Turn
from compiler.semantics.proof.program_ends import ProgramEnds
from compiler.semantics.proof.table_diagrams import BOUNDED, SYN, TableDiagrams
from compiler.semantics.proof.text_parts import at_hook, behind_conntrack, of_filter, others
from compiler.semantics.proof.way_differences import differing
from compiler.semantics.proof.way_witness import Witnesses
from compiler.semantics.rules.effects import AS_IT_CAME, Asked, Change, Outcome
from compiler.semantics.rules.journey import Route, Situation, Trace, Unanswerable
from compiler.semantics.rules.netfilter import AddressType, Hook, NoTrack, Rewrite, Ruleset, SetHops, SetMark
from compiler.semantics.rules.trace import Tracer

#: So many witnesses for each part and family.
MOST_WITNESSES = 3
#: Bits of the mark that may carry an interface to where it cannot be asked.
CARRIED = 0x0F000000
_FILTERED = (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT)


@dataclass(frozen=True, slots=True)
class TableWitness:
    """A packet as it comes to a hook, of whose base chains those of nat are asked or all others (`filters`: those of
    filter, which changed it); what the program says and which of its statements match, and what the text does, on
    which way through the rules."""

    hook: Hook
    nat: bool
    filters: bool
    case: Case
    said: Outcome | Odds
    turns: tuple[Turn, ...]
    found: Outcome | Odds
    trace: Trace | None


class TableComparison:
    """Of one family. `exempt`: rules of a failsafe for raw; `carried`: the bits that may be used as the module says."""

    def __init__(
        self, program: Program, ends: ProgramEnds, ruleset: Ruleset, exempt: Sequence[Rule] = (), carried: int = CARRIED
    ) -> None:
        over = self.over = space(ends.ends.version)
        for rule in rules_met(behind_conntrack(ruleset), over.version):
            if any(isinstance(part, NoTrack) for part in rule.parts):
                raise Unprovable(f"{rule.place.span}: notrack comes behind conntrack, where it does nothing")
        self._made, self._ruleset = over.made, ruleset
        self.matches = Matches(over)
        self.matches.unknown(SYN)  # nothing that rules do makes another segment of it
        self.variables = Variables(over, self.matches)
        # Rules of one tool may have another verdict in a text, so places are numbered by what is asked.
        shared = self.matches, self.variables, Places(Alike.MATCHES)
        self._text = WayDiagrams(others(ruleset), over, shared)
        self._says = TableDiagrams(program, ends, over, shared, exempt)
        self._finer = Settled(over)
        used = any(_bits(one) & carried for one in _statements(program))
        self._carried = 0 if used else carried
        self._witnesses = Witnesses((ruleset, ruleset), over, self.matches, self.variables)

    @property
    def carries(self) -> bool:
        """Whether the text uses bits of the mark for that."""
        return bool(self._touched)

    def witnesses(self) -> Iterator[TableWitness]:
        """None where program and text agree. Raises Unprovable."""
        for hook in Hook:
            for nat in (False, True):
                yield from self._compared(hook, nat, *self.sides(hook, nat))
        yield from self._changed_by_filters()

    def _compared(self, hook: Hook, nat: bool, one: int, two: int, filters: bool = False) -> Iterator[TableWitness]:
        found = differing(one, two, self.over, self.variables, self._witnesses)
        for values in islice(found, MOST_WITNESSES):
            asked = self._made.asked(one) | self._made.asked(two)
            case = self._case(values, asked)
            said, does = self._made.says(one, values), self._made.says(two, values)
            assert isinstance(said, Outcome | Odds), "a diagram of outcomes"
            assert isinstance(does, Outcome | Odds), "a diagram of outcomes"
            part = of_filter(self._ruleset) if filters else at_hook(others(self._ruleset), hook, nat)
            met = () if filters else tuple(self._says.meeting(hook, nat, values))
            yield TableWitness(hook, nat, filters, case, said, met, does, _trace(part, hook, case))

    # Both sides

    def sides(self, hook: Hook, nat: bool) -> tuple[int, int]:
        """What program and text say of packets at a hook: outcomes, or odds of several."""
        return self._connections(hook) if nat else self._packets(hook)

    def _packets(self, hook: Hook) -> tuple[int, int]:
        sides = [self._text.ended(self._says.packets(hook)), self._text.at(hook, nat=False)]
        if self._touched and hook in (Hook.FORWARD, Hook.OUTPUT):
            sides = [self._finer.each(side, self._uncarried) for side in sides]
        sides = [self._finer.by_hops(self._finer.each(side, _in_the_end)) for side in sides]
        return sides[0], sides[1]

    def _connections(self, hook: Hook) -> tuple[int, int]:
        one, two = self._text.ended(self._says.connections(hook)), self._text.at(hook, nat=True)
        if self._touched and hook is Hook.POSTROUTING:
            one, two = self._behind_forward(one), self._behind_forward(self._carried_there(two))
        return self._by_chance(one), self._by_chance(two)

    def _by_chance(self, diagram: int) -> int:
        """With the odds of what is left to chance."""
        names = self.variables.names().items()
        coins = {level: share for name, level in names if isinstance(name, Asked) and (share := probability(name.text))}
        diagram = self._finer.each(diagram, _without_throws)
        return settled(self._made, diagram, {**coins, **self.matches.coins})

    # Bits that carry an interface

    @cached_property
    def _touched(self) -> int:
        marked = (self._finer.marked(self._text.at(hook, nat=False)) for hook in (Hook.FORWARD, Hook.OUTPUT))
        return self._carried and self._carried & (next(marked) | next(marked))

    def _uncarried(self, outcome: Outcome) -> Outcome:
        bits = self._touched
        return with_changes(outcome, lambda one: one._replace(keep=one.keep | bits, flip=one.flip & ~bits))

    def _carried_there(self, diagram: int) -> int:
        """POSTROUTING, with the bits as FORWARD and OUTPUT have left them, where that is known."""
        made, arrived = self._made, self._made.outside(self._made.inside(Level.INPUT, [(0, 0)]))
        forward, output = (self._text.at(hook, nat=False) for hook in (Hook.FORWARD, Hook.OUTPUT))
        for bit in (bit for bit in range(MARK_BITS) if self._touched >> bit & 1):
            level = Level.MARK + MARK_BITS - 1 - bit
            there, own = self._finer.mark_bit(forward, bit), self._finer.mark_bit(output, bit)
            by = self._ways_in(there)
            follows = made.where(self._finer.comes(forward), by) == there
            if follows and own in (NOTHING, self._finer.comes(output)):
                is_set = made.first([made.where(arrived, by), made.outside(arrived) if own != NOTHING else NOTHING])
                diagram = self._finer.everywhere(diagram, partial(self._with_bit, int(level), is_set))
        return diagram

    def _with_bit(self, level: int, is_set: int, diagram: int) -> int:
        """What it says where the packets of `is_set` have the bit, and others do not."""
        made = self._made
        sides = (made.restrict(diagram, {level: value}) for value in (1, 0))
        return made.first([made.where(is_set, next(sides)), next(sides)])

    def _ways_in(self, packets: int) -> int:
        """Everything that came in by an interface by which one of the packets did."""
        made = self._made
        spans = [(span, made.inside(Level.INPUT, [span])) for span in made.pieces(packets, Level.INPUT)]
        return made.inside(Level.INPUT, [span for span, by in spans if made.where(by, packets) != NOTHING])

    def _behind_forward(self, diagram: int) -> int:
        """What it says of packets that can come to POSTROUTING: none by interfaces whose packets all are gone."""
        sent = self._made.inside(Level.INPUT, [(0, 0)])
        came = self._finer.comes(self._text.at(Hook.FORWARD, nat=False))
        return self._made.where(self._made.first([sent, self._ways_in(came)]), diagram)

    # Filter chains

    def _changed_by_filters(self) -> Iterator[TableWitness]:
        """Filter chains decide, and change nothing."""
        part = of_filter(self._ruleset)
        parts = (one for rule in rules_met(part, self.over.version) for one in rule.parts)
        if not any(isinstance(one, SetMark | NoTrack | SetHops | Rewrite) for one in parts):
            return
        ways = WayDiagrams(part, self.over, (self.matches, self.variables, Places()))
        for hook in _FILTERED:
            found = self._finer.each(ways.at(hook, nat=False), lambda one: one._replace(events=()))
            kept = self._finer.each(found, lambda one: one._replace(change=AS_IT_CAME))
            yield from self._compared(hook, False, kept, self._finer.by_hops(found), filters=True)

    # Witnesses

    def _case(self, values: Mapping[int, int], asked: frozenset[int]) -> Case:
        box = {level: (value, value) for level, value in values.items()}
        opaque = {level: text for level, text in self.matches.opaque.items() if level in asked}
        case = case_of(Path.FORWARD, self.over, box, opaque)
        names = ((name, level) for name, level in self.variables.names().items() if level in asked)
        answers = {name.text: values[level] == 1 for name, level in names if isinstance(name, Answer | Asked)}
        return replace(case, others={**case.others, **answers})


def _in_the_end(outcome: Outcome) -> Outcome:
    """Of what is written twice the last counts for DSCP; segments are bounded by the least of all bounds."""
    return with_changes(outcome, _settled)


def _settled(change: Change) -> Change:
    found = dict(change.rewritten)
    if "DSCP" in found and found["DSCP"][-1].isdecimal():
        found["DSCP"] = found["DSCP"][-1:]
    if all(text.startswith(BOUNDED) for text in found.get("MSS", ("-",))):
        found["MSS"] = tuple(sorted({*found["MSS"]}))
    return change._replace(rewritten=tuple(sorted(found.items())))


def _without_throws(outcome: Outcome) -> Outcome:
    kept = tuple(one for one in outcome.events if not (isinstance(one.what, Asked) and probability(one.what.text)))
    return outcome._replace(events=kept)


def _statements(program: Program) -> Iterator[Statement]:
    """All that may ask marks or set them."""
    for block in program.policies:
        yield from block.rules
    yield from (*program.node, *program.forward, *program.node_packets, *program.forward_packets)
    yield from (*program.nat, *program.mangle)


def _bits(statement: Statement) -> int:
    """Those of the mark that it sets or asks."""
    inner = 0
    for one in getattr(statement, "items", ()):
        inner |= _bits(one)
    asked = getattr(statement, "marked", None)
    return inner | (statement.mask if isinstance(statement, Mark) else 0) | (asked.mask if asked is not None else 0)


def _trace(part: Ruleset, hook: Hook, case: Case) -> Trace | None:
    """Its way through the rules of the part, unless they have something that cannot be followed."""
    packet, local = case.packet, set[str]()
    local.update([packet.dst] * (hook is Hook.INPUT or case.destination_type is AddressType.LOCAL))
    local.update([packet.src] * (case.source_type is AddressType.LOCAL))
    sent = hook is Hook.OUTPUT or (hook is Hook.POSTROUTING and not case.input)
    if not sent and hook in (Hook.FORWARD, Hook.POSTROUTING):  # a router takes one hop off in front of the hook
        packet = replace(packet, hop_limit=min(packet.hop_limit + 1, 255))
        local.discard(packet.dst)
    route = Route.SENT if sent else Route.ARRIVES
    situation = Situation(packet, route, frozenset(local), case.input, case.output, case.state, case.mark)
    try:
        return Tracer(part, lambda test, _: case.others.get(test.text, False)).trace(situation)
    except (Unanswerable, ValueError):
        return None
