"""The policy model: label selectors, evaluation order, and the words that scripts and messages show."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from compiler.net import TCP
from compiler.policy import (
    Action,
    Anyone,
    Direction,
    Domains,
    NamedPort,
    NodeSelector,
    Origin,
    PodSelector,
    Ports,
    Requirement,
    Selector,
    Tier,
)
from grammar.source import Span
from tests.compiler import meaning
from tests.compiler.models import block, network_policy, pods, rule, tier_policy
from tests.compiler.worlds import labels, selectors

WEB = {"app": "web", "empty": ""}


class TestRequirement:
    """metav1.LabelSelectorRequirement, operator: "Valid operators are In, NotIn, Exists and DoesNotExist"."""

    @pytest.mark.parametrize(
        ("requirement", "holds"),
        [
            (Requirement("app", "In", ("api", "web")), True),
            (Requirement("app", "In", ("api",)), False),
            (Requirement("none", "In", ("api", "")), False),  # an absent key is not an empty value
            (Requirement("empty", "In", ("",)), True),
            (Requirement("app", "NotIn", ("api",)), True),
            (Requirement("app", "NotIn", ("api", "web")), False),
            (Requirement("none", "NotIn", ("web", "")), True),
            (Requirement("empty", "NotIn", ("",)), False),
            (Requirement("app", "Exists"), True),
            (Requirement("empty", "Exists"), True),
            (Requirement("none", "Exists"), False),
            (Requirement("app", "DoesNotExist"), False),
            (Requirement("empty", "DoesNotExist"), False),
            (Requirement("none", "DoesNotExist"), True),
            (Requirement("App", "Exists"), False),
        ],
    )
    def test_matches(self, requirement: Requirement, holds: bool) -> None:
        assert requirement.matches(WEB) is holds

    @pytest.mark.parametrize(
        ("requirement", "text"),
        [
            (Requirement("app", "In", ("web",)), "app=web"),
            (Requirement("app", "In", ("api", "web")), "app in (api, web)"),
            (Requirement("app", "NotIn", ("web",)), "app notin (web)"),
            (Requirement("app", "DoesNotExist"), "!app"),
        ],
    )
    def test_text(self, requirement: Requirement, text: str) -> None:
        assert str(requirement) == text


class TestSelector:
    """metav1.LabelSelector: "The result of matchLabels and matchExpressions are ANDed. An empty label selector
    matches all objects." """

    def test_empty_matches_all(self) -> None:
        assert Selector().matches({})
        assert Selector().matches(WEB)

    def test_requirements_are_anded(self) -> None:
        both = Selector((Requirement("app", "In", ("web",)), Requirement("tier", "Exists")))
        assert not both.matches(WEB)
        assert both.matches({**WEB, "tier": "x"})

    @given(selectors(), labels)
    def test_matches_as_a_slow_reading_does(self, selector: Selector, given_labels: dict[str, str]) -> None:
        assert selector.matches(given_labels) is meaning.matches(selector, given_labels)


class TestWords:
    """What is printed of peers. `Selector` says `all` when it selects everything."""

    @pytest.mark.parametrize(
        ("thing", "text"),
        [
            (pods("app=web,tier=x"), "pods(app=web,tier=x) in shop"),
            (pods(), "pods(all) in shop"),
            (PodSelector(Selector((Requirement("env", "Exists"),)), Selector()), "pods(all) in namespaces(env)"),
            (NodeSelector(Selector()), "nodes(all)"),
            (block("10.0.0.0/8"), "10.0.0.0/8"),
            (block("fd00::/16", "fd00:1::/32", "fd00:2::/32"), "fd00::/16 except fd00:1::/32, fd00:2::/32"),
            (Domains(("a.example", "*.b.example")), "domains(a.example, *.b.example)"),
            (Anyone(), "anyone"),
            (NamedPort("http", TCP), "tcp port named http"),
            (NamedPort("http"), "port named http"),
        ],
    )
    def test_text(self, thing: object, text: str) -> None:
        assert str(thing) == text

    def test_of_an_origin(self) -> None:
        span = Span("a.yaml", 7, 3, 9, 1)
        assert str(Origin("NetworkPolicy", "shop", "db", "ingress[0]", span)) == "shop/db ingress[0] (a.yaml:7)"
        assert str(Origin("NetworkPolicy", "shop", "db", "", span)) == "shop/db (a.yaml:7)"
        cluster_wide = Origin("AdminNetworkPolicy", "", "top", "egress[3]", replace(span, line=0))
        assert str(cluster_wide) == "AdminNetworkPolicy top egress[3] (a.yaml)"


def test_selectors_of_custom_resources_never_print_alike() -> None:
    """Their schemas take any text for keys and values."""
    alike = [
        Selector(),
        Selector((Requirement("all", "Exists"),)),
        Selector((Requirement("", "Exists"),)),
        Selector((Requirement("a", "Exists"), Requirement("b", "Exists"))),
        Selector((Requirement("a,b", "Exists"),)),
        Selector((Requirement("a", "In", ("b,c",)),)),
        Selector((Requirement("a", "In", ("b",)), Requirement("c", "Exists"))),
        Selector((Requirement("a in (b, c)", "Exists"),)),
        Selector((Requirement("a", "In", ("b", "c")),)),
        Selector((Requirement("a", "In", ("b, c",)),)),
        Selector((Requirement("a", "In", ("", "c")),)),
        Selector((Requirement("!a", "Exists"),)),
        Selector((Requirement("a", "DoesNotExist"),)),
    ]
    assert len({str(selector) for selector in alike}) == len(alike)
    assert str(alike[1]) == "%61ll"
    assert str(Selector((Requirement("ä", "In", ('"x"\n',)),))) == "%C3%A4=%22x%22%0A"


class TestOrder:
    """Admin tier -> NetworkPolicy -> Baseline tier; within a tier by priority, lower first, ties by name."""

    def test_of_evaluation(self) -> None:
        everyone = pods()
        expected = [
            tier_policy(Tier.ADMIN, 0, everyone, name="z"),
            tier_policy(Tier.ADMIN, 5, everyone, name="a"),
            tier_policy(Tier.ADMIN, 5, everyone, name="b"),
            tier_policy(Tier.ADMIN, 10, everyone, name="a"),
            network_policy("a", everyone, ingress=()),
            network_policy("b", everyone, ingress=()),
            tier_policy(Tier.BASELINE, 0, everyone, name="a"),
            tier_policy(Tier.BASELINE, 1001, everyone, name="a"),
        ]
        backwards = expected[::-1]
        assert sorted(backwards, key=lambda policy: policy.order) == expected

    def test_tells_policies_of_one_name_apart(self) -> None:
        """Two namespaces may hold policies of one name, and two kinds as well."""
        one = network_policy("a", pods(), ingress=())
        others = [replace(one, origin=replace(one.origin, namespace="other"))]
        others.append(replace(one, origin=replace(one.origin, kind="Other")))
        assert all(other.order != one.order for other in others)


def test_rules_of_a_direction() -> None:
    ingress, egress = rule(pods("app=a")), rule(pods("app=b"), action=Action.DENY)
    policy = network_policy("p", pods(), ingress=(ingress,), egress=(egress,))
    assert policy.rules(Direction.INGRESS) == (ingress,)
    assert policy.rules(Direction.EGRESS) == (egress,)


def test_ports_that_say_nothing_are_none() -> None:
    """A rule that fails closed has them."""
    assert not Ports().everything
    assert (Ports().spans, Ports().named) == ((), ())
