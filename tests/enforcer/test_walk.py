"""The walk through a ruleset says what the oracle says, of every packet of random clusters at every hook; of what a
packet does not tell it says nothing."""

from __future__ import annotations

import ipaddress
import time
from random import Random

import pytest
from hypothesis import given, settings

from compiler.backends.target import Backend
from compiler.ir.match import HasMark, Inbound, InState, OneIn, Per, Rate, Replies, State, WithinRate
from compiler.ir.match import Match as AnyMatch
from compiler.ir.ruleset import Accept, Chain, Continue, Drop, Hook, Rule, Ruleset, Table
from compiler.net import Family
from compiler.semantics.packet import Packet
from enforcer.flows.walk import First, Walk
from tests.property.scenarios import Scenario, scenario, scenarios
from tests.property.trial import Trial

CLUSTERS = 40


def first(packet: Packet) -> First:
    return First(
        Family(packet.version),
        int(ipaddress.ip_address(packet.src)),
        int(ipaddress.ip_address(packet.dst)),
        packet.proto,
        packet.sport,
        packet.dport,
        (128 if packet.version == 6 else 8) if packet.icmp_type is None else packet.icmp_type,
        packet.icmp_code,
    )


def disagreements(found: Scenario, backend: Backend, seed: int = 0) -> list[str]:
    trial = Trial(found.text, 600, seed)
    walks: dict[str, Walk] = {}
    wrong = []
    for n, hooks in trial.expected.items():
        packet = trial.packets[n]
        for at, allowed in hooks.items():
            if at.node not in walks:
                local = frozenset(int(ipaddress.ip_address(text)) for text in trial.wiring.addresses(at.node))
                walks[at.node] = Walk(trial.compiled(at.node, backend).ruleset, local)
            said = walks[at.node].passes(first(packet), at.hook)
            if said is not allowed:
                wrong.append(f"{packet} at {at}: the oracle says {allowed}, the walk {said}")
    return wrong


@pytest.mark.parametrize("backend", list(Backend), ids=lambda backend: backend.value)
@settings(max_examples=CLUSTERS)
@given(found=scenarios)
def test_the_walk_is_the_oracle(backend: Backend, found: Scenario) -> None:
    assert not disagreements(found, backend)


@pytest.mark.parametrize("backend", list(Backend), ids=lambda backend: backend.value)
def test_crowded_clusters(backend: Backend) -> None:
    """Many of them, with trees of chains, shared sets and prefixes."""
    for seed in range(CLUSTERS):
        assert not disagreements(scenario(Random(seed)), backend, seed)


def ruleset(*rules: Rule, table: Table = Table.FILTER) -> Ruleset:
    return Ruleset((Chain("forward", rules, Hook.FORWARD, table),))


PACKET = First(Family.IPV4, 1, 2, 6, 1024, 80)
UNTOLD: tuple[AnyMatch, ...] = (HasMark(1), Inbound("eth0"), OneIn(2), WithinRate(Rate(1, Per.SECOND)))


@pytest.mark.parametrize("match", UNTOLD, ids=lambda match: type(match).__name__)
def test_what_the_packet_does_not_tell(match: AnyMatch) -> None:
    assert Walk(ruleset(Rule((match,), Drop()))).passes(PACKET) is None
    assert Walk(ruleset(Rule((match,), Accept()), Rule((), Drop()))).passes(PACKET) is None
    assert Walk(ruleset(Rule((), Drop()), Rule((match,), Accept()))).passes(PACKET) is False, "never asked"
    assert Walk(ruleset(Rule((match,), Continue()), Rule((), Drop()))).passes(PACKET) is False, "decides nothing"
    replied = Rule((match, Replies()), Accept())
    assert Walk(ruleset(replied, Rule((), Drop()))).passes(PACKET) is False, "does not match, whatever the other says"


def test_first_packets_are_new() -> None:
    assert Walk(ruleset(Rule((InState((State.NEW,)),), Drop()))).passes(PACKET) is False
    assert Walk(ruleset(Rule((InState((State.ESTABLISHED, State.RELATED)),), Drop()))).passes(PACKET) is True


def test_other_tables_are_not_asked() -> None:
    """Where their chains stand, addresses are others."""
    assert Walk(ruleset(Rule((), Drop()), table=Table.MANGLE)).passes(PACKET) is True


def test_other_hooks_are_not_asked() -> None:
    assert Walk(ruleset(Rule((), Drop()))).passes(PACKET, Hook.INPUT) is True


def test_quick() -> None:
    """A hundred thousand answers in seconds, on a busy machine; 0.3 s on one that is not."""
    trial = Trial(scenario(Random(3)).text, 600)
    node = trial.wiring.nodes[0]
    walk = Walk(trial.compiled(node, Backend.NFTABLES).ruleset)
    packets = [first(packet) for packet in trial.packets][:500]
    assert packets
    begun = time.process_time()
    for _ in range(100_000 // len(packets)):
        for packet in packets:
            walk.passes(packet)
    assert time.process_time() - begun < 5
