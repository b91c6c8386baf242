"""Programs as chains: traced through the emitted texts, packets fare as the program says, statement by statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.errors import Unsupported
from compiler.ir.ruleset import Ruleset
from compiler.lower.asking import Asking
from compiler.lower.pods import lower
from compiler.lower.program import ProgramFront, denials
from compiler.net import PROTOCOLS, Family
from compiler.pipeline import emit, prepared
from compiler.resolve.baseline import with_blocks
from compiler.resolve.classes import classes
from compiler.resolve.ends import Ends
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reacher
from compiler.resources.language import NO_PROGRAM, Program
from compiler.semantics.packet import PORTED
from compiler.semantics.rules.journey import Route, Situation
from compiler.semantics.rules.netfilter import State
from compiler.semantics.rules.rulesets import read
from compiler.semantics.rules.trace import Tracer
from compiler.snapshot import Snapshot
from tests.compiler.meaning import Meaning
from tests.compiler.programs import NAMES, packets, programs, programs_of_lists
from tests.compiler.reading import Hook, Reading, Seen
from tests.compiler.worlds import UNIVERSE, World, worlds

NODE = "n1"


def ruleset(world: World, program: Program, target: Target) -> Ruleset:
    """What the pipeline makes of these, before passes."""
    inventory = Inventory(world.snapshot)
    ends = Ends(inventory, target.node)
    needs = denials(program, ends, target)
    policies = with_blocks(world.policies, program, Ends(inventory, None))
    found = lower(classes(inventory, policies, target.node), Reacher(inventory), target, needs)
    return ProgramFront(program, Asking(ends, target.capabilities), target).before(found)


def files(world: World, program: Program, backend: Backend) -> Mapping[str, str]:
    target = Target(backend, NODE)
    return emit(prepared(ruleset(world, program, target), target), target)


def own_addresses(cluster: Snapshot) -> list[str]:
    """The node's, and one more that no object knows."""
    pods = {address for pod in cluster.pods for address in pod.ips}
    free = [one for family in Family for one in UNIVERSE[family][20:22] if one not in pods]
    return [*cluster.nodes[NODE].ips, *free]


@st.composite
def cases(draw: st.DrawFn, cluster: Snapshot) -> Seen:
    family = draw(st.sampled_from(list(Family)))
    own = [one for one in own_addresses(cluster) if (":" in one) == (family is Family.IPV6)]
    others = [one for one in UNIVERSE[family] if one not in own]
    known = [a for pod in cluster.pods for a in pod.ips if a in others]
    others = [*others, *known * 4]
    hook = draw(st.sampled_from(list(Hook)))
    sources = [*others, *own] if hook is Hook.INPUT else [*others, *own * 9] if hook is Hook.OUTPUT else others
    targets = own if hook is Hook.INPUT else [*others, *own * 3] if hook is Hook.OUTPUT else others
    if known and hook is not Hook.INPUT and draw(st.integers(0, 5)) == 0:  # a pod to itself
        sources = targets = [draw(st.sampled_from(known))]
    packet = draw(packets(family, sources, targets))
    served = [port for pod in cluster.pods if packet.dst in pod.ips for port in pod.ports]
    port = draw(st.none() | st.sampled_from(served)) if served else None
    if port is not None:
        packet = replace(packet, proto=PROTOCOLS[port.protocol], sport=4000, dport=port.port, icmp_type=None)
    names = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
    return Seen(hook, packet, *names, packet.src in own, packet.dst in own)


STATES = [State.NEW] * 4 + [State.ESTABLISHED, State.RELATED, State.INVALID, State.UNTRACKED]
EVERYBODY = {Family.IPV4: ("224.0.0.5", "255.255.255.255"), Family.IPV6: ("ff02::5",)}


