"""Rulesets that move, in both variants of iptables: changes in their steps, under traffic that they do not concern."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from compiler.backends.iptables_live import Live, next_version
from compiler.backends.steps import Step, Tool
from enforcer.dataplane import Actual
from enforcer.iptables.iptables import Iptables, Variant
from tests.kernel.crowd import Moving
from tests.kernel.rig import Rig
from tests.kernel.test_iptables_dataplane import dataplane, saved, variant

__all__ = ["dataplane", "variant"]
pytestmark = pytest.mark.kernel

CHANGES = 100


def settled(rig: Rig, variant: Variant) -> list[str]:
    """What is in the kernel, in no order of chains and sets, and without versions."""
    return sorted(re.sub(r"(netpolc-\S+)-v\d+\b", r"\1", saved(rig, variant)).splitlines())


@pytest.mark.parametrize("seed", range(3))
def test_changes_make_what_a_load_makes(rig: Rig, variant: Variant, dataplane: Iptables, seed: int) -> None:
    moving, live = Moving(seed), Live(next_version([]))
    dataplane.apply(live.load(moving.compiler.ruleset()))
    for _ in range(20):
        dataplane.apply(live.update(moving.change(), moving.compiler.ruleset()))
        assert (live.chains, live.sets) == (dataplane.read().chains, dataplane.read().sets)
    changed = settled(rig, variant)
    rig.reset()
    dataplane.apply(Live().load(moving.compiler.ruleset()))
    assert changed == settled(rig, variant)


def slowed(found: Sequence[Step], rules: int = 400) -> Iterator[Step]:
    """The same with so many rules that match nothing in front of ours, so that packets are longer among them."""
    first = "-A NETPOLC-FORWARD "
    for step in found:
        if step.tool is Tool.IPSET:
            yield step
        else:
            yield replace(step, text=step.text.replace(first, "-A NETPOLC-FORWARD -p 250 -j DROP\n" * rules + first, 1))


@pytest.mark.parametrize("dwell", ["as it is", "slowed"])
def test_hitless(rig: Rig, variant: Variant, dataplane: Iptables, dwell: str) -> None:
    """Every tenth time the whole ruleset comes in anew, as after a restart: beside the one that is there."""
    moving, live = Moving(7), Live()
    slow = (lambda found: tuple(slowed(found))) if dwell == "slowed" else tuple
    done = 0
    dataplane.apply(slow(live.load(moving.compiler.ruleset())))
    with moving.stream(rig) as running:
        for n in range(CHANGES):
            change = moving.change()
            if n % 10 == 9:
                other = Iptables(variant)
                live = Live(next_version(other.read().sets))
                other.apply(slow(live.load(moving.compiler.ruleset())))
                other.apply(other.sweep(Actual(live.chains, live.sets)))
                assert other.read().sets == live.sets
                other.close()
            else:
                dataplane.apply(slow(live.update(change, moving.compiler.ruleset())))
            done += bool(change)
    print(f"{variant.value}, {dwell}: {running.sent} packets during {done} changes")
    assert (dict(running.lost), dict(running.leaked)) == ({}, {})
    assert running.sent > 50 * CHANGES, "too few packets to tell"


def test_the_order_of_steps_matters(rig: Rig, variant: Variant, dataplane: Iptables) -> None:
    """The test above can fail: here what goes comes first and what comes goes last."""
    moving, live = Moving(7), Live()
    dataplane.apply(live.load(moving.compiler.ruleset()))
    with moving.stream(rig) as running:
        for _ in range(CHANGES):
            steps = live.update(moving.change(), moving.compiler.ruleset())
            if len(steps) > 1 and all(step.tool is Tool.IPSET and "create" not in step.text for step in steps):
                steps = steps[::-1]
            for step in steps:
                dataplane.apply([step])
                time.sleep(0.002)
    assert running.lost or running.leaked
