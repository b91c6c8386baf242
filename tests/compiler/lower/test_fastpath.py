"""Pairs: answers known in advance, so each of them must be what both ends' classes answer."""

from __future__ import annotations

from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.target import Target
from compiler.ir.match import InSet
from compiler.lower import fastpath
from compiler.lower.fastpath import Pair, pairs
from compiler.lower.pods import lower
from compiler.net import TCP, UDP, Family, address_text, parse_address
from compiler.policy import Action, Direction, Policy, Rule, Tier
from compiler.resolve import reach as reach_module
from compiler.resolve.classes import PodClass, classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reach, Reacher
from compiler.snapshot import Snapshot, build
from tests.compiler.meaning import Meaning
from tests.compiler.models import block, network_policy, pod, pods, ports, rule, tier_policy
from tests.compiler.worlds import NODES, POINTS, UNIVERSE, World, worlds


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
    return pairs(reaches(snapshot, policies, node, Family.IPV4), Family.IPV4).elements


@settings(deadline=None, max_examples=40)
@given(worlds(), st.sampled_from((*NODES, None)), st.sampled_from(list(Family)))
def test_every_pair_is_allowed_by_every_policy_concerned(world: World, node: str | None, family: Family) -> None:
    meaning = Meaning(world.policies, world.snapshot)
    found = pairs(reaches(world.snapshot, world.policies, node, family), family)
    for source, destination, protocol, port in found.elements:
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


@pytest.mark.parametrize("direction", list(Direction))
def test_what_one_end_denies_is_no_pair_whichever_end_allows_it(direction: Direction) -> None:
    asks = (rule(pods("app=api"), to=ports("tcp/22", "tcp/80")), rule(pods("app=web"), to=ports("tcp/22", "tcp/80")))
    answers = (rule(pods("app=api"), to=ports("tcp/80")), rule(pods("app=web"), to=ports("tcp/80")))
    if direction is Direction.INGRESS:
        both = (
            network_policy("w", pods("app=web"), ingress=asks),
            network_policy("a", pods("app=api"), egress=answers),
        )
        ends = number("10.0.0.2"), number("10.0.0.1")
    else:
        both = (
            network_policy("w", pods("app=web"), egress=asks),
            network_policy("a", pods("app=api"), ingress=answers),
        )
        ends = number("10.0.0.1"), number("10.0.0.2")
    assert [found[2:] for found in known(SNAPSHOT, *both, node="n1") if found[:2] == ends] == [(TCP, 80)]


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
    """web: two peers, two ports; zoo, which comes later: one peer, one port."""
    snapshot = build([*SNAPSHOT.pods, pod("zoo", "app=zoo", "10.0.0.9")])
    db_in = network_policy("zoo", pods("app=zoo"), ingress=(rule(pods("app=web"), to=ports("tcp/5432")),))
    with patch.object(fastpath, "PAIR_BUDGET", budget):
        found = known(snapshot, WEB_IN, db_in)
    assert len(found) <= budget
    assert len(found) == (0 if budget < 1 else 1 if budget < 5 else 5)


@settings(deadline=None, max_examples=40)
@given(worlds(), st.sampled_from((*NODES, None)), st.sampled_from(list(Family)))
def test_whatever_an_answered_class_allows_is_a_pair(world: World, node: str | None, family: Family) -> None:
    """What misses the pairs there is denied: so but for what the other end of this node denies, none may be missing."""
    meaning = Meaning(world.policies, world.snapshot)
    lowered = reaches(world.snapshot, world.policies, node, family)
    found = pairs(lowered, family)
    known = set(found.elements)
    for n in found.answered:
        of_class, _ = lowered[n]
        comes_in = of_class.direction is Direction.INGRESS
        for subject in of_class.pods:
            for own in (ip for ip in subject.ips if parse_address(ip)[0] is family):
                for other, (protocol, port) in product(UNIVERSE[family], POINTS[:8]):
                    if meaning.allows(of_class.direction, subject, other, protocol, port):
                        end = meaning.holder(other)
                        ends = (other, own) if comes_in else (own, other)
                        opposite = Direction.EGRESS if comes_in else Direction.INGRESS
                        elsewhere = end is None or node not in (None, end.node)
                        if elsewhere or meaning.allows(opposite, end, own, protocol, port):  # type: ignore[arg-type]
                            assert (*map(number, ends), protocol, port) in known


class TestAnswered:
    def answered(self, *policies: Policy, budget: int = fastpath.PAIR_BUDGET) -> list[str]:
        """The first pods of the classes that pairs answer."""
        lowered = reaches(SNAPSHOT, policies, None, Family.IPV4)
        with patch.object(fastpath, "PAIR_BUDGET", budget):
            return [lowered[n][0].pods[0].name for n in sorted(pairs(lowered, Family.IPV4).answered)]

    def test_exact_addresses_with_single_ports(self) -> None:
        assert self.answered(WEB_IN) == ["web"]

    def test_nothing_at_all(self) -> None:
        """Default deny needs no chain."""
        assert self.answered(network_policy("deny", pods("app=web"), ingress=())) == ["web"]
        assert self.answered(network_policy("deny", pods("app=web"), ingress=()), budget=0) == ["web"]

    @pytest.mark.parametrize(
        "more",
        [
            rule(pods("app=api"), to=ports("udp/50-60")),
            rule(pods("app=api")),
            rule(block("192.0.2.0/24"), to=ports("tcp/80")),
            rule(block("192.0.2.7/32"), to=ports("tcp/80")),
            rule(pods("app=api"), to=ports(*(f"tcp/{2 * n}" for n in range(1, 10)))),
        ],
    )
    def test_anything_else_needs_its_chain(self, more: Rule) -> None:
        both = network_policy("web", pods("app=web"), ingress=(rule(pods("app=api"), to=ports("tcp/80")), more))
        assert self.answered(both) == []

    def test_other_protocols_need_its_chain(self) -> None:
        """ICMP passes although no port does."""
        denied = rule(pods("app=api"), to=ports("tcp", "udp", "sctp"), action=Action.DENY)
        top = tier_policy(Tier.ADMIN, 1, pods("app=web"), ingress=(denied,))
        assert self.answered(top, network_policy("p", pods("app=web"), ingress=(rule(pods("app=api")),))) == []

    def test_a_shared_set_needs_its_chain(self) -> None:
        with patch.object(reach_module, "SHARED_MINIMUM", 1):
            assert self.answered(WEB_IN) == []

    def test_what_is_over_the_budget_does(self) -> None:
        assert self.answered(WEB_IN, budget=3) == []
        assert self.answered(WEB_IN, budget=4) == ["web"]


def test_pairs_are_asked_on_every_hook_behind_what_always_passes() -> None:
    """A class that they answer relies on it."""
    inventory = Inventory(SNAPSHOT)
    ruleset = lower(classes(inventory, (WEB_IN,), "n1"), Reacher(inventory), Target(node="n1", families=(Family.IPV4,)))
    for name, place in (("forward", 1), ("input", 1), ("output", 2)):
        assert ruleset.chain(name).rules[place].matches == (InSet(fastpath.PAIR_KEY, "pairs4"),)  # type: ignore[union-attr]
