"""Of random clusters and policies, the rules that explain names are those that packets meet in the kernel."""

from __future__ import annotations

from random import Random

import pytest

from compiler.semantics.diagrams.space import Path
from compiler.sources.manifests import load
from tests.kernel.rig import FLAVOURS, Rig
from tests.kernel.watched import Explained, live, said, watching
from tests.property.limits import LIMITS, limits
from tests.property.scenarios import scenario

pytestmark = pytest.mark.kernel

PORTS = ("", ":80", ":53/UDP", ":443/SCTP", ":65535", ":8080")
WORLD = ("203.0.113.9", "2001:db8:1::9")


@pytest.mark.parametrize("which", LIMITS)
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("seed", range(4))
def test_rules_on_the_way(flavour: str, which: str, seed: int) -> None:
    random = Random(f"{seed} {which}")
    found = load([("all.json", scenario(random).text)], lenient=True)
    names = sorted({pod.node for pod in found.pods if pod.holds_addresses and pod.node})
    node = Explained(found, random.choice(names) if names else "node")
    held = [address for pod in node.snapshot.pods if pod.holds_addresses for address in pod.ips]
    with limits(which), Rig(node.own) as rig:
        node.load(rig, flavour)
        text = live(rig, flavour)
        sent = 0
        with watching(rig, flavour) as watch:
            for _ in range(60):
                source = random.choice([*held, *node.homes, *WORLD])
                others = [one for one in (*held, *node.homes, *WORLD) if (":" in one) == (":" in source)]
                destination = random.choice(others)
                passage = node.ask(text, source, f"[{destination}]{random.choice(PORTS)}")
                # Nothing of the node leaves it for itself.
                if passage is None or (source in node.own and destination in node.own):
                    continue
                assert passage.path is (
                    Path.OUTPUT if source in node.own else Path.INPUT if destination in node.own else Path.FORWARD
                )
                assert watch.first(passage) == (passage.ways.passed, said(passage, flavour)), passage.packet
                assert passage.agrees
                sent += 1
    assert sent > 10
