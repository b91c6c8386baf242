"""No packet meets a verdict that neither the ruleset before a change nor the one behind it has, at full speed, in both
variants of iptables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

import pytest

from compiler.backends.iptables_live import Live
from compiler.backends.steps import Step, Tool
from compiler.backends.target import Backend, Target
from compiler.live.compiler import LiveCompiler
from compiler.lower import fastpath
from compiler.resolve import reach
from compiler.semantics.packet import Packet
from enforcer.dataplane import Actual
from enforcer.iptables.iptables import Iptables, Variant
from tests.compiler.live.clusters import NODE, World
from tests.kernel.flood import Flood
from tests.kernel.moving import Turn, history, meanwhile, packets
from tests.kernel.rig import Rig
from tests.kernel.test_iptables_dataplane import variant

__all__ = ["variant"]
pytestmark = pytest.mark.kernel

LENGTH = 14
RANGES = ("10.0.0.0/16", "fd00::/64")


@pytest.fixture(scope="module")
def twin() -> Iterator[Rig]:
    with Rig() as found:
        yield found


@pytest.fixture(params=[(1024, 1 << 18), (2, 1 << 18), (3, 12), (1024, 0)], ids=str)
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where on selectors become sets, and how many pairs there are."""
    monkeypatch.setattr(reach, "SHARED_MINIMUM", request.param[0])
    monkeypatch.setattr(fastpath, "PAIR_BUDGET", request.param[1])


def changes(seed: int, length: int) -> list[Turn]:
    """Of a random cluster; the first turn is the first ruleset. Of every other one the ranges of pods are closed."""
    compiler = LiveCompiler(Target(Backend.IPTABLES, NODE), seed % 2 == 1, RANGES)
    turns: list[Turn] = []
    for batch in World(Random(seed)).history(length):
        change = compiler.take(batch)
        if change or not turns:
            turns.append(Turn(change, compiler.ruleset()))
    return turns


def slowed(steps: Sequence[Step], slow: int) -> list[Step]:
    """So many rules that match nothing in front of every rule: packets stay among rules for so much longer."""
    return [step if step.tool is Tool.IPSET else replace(step, text=_slowed(step.text, slow)) for step in steps]


def _slowed(text: str, slow: int) -> str:
    lines = (
        (f"-A {line.split()[1]} -p 250 -j DROP\n" * slow if line.startswith("-A ") else "") + f"{line}\n"
        for line in text.splitlines()
    )
    return "".join(lines)


def verdicts(rig: Rig, dataplane: Iptables, turns: Sequence[Turn], sent: Sequence[Packet]) -> Iterator[list[bool]]:
    """What each ruleset does with the packets, loaded alone and at rest."""
    live = Live()
    for turn in turns:
        dataplane.apply(live.load(turn.after))
        dataplane.apply(dataplane.sweep(Actual(live.chains, live.sets)))
        yield rig.forwarded(sent)


def wrong(
    rig: Rig, twin: Rig, variant: Variant, seed: int, slow: int = 0, hasty: bool = False
) -> tuple[int, list[str]]:
    """How many packets were judged while rules changed, and what became of those that met a third verdict. `hasty`:
    all steps of a change in the wrong order, and nobody waits for packets that began before."""
    sent = packets(history(seed, LENGTH), Random(seed))
    turns = changes(seed, LENGTH)
    twin.reset()
    with twin.namespace:
        still = Iptables(variant)
        known = list(verdicts(twin, still, turns, sent))
        still.close()
    live = Live()
    with rig.namespace:
        dataplane = Iptables(variant)
        dataplane.apply(slowed(live.load(turns[0].after), slow))
        with Flood(rig, sent) as flood:
            for turn, before, behind in zip(turns[1:], known, known[1:], strict=False):
                flood.expect(meanwhile(before, behind))
                steps = slowed(live.update(turn.change, turn.after), slow)
                dataplane.apply(_hasty(steps) if hasty else steps)
            flood.expect(meanwhile(known[-1], known[-1]))
            count = flood.sent
        dataplane.close()
    found = [f"lost {times} of {sent[n]}" for n, times in flood.lost.items()]
    return count, found + [f"leaked {times} of {sent[n]}" for n, times in flood.leaked.items()]


def _hasty(steps: Sequence[Step]) -> list[Step]:
    """Elements go first."""
    going = [line for step in steps if step.tool is Tool.IPSET for line in step.text.splitlines() if line[:3] == "del"]
    return [Step(Tool.IPSET, "".join(f"{line}\n" for line in going)), *steps]


@pytest.mark.parametrize("slow", [0, 60])
def test_no_packet_meets_a_third_verdict(rig: Rig, twin: Rig, variant: Variant, limits: None, slow: int) -> None:
    judged = 0
    for seed in range(3):
        count, found = wrong(rig, twin, variant, seed, slow)
        assert found == []
        judged += count
        rig.reset()
    print(f"{judged} packets")
    assert judged > 1000


def test_in_the_wrong_order_packets_meet_a_third_verdict(rig: Rig, twin: Rig, variant: Variant) -> None:
    """The test above can fail."""
    for seed in range(20):
        _, found = wrong(rig, twin, variant, seed, hasty=True)
        rig.reset()
        if found:
            return
    pytest.fail("nobody has noticed")
