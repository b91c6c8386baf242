"""Rulesets that move, in both variants of iptables: changes in their steps, under traffic that they do not concern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from compiler.backends.iptables_live import load, there, update
from compiler.backends.steps import Step, Tool
from compiler.ir.change import Change
from compiler.ir.ruleset import Ruleset
from enforcer.iptables import Iptables, Variant
from enforcer.plan import Desired
from tests.kernel.moving import Moving
from tests.kernel.rig import Rig
from tests.kernel.test_iptables_dataplane import dataplane, saved, variant
from tests.kernel.test_reload import stream

__all__ = ["dataplane", "variant"]
pytestmark = pytest.mark.kernel

CHANGES = 100


def steps(change: Change, before: Ruleset, tag: str) -> tuple[Step, ...]:
    return update(change, there(before), before.families, tag)


def settled(rig: Rig, variant: Variant) -> list[str]:
    """What is in the kernel, in no order of chains and sets."""
    return sorted(saved(rig, variant).splitlines())


@pytest.mark.parametrize("seed", range(3))
def test_changes_make_what_a_load_makes(rig: Rig, variant: Variant, dataplane: Iptables, seed: int) -> None:
    moving = Moving(seed)
    dataplane.apply(load(moving.compiler.ruleset(), "a"))
    for _ in range(20):
        before = moving.compiler.ruleset()
        dataplane.apply(steps(moving.change(), before, "a"))
    changed, seen = settled(rig, variant), dataplane.read(deep=True)
    rig.reset()
    dataplane.apply(load(moving.compiler.ruleset(), "a"))
    assert changed == settled(rig, variant)
    assert seen == dataplane.read(deep=True)


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
    moving = Moving(7)
    tag, done = "a", 0
    slow = (lambda found: tuple(slowed(found))) if dwell == "slowed" else tuple
    dataplane.apply(slow(load(moving.compiler.ruleset(), tag)))
    with stream(rig) as running:
        for n in range(CHANGES):
            before = moving.compiler.ruleset()
            change = moving.change()
            if n % 10 == 9:
                tag = "b" if tag == "a" else "a"
                whole = load(moving.compiler.ruleset(), tag)
                other = Iptables(variant)
                other.apply(slow(whole))
                other.apply(other.sweep(Desired(whole).names))
                assert {name[-1] for name in other.read().sets} == {tag}
                other.close()
            else:
                dataplane.apply(slow(steps(change, before, tag)))
            done += bool(change)
    print(f"{variant.value}, {dwell}: {running.sent} packets during {done} changes")
    assert (dict(running.lost), dict(running.leaked)) == ({}, {})
    assert running.sent > 50 * CHANGES, "too few packets to tell"
