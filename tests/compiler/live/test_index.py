"""A census that moves answers as one of a snapshot does, and tells what it does step by step."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.live.groups import Step
from compiler.live.index import Index
from compiler.net import Family, parse_address
from compiler.policy import PodSelector, Requirement, Selector
from compiler.resolve.inventory import Census, Inventory
from compiler.resources.cluster import Namespace, Pod
from compiler.snapshot import build
from tests.compiler.live.clusters import NODE, World
from tests.property.scenarios import LABELS, NAMESPACES

_LABELS = Selector((Requirement("app", "In", ("a",)),))
SELECTORS = (
    PodSelector(Selector(), Selector()),
    PodSelector(Selector(), _LABELS),
    PodSelector(Selector((Requirement("env", "In", ("prod",)),)), Selector()),
    PodSelector(Selector((Requirement("team", "NotIn", ("red",)),)), Selector((Requirement("tier", "Exists"),))),
    *(PodSelector(name, Selector()) for name in NAMESPACES),
    PodSelector("y", Selector((Requirement("app", "DoesNotExist"),))),
)


def meaning(census: Census, chosen: PodSelector) -> object:
    """What a census says of a selector, without the numbers of groups, which are its own."""
    groups = [census.group(number) for number in census.numbers(chosen)]
    return (
        sorted((g.namespace, sorted(g.labels.items()), repr(g.ports)) for g in groups),
        census.size(chosen),
        [[*census.addresses(chosen, family)] for family in Family],
        [
            census.stretches(chosen, family, [0, parse_address(text)[1], parse_address(text)[1] + 4])
            for family, text in ((Family.IPV4, "10.0.1.4"), (Family.IPV6, "fd00::4"))
        ],
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from((NODE, None)))
def test_answers_are_those_of_a_snapshot(seed: int, node: str | None) -> None:
    held = Counter[tuple[int, Family, int]]()

    def told(step: Step) -> None:
        key = step.group.number, step.family, step.address
        held[key] += 1 if step.comes else -1
        assert held[key] in (0, 1), "comes, and is there; or goes, and is not"
        assert step.edge is (len(step.group.addresses(step.family)) == 1)

    index = Index(node, told)
    pods: dict[tuple[str, str], Pod] = {}
    spaces: dict[str, Namespace] = {}
    random = Random(seed)
    for batch in World(random).history(12):
        for name, space in batch.namespaces.items():
            index.relabelled(name, space)
            spaces.pop(name, None)
            spaces |= {} if space is None else {name: space}
        index.many(random.choice((0, 1 << 20)))
        for key, pod in batch.pods.items():
            index.move(pods.pop(key, None), pod)
            pods |= {} if pod is None else {key: pod}
        inventory = Inventory(build(pods.values(), spaces.values()))
        for chosen in random.sample(SELECTORS, 3):
            assert meaning(index, chosen) == meaning(inventory, chosen)
        assert {a: {p.name for p in found} for a, found in index.contested.items()} == {
            a: {p.name for p in found} for a, found in inventory.contested.items()
        }
        for name in ("web", "dns", "admin"):
            assert len([*index.serving(name)]) == len([*inventory.serving(name)])
        for family in Family:
            assert len(index.holding(family)) == len(inventory.holding(family))
    there = {
        (family, address)
        for group in Inventory(build(pods.values(), spaces.values())).groups
        for family in Family
        for address in group.addresses(family)
    }
    assert {(family, address) for (_, family, address), count in held.items() if count} == there


def test_what_nobody_asks_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compiler.live.index._MANY", 0)
    index = Index(NODE, lambda step: None)
    index.move(None, Pod("x", "p", {"app": "a"}, ("10.0.0.1",), NODE))
    for value in LABELS["app"]:
        index.watch(PodSelector("x", Selector((Requirement("app", "In", (value,)),))))
    kept = PodSelector("x", Selector())
    (group,) = index.local(NODE)
    assert index.size(kept) == 1
    assert len(group.watched) == 2
    index.forget_but([])
    assert not group.watched
    assert index.size(kept) == 1
    assert len(group.watched) == 1


def test_addresses_of_several_pods_are_nobodys_until_one_is_left() -> None:
    steps: list[tuple[bool, str]] = []
    index = Index(NODE, lambda step: steps.append((step.comes, step.group.namespace)))
    one, two = (Pod(space, "p", {}, ("10.0.0.1",), NODE) for space in ("x", "y"))
    index.move(None, one)
    index.move(None, two)
    assert steps == [(True, "x"), (False, "x")]
    assert list(index.contested) == ["10.0.0.1"]
    assert index.holder(Family.IPV4, parse_address("10.0.0.1")[1]) is None
    index.move(one, None)
    assert steps[2:] == [(True, "y")]
    assert not index.contested
