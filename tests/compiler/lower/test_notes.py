"""What a script says of a class, and how it stays short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.lower.notes import class_notes, ports_text, shortened
from compiler.net import Family
from compiler.policy import NamedPort, PodSelector, Policy, Ports, Rule, Selector, Tier
from compiler.resolve.classes import classes
from compiler.resolve.inventory import Inventory
from compiler.snapshot import build
from tests.compiler.models import ANYONE, block, network_policy, pod, pods, ports, rule, tier_policy


def placed(found: Rule, place: str, line: int) -> Rule:
    """The rule as if it stood there."""
    span = replace(found.origin.span, line=line)
    return replace(found, origin=replace(found.origin, place=place, span=span))


def notes(*policies: Policy, count: int = 2) -> tuple[str, ...]:
    snapshot = build([pod(f"web{n}", "", f"10.0.0.{n}", f"fd00::{n}") for n in range(1, count + 1)])
    (one,) = classes(Inventory(snapshot), sorted(policies, key=lambda p: p.order), None)
    return class_notes(one, Family.IPV4)


def test_pods_policies_and_the_rules_of_each() -> None:
    peers = (pods("app=api"), block("10.0.0.0/8", "10.1.0.0/16"))
    policy = network_policy(
        "web-policy",
        pods(),
        ingress=(
            placed(rule(*peers, to=ports("tcp/80", "udp/53-60")), "ingress[0]", 12),
            placed(rule(*ANYONE), "ingress[1]", 20),
        ),
    )
    everyone = PodSelector(Selector(), Selector())
    top = tier_policy(Tier.ADMIN, 1, everyone, ingress=(placed(rule(), "ingress[0]", 3),), name="top")
    assert notes(policy, top) == (
        "ingress of shop/web1, shop/web2",
        "addresses 10.0.0.1, 10.0.0.2",
        "admin ClusterNetworkPolicy top (policies.yaml:7)",
        "  ingress[0] line 3: allow nobody, any port",
        "application shop/web-policy (policies.yaml:7)",
        "  ingress[0] line 12: allow pods(app=api) in shop, 10.0.0.0/8 except 10.1.0.0/16, tcp/80, udp/53-60",
        "  ingress[1] line 20: allow anyone, any port",
    )


def test_a_policy_without_rules_says_so() -> None:
    assert notes(network_policy("deny", pods(), ingress=()))[2] == (
        "application shop/deny (policies.yaml:7): no rule, allows nothing"
    )


def test_many_pods_are_counted() -> None:
    first, second = notes(network_policy("deny", pods(), ingress=()), count=11)[:2]
    assert first == f"ingress of {', '.join(f'shop/web{n}' for n in (1, 10, 11, 2, 3, 4, 5, 6))} and 3 more"
    assert second.endswith("10.0.0.8 and 3 more")


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], "none"),
        (["a"], "a"),
        (list("abcdefgh"), "a, b, c, d, e, f, g, h"),
        (list("abcdefghi"), "a, b, c, d, e, f, g, h and 1 more"),
    ],
)
def test_shortened(items: list[str], text: str) -> None:
    assert shortened(items) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Ports(everything=True), "any port"),
        (ports("tcp"), "tcp"),
        (ports("tcp/80", "udp/53-60", "sctp/0-65534"), "tcp/80, udp/53-60, sctp/0-65534"),
        (Ports(named=(NamedPort("http", 6), NamedPort("dns"))), "tcp port named http, port named dns"),
        (Ports(), "none"),
    ],
)
def test_ports_text(given: Ports, text: str) -> None:
    assert ports_text(given) == text