@st.composite
def richer_cases(draw: st.DrawFn, cluster: Snapshot) -> Seen:
    """In any state, with marks, other source ports, to everybody, and with one or the other end of what is chance."""
    seen = draw(cases(cluster))
    packet = seen.packet
    if packet.proto in PORTED:
        packet = replace(packet, sport=draw(st.sampled_from((4000, 4001, 5000))))
    if seen.hook is not Hook.INPUT and draw(st.integers(0, 4)) == 0:
        target = draw(st.sampled_from(EVERYBODY[Family(packet.version)]))
        packet, seen = replace(packet, dst=target), replace(seen, to_self=False)
    state = draw(st.sampled_from(STATES))
    return replace(
        seen, packet=packet, state=state, mark=draw(st.integers(0, 7)), throw=draw(st.booleans()) or draw(st.booleans())
    )


def traced(tracer: Tracer, seen: Seen, own: frozenset[str], state: State | None = None) -> tuple[str, set[str]]:
    """How it ends, and the prefixes of what was logged."""
    sent = seen.hook is Hook.OUTPUT
    route = Route.SENT if sent else Route.ARRIVES
    names = ("" if sent else seen.input, "" if seen.hook is Hook.INPUT else seen.output)
    found = tracer.trace(Situation(seen.packet, route, own, *names, state=state, mark=seen.mark))
    told = {f"<{n}>" for n in range(80) for event in found.notices if f"<{n}>" in str(event.what)}
    return found.how.split()[0], told


@pytest.mark.parametrize("backend", list(Backend))
@settings(deadline=None, max_examples=60)
@given(world=worlds(), program=programs(baseline=True), data=st.data())
def test_texts_mean_what_programs_say(backend: Backend, world: World, program: Program, data: st.DataObject) -> None:
    reading = Reading(program, Meaning(world.policies, world.snapshot), NODE)
    texts = files(world, program, backend)
    tracer = Tracer(read(texts.items()), lambda _, __: True)
    own = frozenset(own_addresses(world.snapshot))
    for seen in data.draw(st.lists(cases(world.snapshot), min_size=40, max_size=40)):
        judged = reading.judge(seen)
        how, told = traced(tracer, seen, own)
        assert how == judged.how, f"{seen}: {judged}"
        if not seen.packet.is_neighbour_discovery and seen.packet.src != seen.packet.dst:
            assert told == judged.noted, f"{seen}: {judged}"
        assert traced(tracer, seen, own, State.ESTABLISHED) == ("accept", set())


@pytest.mark.parametrize("backend", list(Backend))
@settings(deadline=None, max_examples=60)
@given(world=worlds(), program=programs_of_lists(), data=st.data())
def test_lists_in_lists_and_conditions(backend: Backend, world: World, program: Program, data: st.DataObject) -> None:
    """And blocks of the baseline tier; nftables refuses what the kernel would not load."""
    reading = Reading(program, Meaning(world.policies, world.snapshot), NODE)
    try:
        texts = files(world, program, backend)
    except Unsupported as refusal:
        if "chains one in the other" not in str(refusal):
            raise
        reject()
    found = read(texts.items())
    throws = {
        True: Tracer(found, lambda _, __: True),
        False: Tracer(found, lambda asked, _: "numgen" not in asked.text or " mod 1 " in asked.text),
    }
    own = frozenset(own_addresses(world.snapshot))
    for seen in data.draw(st.lists(richer_cases(world.snapshot), min_size=40, max_size=40)):
        judged = reading.judge(seen)
        how, told = traced(throws[seen.throw], seen, own, seen.state)
        assert how == judged.how, f"{seen}: {judged}"
        if not seen.packet.is_neighbour_discovery and seen.packet.src != seen.packet.dst:
            assert told == judged.noted, f"{seen}: {judged}"


@settings(deadline=None, max_examples=20)
@given(world=worlds())
def test_without_a_program_nothing_changes(world: World) -> None:
    for backend in Backend:
        target = Target(backend, NODE)
        inventory = Inventory(world.snapshot)
        plain = lower(classes(inventory, world.policies, NODE), Reacher(inventory), target)
        assert emit(prepared(plain, target), target) == files(world, NO_PROGRAM, backend)
