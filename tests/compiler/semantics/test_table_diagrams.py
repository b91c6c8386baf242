"""What diagrams say of statements of nat, mangle and raw, packet by packet as a plain reading says it, hook by hook."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.net import Family
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.odds import Odds
from compiler.semantics.diagrams.space import MARK_BITS, Level, address_text
from compiler.semantics.diagrams.variables import Answer
from compiler.semantics.proof.program_ends import ProgramEnds
from compiler.semantics.proof.table_diagrams import NO_WAY_BACK, SYN
from compiler.semantics.proof.verify_tables import TableComparison
from compiler.semantics.rules.effects import Outcome, Unknown
from compiler.semantics.rules.netfilter import AddressType, Field, Hook, Ruleset, State
from compiler.semantics.rules.numbers import interface
from tests.compiler.programs import NAMES
from tests.compiler.table_programs import table_programs, travellers
from tests.compiler.travelling import OWN, TableOracle, Travelling
from tests.compiler.worlds import UNIVERSE, worlds

NODE = "n1"


def kind(one: Travelling, text: str) -> AddressType:
    if text in one.local or ip_address(text).is_loopback:
        return AddressType.LOCAL
    return AddressType.MULTICAST if ip_address(text).is_multicast else AddressType.UNICAST


def values_of(one: Travelling, compared: TableComparison) -> dict[int, int]:
    """The packet as diagrams ask for it."""
    packet, over, variables = one.packet, compared.over, compared.variables
    names = {name: level for name, level in variables.names().items() if isinstance(name, Answer)}
    opaque = {text: level for level, text in compared.matches.opaque.items()}
    back = [level for name, level in names.items() if name.text == NO_WAY_BACK]
    echo = 8 if packet.proto == 1 else 128
    return {
        over.source: int(ip_address(packet.src)),
        over.destination: int(ip_address(packet.dst)),
        Level.SOURCE_TYPE: kind(one, packet.src),
        Level.DESTINATION_TYPE: kind(one, packet.dst),
        Level.PROTOCOL: packet.proto,
        Level.SPORT: packet.sport,
        Level.DPORT: packet.dport,
        Level.ICMP_TYPE: echo if packet.icmp_type is None else packet.icmp_type,
        Level.HOPS: packet.hop_limit,
        Level.STATE: one.state,
        Level.INPUT: interface(one.input, "\0")[0],
        Level.OUTPUT: interface(one.output, "\0")[0],
        **{Level.MARK + n: one.mark >> MARK_BITS - 1 - n & 1 for n in range(MARK_BITS)},
        **dict.fromkeys(back, int(not one.back)),
        opaque[SYN]: int(one.syn),
    }


def after(one: Travelling, outcome: Outcome) -> Travelling:
    """What becomes of it."""
    if outcome.how == "drop":
        return replace(one, gone=True)
    assert outcome.how == "accept"
    change, packet = outcome.change, one.packet
    add, low, high = change.hops
    found = dict(change.given)
    source, destination, port = map(found.get, (Field.SOURCE, Field.DESTINATION, Field.DESTINATION_PORT))
    header = replace(
        packet,
        hop_limit=min(max(packet.hop_limit + add, low), high) if low < high else low,
        src=address_text(packet.version, source) if isinstance(source, int) else packet.src,
        dst=address_text(packet.version, destination) if isinstance(destination, int) else packet.dst,
        dport=port if isinstance(port, int) else packet.dport,
    )
    return replace(
        one,
        packet=header,
        state=State.UNTRACKED if change.untracked else one.state,
        mark=one.mark & change.keep ^ change.flip,
        source=OWN if isinstance(source, Unknown) else "",
        destination=OWN if isinstance(destination, Unknown) else "",
        rewritten=dict(change.rewritten),
    )


def told(fates: list[tuple[Fraction, Travelling]]) -> dict[str, Fraction]:
    """One entry for each thing that may become of it; of what is gone nothing else matters, of DSCP what is written
    last, of segments all bounds."""
    found: dict[str, Fraction] = {}
    for share, one in fates:
        bounds = {what: (*sorted({*texts}),) if what == "MSS" else texts[-1:] for what, texts in one.rewritten.items()}
        key = "gone" if one.gone else repr(replace(one, rewritten=dict(sorted(bounds.items()))))
        found[key] = found.get(key, Fraction(0)) + share
    return found


@pytest.mark.parametrize("family", list(Family))
@settings(deadline=None)
@given(data=st.data())
def test_diagrams_say_what_statements_say(data: st.DataObject, family: Family) -> None:
    world = data.draw(worlds())
    snapshot = world.snapshot
    program = data.draw(table_programs())
    own = [*snapshot.nodes[NODE].ips, *(UNIVERSE[one][21] for one in Family), "127.0.0.1", "::1"]
    oracle = TableOracle(program, snapshot)
    ends = ProgramEnds(Ends(snapshot, family.value), snapshot)
    compared = TableComparison(program, ends, Ruleset(()))
    sides = {(hook, nat): compared.sides(hook, nat)[0] for hook in Hook for nat in (False, True)}
    for one in data.draw(st.lists(travellers(snapshot, own, family), min_size=5, max_size=5)):
        for hook in Hook:
            arrived = one.input or data.draw(st.sampled_from(NAMES))
            there = replace(
                one, input="" if hook is Hook.OUTPUT else one.input if hook is Hook.POSTROUTING else arrived
            )
            for nat in (False, True):
                said = compared.over.made.says(sides[hook, nat], values_of(there, compared))
                assert isinstance(said, Outcome | Odds)
                every = [(Fraction(1), said)] if isinstance(said, Outcome) else [(s, o) for o, s in said.outcomes]
                found = [(share, after(there, outcome)) for share, outcome in every]  # type: ignore[arg-type]
                assert told(found) == told(oracle.at(hook, there, nat)), (hook, nat)
