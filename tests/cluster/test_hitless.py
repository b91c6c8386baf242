"""A share of `make hitless`: changes of every kind under traffic, with ends of the enforcer in between, lose and leak
nothing. And the harness sees what is lost, what leaks and what does not come into force."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.cluster import hitless
from tests.cluster.churn import KINDS, NODES, Churn, states
from tests.cluster.generator import Generator
from tests.cluster.store import Folder, key_of
from tests.kernel.compiled import files
from tests.kernel.rig import Rig

pytestmark = pytest.mark.kernel

CHANGES = 30


def test_changes_under_traffic(flavour: str, tmp_path: Path) -> None:
    store = Folder(tmp_path / "cluster")
    result = hitless.run(flavour, CHANGES, 7, tmp_path / "run", store, ends_every=6)
    print(f"{flavour}: {result}")
    assert not result.lost
    assert not result.leaked
    assert result.changes.total() == CHANGES
    assert result.ends
    assert result.flips
    assert result.sent > 100_000, "too few packets to tell"


def test_every_kind_of_change_comes() -> None:
    """And each is one that the cluster's own state allows."""
    churn, found = Churn(Random(1)), set()
    for _ in range(200):
        before = dict(churn.objects)
        change = churn.next()
        found.add(change.kind)
        assert churn.objects == list(states(before, change.steps))[-1] != before or change.kind == "pod relabelled"
    assert found == set(KINDS)


@pytest.mark.parametrize("gap", ["open", "shut"])
def test_a_gap_is_seen(gap: str) -> None:
    """A moment without rules, or with nothing but a drop, is one that the counts show."""
    churn = Churn(Random(3))
    sent = hitless.flows(Random(3), 100)
    now = hitless.verdicts(churn.objects, sent)
    assert set(now) == {True, False}
    with Rig(NODES[hitless.NODE]) as rig:
        rig.load(files(list(churn.objects.values()), "nftables", hitless.NODE), "nftables")
        with Generator(rig.ends) as generator:
            stable = [flow.sent(allowed) for flow, allowed in zip(sent, now, strict=True)]
            generator.judge(stable)
            before = generator.judge(stable)
            rule = "accept" if gap == "open" else "drop"
            rig.namespace.run("nft", "insert", "rule", "inet", "netpolc", "forward", rule)
            rig.namespace.run("nft", "list", "tables")
            after = generator.judge(stable)
    assert not before.lost
    assert not before.leaked
    assert bool(after.leaked) is (gap == "open")
    assert bool(after.lost) is (gap == "shut")


def test_what_does_not_come_into_force_is_told() -> None:
    sent = hitless.flows(Random(3), 10)
    with Rig(NODES[hitless.NODE]) as rig, Generator(rig.ends) as generator:
        generator.judge([])
        tally = generator.turn([flow.sent(n != 4) for n, flow in enumerate(sent)], 0.3)
    assert tally.settled is None
    assert tally.wrong == (4,)


def test_objects_have_keys_of_their_own() -> None:
    churn = Churn(Random(5))
    assert all(key == key_of(item) for key, item in churn.objects.items())
