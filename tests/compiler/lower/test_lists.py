"""Policies without pods: every selector becomes a set to be filled. What the kernel makes of a filled one:
tests/kernel/test_by_hand.py."""

from __future__ import annotations

from compiler.backends import iptables, nftables
from compiler.backends.target import Backend, Target
from compiler.ir.check import check
from compiler.ir.ruleset import Ruleset, Set
from compiler.lower.lists import lower_lists
from compiler.net import Family
from compiler.policy import Action, NodeSelector, Policy, Selector, Tier
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import Node, Pod
from compiler.snapshot import Snapshot, build
from tests.compiler.models import (
    block,
    labels,
    network_policy,
    pods,
    ports,
    rule,
    tier_policy,
)


def lists(*policies: Policy, backend: str = "nftables", snapshot: Snapshot | None = None) -> Ruleset:
    ordered = sorted(policies, key=lambda policy: policy.order)
    target = Target(Backend(backend))
    found = lower_lists(ordered, Inventory(snapshot or build(referred=["shop"])), target)
    check(found)
    return found


def emitted(ruleset: Ruleset, backend: str) -> dict[str, str]:
    return nftables.emit(ruleset) if backend == "nftables" else iptables.emit(ruleset)


def set_for(ruleset: Ruleset, family: Family, words: str) -> Set:
    """The one set to be filled whose note ends like this."""
    (found,) = (
        s for s in ruleset.sets if isinstance(s, Set) and s.family is family and s.notes[0] == f"to be filled: {words}"
    )
    return found


def test_every_selector_is_a_set_that_says_who_belongs_there() -> None:
    found = rule(pods("app=api"), block("10.0.0.0/8"), to=ports("tcp/80"))
    ruleset = lists(network_policy("a", pods("app=web"), ingress=(found,)))
    notes = {s.notes[0] for s in ruleset.sets if isinstance(s, Set) and s.by_hand}
    assert "to be filled: pods(app=web) in shop" in notes
    assert "to be filled: pods(app=api) in shop" in notes
    assert all(not s.elements for s in ruleset.sets)


def test_workloads_of_the_input_are_named() -> None:
    template = Pod("shop", "web", labels("app=web,v=1"), template_of="Deployment")
    ruleset = lists(network_policy("a", pods("app=web"), ingress=()), snapshot=build([template]))
    assert set_for(ruleset, Family.IPV4, "pods(app=web) in shop (Deployment shop/web)")


def test_nodes_of_the_input_are_addresses_and_unknown_ones_a_set() -> None:
    denied = rule(NodeSelector(Selector()), action=Action.DENY)
    policy = tier_policy(Tier.ADMIN, 1, pods(), egress=(denied,))
    known = lists(policy, snapshot=build(nodes=[Node("n1", ips=("192.0.2.7",))]))
    assert "ip daddr 192.0.2.7" in emitted(known, "nftables")["netpolc.nft"]
    assert set_for(lists(policy), Family.IPV4, "nodes(all)").by_hand
