"""What a program's statements of nat, mangle and raw do to every packet, as one diagram for each hook.

`flows` tells what is asked where. Of raw and mangle every statement that matches is done, in their order, and a drop
ends; raw comes first. In nat the first one that decides does, for first packets of connections. Diagrams say how a
packet leaves the hook, as those of texts do (`chain_diagram.Left`); a choice among several addresses is a throw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from compiler.resources.language import (
    Conditional,
    Dnat,
    DropFlow,
    DropFrom,
    Dscp,
    KeepSource,
    Mark,
    Masquerade,
    Mss,
    NamedPort,
    NatWithin,
    Notrack,
    Opaque,
    PortRange,
    Ports,
    Program,
    Redirect,
    Rule,
    Snat,
    Statement,
    Ttl,
)
from compiler.semantics.diagrams.chain_diagram import ChainDiagrams
from compiler.semantics.diagrams.diagram import IN, NOTHING
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import Level, Path, Space
from compiler.semantics.diagrams.variables import Answer, Variables
from compiler.semantics.diagrams.way_diagram import NOT_KNOWN, Places
from compiler.semantics.packet import TCP
from compiler.semantics.proof.flows import ANYONE, OneWay, Turn, turns, way_of
from compiler.semantics.proof.program_ends import ProgramEnds
from compiler.semantics.proof.rule_diagram import RuleDiagrams
from compiler.semantics.proof.rules_in_tables import RulesInTables
from compiler.semantics.rules.effects import AS_IT_CAME, Change, Effect, change_of, translation_of
from compiler.semantics.rules.netfilter import (
    End,
    Hook,
    NoTrack,
    Rewrite,
    SetHops,
    SetMark,
    State,
    Translate,
)
from compiler.semantics.rules.numbers import interface

#: What readers of rules call these: the first of TCP's segments, a source without a way back, a bound of segments.
SYN = "tcp flags syn / syn,rst"
NO_WAY_BACK = "fib saddr . iif oif missing"
BOUNDED = "tcp option maxseg size set"
_FIRST = (State.NEW, State.RELATED)
_LO = interface("lo", "\0")
_ALL_BITS = 0xFFFFFFFF
_WAYS_ON = {"accept": "next", "return": "next"}
#: So many addresses a dnat may choose from.
_MOST = 10_000


class TableDiagrams:
    """Of one space. `shared`: the tests, unknowns and places of stateful matches that the text has, too. `exempt`: of a
    failsafe, what no statement of raw drops. Raises Unprovable for rules of one tool that no diagram can hold."""

    def __init__(
        self,
        program: Program,
        ends: ProgramEnds,
        over: Space,
        shared: tuple[Matches, Variables, Places],
        exempt: Sequence[Rule] = (),
    ) -> None:
        self._over, self._made, self._ends = over, over.made, ends
        self._matches, self._variables, places = shared
        self.about = RuleDiagrams(ends, over, self._matches)
        self.turns = {hook: turns(program, hook, exempt) for hook in Hook}
        self._texts = RulesInTables(self.turns, over.version, places)
        #: How packets leave; to be observed, as those of the text.
        self.chains = self._chains = ChainDiagrams(over, self._matches, self._variables, IN, self._texts.stateful)
        #: Ends live as long as what is known of them.
        self._kept: list[OneWay] = []
        self._not_lo = self._made.outside(self._made.inside(Level.INPUT, [_LO]))

    def packets(self, hook: Hook) -> int:
        """raw and mangle: "drop", or "next" with what became of the packet."""
        found = self.turns[hook]
        exempt = self._made.first([self._matched(one, hook, NOTHING) for one in found.exempt])
        raw, mangle = (self._table(items, hook, self._made.outside(exempt)) for items in (found.raw, found.mangle))
        return self._chains.then(raw, mangle) if mangle != NOTHING else raw

    def _table(self, items: Sequence[Turn], hook: Hook, droppable: int) -> int:
        """Where the list ends, the next table goes on."""
        done = self._chains.in_turn([self._on_packet(turn, hook, droppable) for turn in items])
        return self._chains.renamed(done, _WAYS_ON)

    def connections(self, hook: Hook) -> int:
        """nat, of first packets: "accept" with what is given, or "next"."""
        listed = self._list(self.turns[hook].nat, hook, NOTHING, self._decision)
        return self.first_packets(self._chains.renamed(listed, {"leave": "next"}))

    def deciding(self, hook: Hook) -> int:
        """Which statement of nat decides (`decided_by`), of first packets."""
        listed = self._list(self.turns[hook].nat, hook, NOTHING, lambda turn: self._chains.left(decided_by(turn)))
        return self.first_packets(listed)

    def meeting(self, hook: Hook, nat: bool, packet: Mapping[int, int]) -> Iterator[Turn]:
        """The statements that are about a packet at the hook, given by the numbers of its levels; those of a nested
        list where the list is."""
        found = self.turns[hook]

        def among(items: Iterable[Turn], admitted: int) -> Iterator[Turn]:
            for turn in items:
                if self._made.says(self._matched(turn, hook, admitted), packet) == "in":
                    yield turn
                    yield from among(turn.inner, self._by_name(turn, hook, admitted))

        yield from among(found.nat if nat else (*found.raw, *found.mangle), NOTHING)

    def arriving(self, rule: Rule) -> int:
        """The packets that arrive and match the rule's ends and ports."""
        way = way_of(rule, Hook.PREROUTING)
        self._kept.append(way)
        return self._way(way, Hook.PREROUTING, NOTHING)

    def first_packets(self, diagram: int) -> int:
        """What it says of packets that nat is asked about."""
        return self._made.where(self._made.inside(Level.STATE, [(state, state) for state in _FIRST]), diagram)

    # Packets

    def _on_packet(self, turn: Turn, hook: Hook, droppable: int) -> int:
        statement = turn.statement
        if isinstance(statement, Opaque):
            return self._as_written(turn, hook)
        matched = self._matched(turn, hook, NOTHING)
        if isinstance(statement, DropFlow | DropFrom):
            matched = self._made.where(droppable, matched)
            if isinstance(statement, DropFrom) and statement.spoofed:
                name = Answer(NO_WAY_BACK, f"{hook.value} before conntrack")
                matched = self._made.where(matched, self._made.inside(self._variables.level(name), [(1, 1)]))
            return self._made.where(matched, self._chains.left("drop"))
        if isinstance(statement, Mss):
            first = self._made.inside(Level.PROTOCOL, [(TCP, TCP)])
            matched = self._made.where(matched, self._made.where(first, self._matches.unknown(SYN)))
        return self._made.where(matched, self._chains.left("next", Effect(effect(statement))))

    # Connections

    def _list(self, items: Sequence[Turn], hook: Hook, admitted: int, says: Callable[[Turn], int]) -> int:
        """How connections leave a list: `says` of the statement that decides, "leave", or "next". `admitted`: packets
        that a list around says by their interface, by lo, too."""
        plain, rest = list[int](), NOTHING
        for turn in reversed(items):
            statement = turn.statement
            matched = self._matched(turn, hook, admitted)
            if isinstance(statement, Mark):
                found = self._made.where(matched, self._chains.left("next", Effect(effect(statement))))
                rest, plain = self._chains.then(found, self._made.first([*reversed(plain), rest])), []
            elif isinstance(statement, NatWithin):
                inner = self._list(turn.inner, hook, self._by_name(turn, hook, admitted), says)
                inner = self._chains.renamed(self._made.where(matched, inner), {"leave": "next"})
                rest, plain = self._chains.then(inner, self._made.first([*reversed(plain), rest])), []
            elif isinstance(statement, Rule) and statement.verb == "leave":
                plain.append(self._made.where(matched, self._chains.left("leave")))
            elif isinstance(statement, Rule | Opaque):
                found = self._chains.renamed(self._as_written(turn, hook), {"return": "leave"})
                found = self._made.where(matched, found) if isinstance(statement, Rule) else found
                rest, plain = self._chains.then(found, self._made.first([*reversed(plain), rest])), []
            else:
                plain.append(self._made.where(matched, says(turn)))
        return self._made.first([*reversed(plain), rest])

    def _decision(self, turn: Turn) -> int:
        """Nothing where there is nobody to go to in this family."""
        statement, found = turn.statement, list(self.given(turn.statement))
        if isinstance(statement, Dnat | Snat) and not found:
            return NOTHING
        parts = []
        for n, change in enumerate(found, 1):
            left = self._chains.left("accept", Effect(change))
            if n < len(found):
                share = Fraction(1, len(found) - n + 1)
                left = self._made.where(self._matches.coin(f"{turn.statement.span}: {n} of {len(found)}", share), left)
            parts.append(left)
        return self._made.first(parts)

    def given(self, statement: Statement) -> Iterator[Change]:
        """What nat may give to a connection, each as likely as the others; `keep source` gives nothing."""
        version = self._over.version
        match statement:
            case Dnat(port=port):
                ports = None if port is None else (port, port)
                for address in self.targets(statement):
                    yield translation_of(Translate(End.DESTINATION, (address, address), ports))
            case Redirect(port=port):
                yield translation_of(Translate(End.DESTINATION, None, (port, port), own=True))
            case Snat(address=address):
                if address.version == version:
                    yield translation_of(Translate(End.SOURCE, (int(address), int(address))))
            case Masquerade():
                yield translation_of(Translate(End.SOURCE, own=True))
            case KeepSource():
                yield AS_IT_CAME

    def targets(self, statement: Dnat) -> list[int]:
        """The addresses that it may go to."""
        end, level = self.about.end(statement.target, Path.FORWARD, source=False), self._over.destination
        found = [span for span in self._made.pieces(end, level) if self._made.says(end, {level: span[0]}) == "in"]
        if sum(high - low for low, high in found) >= _MOST:
            raise Unprovable(f"{statement.span.file_line}: {statement.text}: goes to more than {_MOST} addresses")
        return [address for low, high in found for address in range(low, high + 1)]

    def _as_written(self, turn: Turn, hook: Hook) -> int:
        """A rule of one tool: how packets leave it; "return" leaves the list."""
        table, lines = self._texts.lines(turn, hook)
        found = self._made.first([self._chains.rule(table, line) for line in lines])
        fixed = {int(level): 0 for level in NOT_KNOWN.get(hook, ())}
        early = turn.label[0] == "raw"
        if early:
            fixed[int(Level.STATE)] = int(State.INVALID)
        found = self._chains.everywhere(found, lambda diagram: self._made.restrict(diagram, fixed))
        return self._chains.asks_at(found, f"{hook.value}{' before conntrack' * early}")

    # What is asked

    def _matched(self, turn: Turn, hook: Hook, admitted: int) -> int:
        found = self._made.first([self._way(way, hook, admitted) for way in turn.ways])
        return self._made.where(self._conditions(turn.statement), found)

    def _by_name(self, turn: Turn, hook: Hook, admitted: int) -> int:
        """Packets by lo that the head of a list says by their interface, or one around it."""
        named = [self.about.end(way.named, Path.FORWARD, source=True) for way in turn.ways]
        return self._made.first([admitted, *named]) if hook is Hook.PREROUTING else NOTHING

    def _way(self, way: OneWay, hook: Hook, admitted: int) -> int:
        made = self._made
        source = self.about.end(way.source, Path.FORWARD, source=True)
        if hook is Hook.PREROUTING:
            source = made.where(made.first([self._not_lo, admitted]), source)
            source = made.first([source, self.about.end(way.named, Path.FORWARD, source=True)])
        target = self.about.end(way.target, Path.FORWARD, source=False)
        ports = self._from(way.ports) if way.back else self.about.ports(way.ports)
        return made.where(source, made.where(target, ports))

    def _from(self, ports: Ports) -> int:
        """What comes back: ports are the source's, a name is looked up on the source; types are what they are."""
        made, parts = self._made, []
        if ports is None:
            return IN
        for port in ports:
            protocol = [(port.protocol, port.protocol)]
            if isinstance(port, PortRange):
                parts.append(made.inside(Level.PROTOCOL, protocol, made.inside(Level.SPORT, [(port.first, port.last)])))
            elif isinstance(port, NamedPort):
                for number, pods in self._ends.servers(port).items():
                    served = made.inside(Level.PROTOCOL, protocol, made.inside(Level.SPORT, [(number, number)]))
                    parts.append(made.where(made.inside(self._over.source, pods), served))
            else:
                parts.append(self.about.ports((port,)))
        return made.first(parts)

    def _conditions(self, statement: Statement) -> int:
        if not isinstance(statement, Conditional) or not statement.conditional:
            return IN
        asked = {name: getattr(statement, name) for name in ("text", "span", *Conditional.model_fields)}
        rule = Rule.model_construct(**{**asked, "verb": "pass", "source": ANYONE, "target": ANYONE})
        return self.about.of(rule, Path.FORWARD)


def decided_by(turn: Turn) -> str:
    """How connections leave, in `deciding`, that a statement decides about."""
    return f"by {turn.label[1]}"


def effect(statement: Statement) -> Change:
    """What is done to a packet."""
    match statement:
        case Notrack():
            return change_of(NoTrack())
        case Mark(value=value, mask=mask):
            return change_of(SetMark(_ALL_BITS ^ mask, value & mask))
        case Dscp(value=value):
            return change_of(Rewrite("DSCP", str(value)))
        case Ttl(change="set", amount=amount):
            return change_of(SetHops(0, amount, amount))
        case Ttl(change=change, amount=amount):
            return change_of(SetHops(amount if change == "inc" else -amount))
        case Mss(size=size):
            return change_of(Rewrite("MSS", f"{BOUNDED} {'rt mtu' if size is None else size}"))
        case _:
            raise Unprovable(f"{statement.span.file_line}: {statement.text}: not proved here")
