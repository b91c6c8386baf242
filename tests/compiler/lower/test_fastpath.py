"""Pairs: answers known in advance, so each of them must be what both ends' classes answer."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.target import Target
from compiler.ir.ruleset import Hook, Rule, Ruleset
from compiler.lower import fastpath
from compiler.lower.fastpath import Pair, pairs
from compiler.lower.pods import lower
from compiler.net import TCP, UDP, Family, address_text, parse_address
from compiler.policy import Direction, Policy
from compiler.resolve.classes import PodClass, classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reach, Reacher
from compiler.snapshot import Snapshot, build
from tests.compiler.meaning import Meaning
from tests.compiler.models import block, network_policy, pod, pods, ports, rule
from tests.compiler.worlds import NODES, World, worlds


def reaches(
    snapshot: Snapshot, policies: tuple[Policy, ...], node: str | None, family: Family
) -> list[tuple[PodClass, Reach]]:
    """As `lower.pods` makes them: classes that allow everything are left out."""
    inventory = Inventory(snapshot)
    found = ((c, Reacher(inventory).reach(c, family)) for c in classes(inventory, policies, node))
    return [(c, reach) for c, reach in found if c.addresses(family) and not reach.is_open]


def number(text: str) -> int:
    return parse_address(text)[1]


def known(snapshot: Snapshot, *policies: Policy, node: str | None = None) -> tuple[Pair, ...]:
    return pairs(reaches(snapshot, policies, node, Family.IPV4), Family.IPV4)


@settings(deadline=None, max_examples=60)
@given(worlds(), st.sampled_from((*NODES, None)), st.sampled_from(list(Family)))
def test_every_pair_is_allowed_by_every_policy_concerned(world: World, node: str | None, family: Family) -> None:
    meaning = Meaning(world.policies, world.snapshot)
    for source, destination, protocol, port in pairs(reaches(world.snapshot, world.policies, node, family), family):
        ends = address_text(family, source), address_text(family, destination)
        sender, receiver = map(meaning.holder, ends)
        if sender is not None and node in (None, sender.node):
            assert meaning.allows(Direction.EGRESS, sender, ends[1], protocol, port)
        if receiver is not None and node in (None, receiver.node):
            assert meaning.allows(Direction.INGRESS, receiver, ends[0], protocol, port)


SNAPSHOT = build(
    [
        pod("web", "app=web", "10.0.0.1"),
        pod("api", "app=api", "10.0.0.2"),
        pod("far", "app=api", "10.0.0.3", node="n2"),
    ]
)
WEB_IN = network_policy("web", pods("app=web"), ingress=(rule(pods("app=api"), to=ports("tcp/80", "udp/53")),))


def test_source_comes_first_whichever_end_asks() -> None:
    web, api, far = (number(f"10.0.0.{n}") for n in (1, 2, 3))
    assert known(SNAPSHOT, WEB_IN, node="n1") == (
        (api, web, TCP, 80),
        (api, web, UDP, 53),
        (far, web, TCP, 80),
        (far, web, UDP, 53),
    )
    out = network_policy("web", pods("app=web"), egress=(rule(pods("app=api"), to=ports("tcp/80")),))
    assert known(SNAPSHOT, out, node="n1") == ((web, api, TCP, 80), (web, far, TCP, 80))


def test_the_other_end_of_this_node_must_allow_it_too() -> None:
    """A known defect of other tools: an egress rule that satisfies another pod's ingress."""
    web, api, far = (number(f"10.0.0.{n}") for n in (1, 2, 3))
    silent = network_policy("api", pods("app=api"), egress=(rule(pods("app=web"), to=ports("udp/53")),))
    found = known(SNAPSHOT, WEB_IN, silent, node="n1")
    assert found == ((api, web, UDP, 53), (far, web, TCP, 80), (far, web, UDP, 53)), "far's own node asks far"
    assert known(SNAPSHOT, WEB_IN, silent) == ((api, web, UDP, 53), (far, web, UDP, 53))


def test_ranges_everything_and_prefixes_are_left_to_the_class() -> None:
    def of(*wanted: str) -> tuple[Pair, ...]:
        to = ports(*wanted)
        return known(SNAPSHOT, network_policy("web", pods("app=web"), ingress=(rule(pods("app=api"), to=to),)))

    assert of("tcp/80-81") == ()
    assert of("tcp/80", "udp/1-9") == ()
    assert of("tcp") == ()
    assert len(of("tcp/80", "tcp/82")) == 4
    everything = network_policy("web", pods("app=web"), ingress=(rule(pods("app=api")),))
    assert known(SNAPSHOT, everything) == ()
    world = network_policy("web", pods("app=web"), ingress=(rule(block("10.0.0.0/8"), to=ports("tcp/80")),))
    assert known(SNAPSHOT, world) == ()


@pytest.mark.parametrize(("count", "some"), [(8, True), (9, False)])
def test_many_ports_are_left_to_the_class(count: int, some: bool) -> None:
    to = ports(*(f"tcp/{2 * n}" for n in range(1, count + 1)))
    found = known(SNAPSHOT, network_policy("web", pods("app=web"), ingress=(rule(pods("app=api"), to=to),)))
    assert len(found) == (2 * count if some else 0)


@pytest.mark.parametrize("budget", range(10))
def test_the_budget_holds_and_small_classes_come_first(budget: int) -> None:
    """web: two peers, two ports; db: one peer, one port."""
    snapshot = build([*SNAPSHOT.pods, pod("db", "app=db", "10.0.0.9")])
    db_in = network_policy("db", pods("app=db"), ingress=(rule(pods("app=web"), to=ports("tcp/5432")),))
    with patch.object(fastpath, "PAIR_BUDGET", budget):
        found = known(snapshot, WEB_IN, db_in)
    assert len(found) <= budget
    assert len(found) == (0 if budget < 1 else 1 if budget < 5 else 5)


def test_pairs_are_asked_in_forward_alone_behind_replies() -> None:
    def without_pairs(ruleset: Ruleset, hook: Hook) -> bool:
        (base,) = (c for c in ruleset.chains if c.hook is hook)
        return not any(isinstance(r, Rule) and "pairs" in repr(r.matches) for r in base.rules)

    inventory = Inventory(SNAPSHOT)
    ruleset = lower(classes(inventory, (WEB_IN,), "n1"), Reacher(inventory), Target(node="n1"))
    assert "pairs4" in repr(ruleset.chain("forward").rules[1].matches)  # type: ignore[union-attr]
    assert without_pairs(ruleset, Hook.INPUT)
    assert without_pairs(ruleset, Hook.OUTPUT)
