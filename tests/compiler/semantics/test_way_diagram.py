"""Diagrams of whole ways say of every packet what the tracer says of it: its end, its header and mark then, and who
is told of it; on random rulesets of both tools with NAT, marks, rewritten headers, jumps, gotos, sets and maps."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from random import Random

import pytest

from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.space import MARK_BITS, Level, Space, space
from compiler.semantics.diagrams.variables import Kind, Variables
from compiler.semantics.diagrams.way_diagram import Places, Way, WayDiagrams
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.effects import Change, Outcome, Unknown
from compiler.semantics.rules.journey import Route, Situation, Trace
from compiler.semantics.rules.netfilter import Field, Ruleset, State
from compiler.semantics.rules.trace import Tracer
from tests.compiler.semantics.test_text_diagram import kind, values
from tests.kernel.pools import Pools
from tests.kernel.random_iptables import KINDS, RandomIptables
from tests.kernel.random_nft import RandomNft
from tests.kernel.rig import NODE

OWN = frozenset({*NODE, "192.0.2.3", "2001:db8:ffff::3"})
#: What MASQUERADE and REDIRECT give.
OPEN = {4: int(ipaddress.ip_address("192.0.2.3")), 6: int(ipaddress.ip_address("2001:db8:ffff::3"))}
#: Fields that a way may change, and where a packet has them.
LEVELS = {
    Field.SOURCE: Level.SOURCE,
    Field.DESTINATION: Level.DESTINATION,
    Field.SOURCE_PORT: Level.SPORT,
    Field.DESTINATION_PORT: Level.DPORT,
}


class Ways:
    """Of one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.tracer = Tracer(ruleset)
        self._sides: dict[int, tuple[Space, Matches, Variables, dict[Way, int]]] = {}
        for version in (4, 6):
            over = space(version)
            matches = Matches(over)
            variables = Variables(over, matches)
            found = WayDiagrams(ruleset, over, (matches, variables, Places()))
            self._sides[version] = over, matches, variables, {way: found.whole(way) for way in Way}

    def said(self, situation: Situation) -> tuple[Outcome, dict[int, int], Space]:
        """What the diagram says, and the packet as it asks for it."""
        over, matches, variables, wholes = self._sides[situation.packet.version]
        numbers = values(situation.packet, over, situation)
        numbers[Level.HOPS] = situation.packet.hop_limit
        for level, asked in matches.masked.items():
            assert asked.mask is not None
            number = numbers[over.level(asked.field)] & asked.mask
            numbers[level] = any(low <= number <= high for low, high in asked.intervals)
        for name, level in variables.names().items():
            match name:
                case Kind(int() as address):
                    numbers[level] = kind(str(ipaddress.ip_address(address)))
                case Unknown("the interface by which it leaves, routed anew"):
                    numbers[level] = numbers[Level.OUTPUT]
                case Unknown(text) if ": " in text:  # a test under a mask of what is open
                    test = next(
                        t for key, t in matches.masked.items() if matches.opaque[key] == text.partition(": ")[2]
                    )
                    assert test.mask is not None
                    number = OPEN[over.version] & test.mask
                    numbers[level] = any(low <= number <= high for low, high in test.intervals)
                case Unknown():
                    numbers[level] = OPEN[over.version]
        way = Way.SENT if situation.route is Route.SENT else Way.ARRIVES
        outcome = over.made.says(wholes[way], numbers)
        assert isinstance(outcome, Outcome)
        return outcome, numbers, over


def final(change: Change, numbers: Mapping[int, int], over: Space) -> dict[Field, int]:
    """Header and mark of a packet that has changed so."""
    mark = sum(numbers[Level.MARK + n] << MARK_BITS - 1 - n for n in range(MARK_BITS))
    add, low, high = change.hops
    found = {field: numbers[over.level(field)] for field in LEVELS}
    for field, value in change.given:
        found[field] = value if isinstance(value, int) else OPEN[over.version]
    return {
        **found,
        Field.MARK: mark & change.keep ^ change.flip,
        Field.HOPS: min(max(numbers[Level.HOPS] + add, low), high),
    }


def situations(pools: Pools, chosen: Random, count: int) -> list[Situation]:
    own = {4: NODE[0], 6: NODE[1]}
    found = []
    for packet in [*pools.packets(count), *pools.packets(count // 4, to=own)]:
        sent = packet.dst not in OWN and chosen.random() < 0.3
        state = chosen.choice([State.NEW] * 6 + list(State))
        mark = chosen.choice((0, 0, 1, 0x7267, chosen.getrandbits(32)))
        open_numbers = {
            f"the address of the {side} interface": OPEN[packet.version] for side in ("incoming", "outgoing")
        }
        route = Route.SENT if sent else Route.ARRIVES
        found.append(Situation(packet, route, OWN, "" if sent else "tin", "tout", state, mark, open_numbers))
    return found


def agree(ways: Ways, situation: Situation) -> Trace:
    trace = ways.tracer.trace(situation)
    outcome, numbers, over = ways.said(situation)
    assert outcome.how == trace.how, situation
    assert [(event.what, event.change) for event in outcome.events] == [(e.what, e.change) for e in trace.notices]
    if trace.passed:
        ends = final(outcome.change, numbers, over)
        assert {field: trace.numbers[field] for field in ends} == ends, situation
        assert outcome.change.rewritten == trace.change.rewritten
        assert outcome.change.untracked == trace.change.untracked
    return trace


@pytest.mark.parametrize("tool", ["nftables", "iptables"])
def test_it_says_what_the_tracer_says(tool: str) -> None:
    traces: list[Trace] = []
    refused = 0
    for seed in range(12):
        chosen = Random(seed)
        pools = Pools(chosen)
        if tool == "nftables":
            files: Mapping[str, str] = {"netpolc.nft": RandomNft(pools, changes=True).text}
        else:
            files = RandomIptables(pools, list(KINDS), changes=True).files
        try:
            ways = Ways(rulesets.read(files.items()))
        except Unprovable:  # a set that is asked under a mask which is no prefix
            refused += 1
            continue
        traces += [agree(ways, situation) for situation in situations(pools, chosen, 150)]
    assert refused < 4
    passed = [trace for trace in traces if trace.passed]
    assert len(traces) // 10 < len(passed) < len(traces) * 19 // 20
    assert sum(bool(trace.change.given) for trace in passed) > len(passed) // 20
    assert sum(bool(trace.notices) for trace in traces) > len(traces) // 50
    assert any(trace.change.rewritten for trace in passed)
