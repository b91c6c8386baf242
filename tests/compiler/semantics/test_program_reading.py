"""Two readings of random programs, written apart, say the same of every packet: the oracle's and that of the tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.net import Family
from compiler.resources.language import Item, Opaque, Program, Within
from compiler.semantics.diagrams.space import Path
from compiler.semantics.packet import PORTED
from compiler.semantics.proof.case import Case, throw
from compiler.semantics.proof.program import ProgramOracle
from compiler.semantics.rules.netfilter import AddressType, State
from compiler.snapshot import Snapshot
from tests.compiler.meaning import Meaning
from tests.compiler.programs import NAMES, packets, programs_of_lists
from tests.compiler.reading import Hook, Reading, Seen
from tests.compiler.worlds import UNIVERSE, World, worlds

NODE = "n1"
STATES = [State.NEW] * 4 + [State.ESTABLISHED, State.RELATED, State.INVALID, State.UNTRACKED]
EVERYBODY = {Family.IPV4: ("224.0.0.5", "255.255.255.255"), Family.IPV6: ("ff02::5",)}
KINDS = {"224.0.0.5": "MULTICAST", "255.255.255.255": "BROADCAST", "ff02::5": "MULTICAST"}


def own_addresses(cluster: Snapshot) -> list[str]:
    """The node's, and one more that no object knows."""
    pods = {address for pod in cluster.pods for address in pod.ips}
    free = [one for family in Family for one in UNIVERSE[family][20:22] if one not in pods]
    return [*cluster.nodes[NODE].ips, *free]


@st.composite
def cases(draw: st.DrawFn, cluster: Snapshot) -> Seen:
    family, hook = draw(st.sampled_from(list(Family))), draw(st.sampled_from(list(Hook)))
    own = [one for one in own_addresses(cluster) if (":" in one) == (family is Family.IPV6)]
    everyone = [one for one in UNIVERSE[family] if one not in own]
    everyone += 3 * [a for pod in cluster.pods for a in pod.ips if a in everyone]
    # What the node's own host-network pods send was not on its way from elsewhere.
    guests = {a for pod in cluster.pods if pod.host_network and pod.node == NODE for a in pod.ips}
    sources = [one for one in everyone if one not in guests] + own * 9 * (hook is not Hook.FORWARD)
    packet = draw(packets(family, sources, [*everyone, *own * 9, *EVERYBODY[family] * 3]))
    if packet.proto in PORTED:
        packet = replace(packet, sport=draw(st.sampled_from((4000, 4001, 5000))))
    names = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
    state, mark = draw(st.sampled_from(STATES)), draw(st.integers(0, 7))
    return Seen(hook, packet, *names, packet.src in own, packet.dst in own, state, mark, draw(st.booleans()))


def thrown(items: Iterable[Item]) -> Iterator[str]:
    for item in items:
        if not isinstance(item, Opaque):
            yield throw(item)
        if isinstance(item, Within):
            yield from thrown(item.items)


def case_of(seen: Seen, program: Program) -> Case:
    source, target = (AddressType.LOCAL if local else AddressType.UNICAST for local in (seen.from_self, seen.to_self))
    target = AddressType[KINDS[seen.packet.dst]] if seen.packet.dst in KINDS else target
    sent, here = seen.hook is Hook.OUTPUT, seen.hook is Hook.INPUT
    lists = (*(b.rules for b in program.policies), program.node, program.forward)
    items = [item for one in (*lists, program.node_packets, program.forward_packets) for item in one]
    lost = seen.hook is Hook.FORWARD  # one of its hops
    return Case(
        Path(seen.hook.value),
        replace(seen.packet, hop_limit=seen.packet.hop_limit - lost),
        seen.state,
        source,
        target,
        seen.mark,
        "" if sent else seen.input,
        "" if here else seen.output,
        dict.fromkeys(thrown(items), seen.throw),
    )


@settings(deadline=None, max_examples=60)
@given(world=worlds(), program=programs_of_lists(), data=st.data())
def test_two_readings_agree(world: World, program: Program, data: st.DataObject) -> None:
    reading = Reading(program, Meaning((), world.snapshot), NODE)
    oracle = ProgramOracle(program, (), world.snapshot, NODE)
    for seen in data.draw(st.lists(cases(world.snapshot), min_size=60, max_size=60)):
        judged, said = reading.judge(seen), oracle.said(case_of(seen, program))
        how = "accept" if said.allowed else "reject" if said.answer else "drop"
        assert how == judged.how, f"{seen}: {judged}"
