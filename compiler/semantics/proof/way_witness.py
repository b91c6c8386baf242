"""A packet with which two rulesets do different things, and its way through both."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from compiler.semantics.boundaries import OUTSIDERS
from compiler.semantics.diagrams.diagram import Range
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import MARK_BITS, Level, Space, address_text
from compiler.semantics.diagrams.variables import Answer, Kind, Variables
from compiler.semantics.diagrams.way_diagram import Way
from compiler.semantics.packet import ICMP, ICMPV6, TCP, Packet
from compiler.semantics.rules.effects import Asked, Outcome, Unknown
from compiler.semantics.rules.journey import Route, Situation, Trace, Unanswerable
from compiler.semantics.rules.netfilter import AddressType, Barrier, Opaque, Rule, Ruleset, State
from compiler.semantics.rules.numbers import interface, interface_text, some_interface
from compiler.semantics.rules.trace import Tracer

_INSIDE = ("10.0.0.1", "2001:db8::1")
_ROUTES = {Way.ARRIVES: Route.ARRIVES, Way.SENT: Route.SENT}


class Question(NamedTuple):
    """What two texts are asked of a packet: what becomes of it on its whole way, or what `routing` is told; `known`:
    with any translation that conntrack may do for the connection that the packet belongs to."""

    way: Way
    known: bool = False
    routing: bool = False


@dataclass(frozen=True, slots=True)
class WayWitness:
    """`situation`: the packet as it arrives or is sent; `one` and `two`: what becomes of it. `traces`: its way through
    both, None where something on it cannot be followed. `open`: what of it is open, by the texts of what asks or
    depends on it."""

    question: Question
    situation: Situation
    one: Outcome
    two: Outcome
    traces: tuple[Trace | None, Trace | None]
    open: Mapping[str, int]


class Witnesses:
    """Of two rulesets in one space."""

    def __init__(self, rulesets: tuple[Ruleset, Ruleset], over: Space, matches: Matches, variables: Variables) -> None:
        self._rulesets, self._over, self._matches, self._variables = rulesets, over, matches, variables

    def packet(self, box: Mapping[int, Range]) -> dict[int, int] | None:
        """A packet of the box, as usual as possible, by the numbers of all levels. None where the packet that is found
        disagrees with the box in a test of an address under a mask that is no prefix."""
        usual = self._usual()
        found = {}
        for level, size in enumerate(self._over.made.sizes):
            low, high = box.get(level, (0, size - 1))
            wanted = usual.get(level, ())
            own = some_interface(low, high) if level in (Level.INPUT, Level.OUTPUT) else low
            found[level] = next((one for one in wanted if low <= one <= high), own)
        for level, test in self._matches.masked.items():
            number = found[self._over.level(test.field)] & (test.mask or 0)
            found[level] = int(any(low <= number <= high for low, high in test.intervals))
            if level in box and box[level][0] != found[level]:
                return None
        return found

    def witness(self, question: Question, values: Mapping[int, int], one: int, two: int) -> WayWitness:
        """`one` and `two`: the diagrams that differ there."""
        ends = [self._over.made.says(diagram, values) for diagram in (one, two)]
        situation = self._situation(question.way, values)
        asked = self._over.made.asked(one) | self._over.made.asked(two)
        answers = dict(self._open({level: values[level] for level in asked}))

        def trace(ruleset: Ruleset) -> Trace | None:
            return _trace(ruleset, situation, lambda test, _: bool(answers.get(test.text)))

        traces = (
            (trace(self._rulesets[0]), trace(self._rulesets[1])) if question == Question(question.way) else (None, None)
        )
        assert isinstance(ends[0], Outcome), "a diagram of ways"
        assert isinstance(ends[1], Outcome), "a diagram of ways"
        return WayWitness(question, situation, ends[0], ends[1], traces, answers)

    def _usual(self) -> dict[int, tuple[int, ...]]:
        v6 = self._over.version == 6
        inside, outside = int(ipaddress.ip_address(_INSIDE[v6])), int(ipaddress.ip_address(OUTSIDERS[v6]))
        kinds = [level for name, level in self._variables.names().items() if isinstance(name, Kind)]
        return {
            **dict.fromkeys([Level.SOURCE_TYPE, Level.DESTINATION_TYPE, *kinds], (AddressType.UNICAST,)),
            int(Level.STATE): (State.NEW,),
            self._over.source: (inside, outside),
            self._over.destination: (outside, inside + 1),
            int(Level.PROTOCOL): (TCP,),
            int(Level.DPORT): (80,),
            int(Level.SPORT): (40000,),
            int(Level.HOPS): (64,),
            int(Level.INPUT): (interface("eth0", "\0")[0],),
            int(Level.OUTPUT): (interface("eth1", "\0")[0],),
        }

    def _situation(self, way: Way, values: Mapping[int, int]) -> Situation:
        version, protocol = self._over.version, values[Level.PROTOCOL]
        ends = [address_text(version, values[level]) for level in (self._over.source, self._over.destination)]
        packet = Packet(
            ends[0],
            ends[1],
            protocol,
            values[Level.SPORT],
            values[Level.DPORT],
            values[Level.ICMP_TYPE] if protocol in (ICMP, ICMPV6) else None,
            values[Level.ICMP_CODE],
            values[Level.HOPS],
        )
        kinds = [(ends[0], values[Level.SOURCE_TYPE]), (ends[1], values[Level.DESTINATION_TYPE])]
        names = self._variables.names().items()
        kinds += [
            (address_text(version, name.address), values[level])
            for name, level in names
            if isinstance(name, Kind) and isinstance(name.address, int)
        ]
        arrives = way is Way.ARRIVES
        return Situation(
            packet,
            _ROUTES[way],
            frozenset(address for address, kind in kinds if kind == AddressType.LOCAL),
            interface_text(values[Level.INPUT]) if arrives else "",
            interface_text(values[Level.OUTPUT]),
            State(values[Level.STATE]),
            sum(values[Level.MARK + n] << MARK_BITS - 1 - n for n in range(MARK_BITS)),
            {name.name: values[level] + name.low for name, level in names if isinstance(name, Unknown)},
        )

    def _open(self, values: Mapping[int, int]) -> Iterator[tuple[str, int]]:
        for level, value in values.items():
            match self._variables.name(level):
                case Answer(text) | Asked(text):
                    yield text, value
                case Unknown(text, low):
                    yield text, value + low


def _trace(ruleset: Ruleset, situation: Situation, answers: Callable[[Opaque | Barrier, Rule], bool]) -> Trace | None:
    try:
        return Tracer(ruleset, answers).trace(situation)
    except (Unanswerable, ValueError):
        return None
