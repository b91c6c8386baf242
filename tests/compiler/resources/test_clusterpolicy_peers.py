"""Subjects and peers of the cluster-wide kinds: what each version takes and refuses, at every bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.compiler.resources.cluster_rules import BOTH, PODS, rule, to
from tests.compiler.resources.examples import (
    ADMIN_POLICY,
    BASELINE_POLICY,
    CLUSTER_POLICY,
    CUSTOM,
    Value,
    faults,
    kind,
    put,
    taken,
)


def subject(base: Value, value: Any) -> tuple[Value, str]:
    return put(base, "spec.subject", value), "spec.subject"


def ingress_peer(base: Value, value: Any) -> tuple[Value, str]:
    return rule(base, "ingress", **{"from": [value]}), "spec.ingress[0].from[0]"


def egress_peer(base: Value, value: Any) -> tuple[Value, str]:
    return to(base, value), "spec.egress[0].to[0]"


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize("place", [subject, ingress_peer, egress_peer])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"namespaces": {}}, []),
        ({"pods": PODS}, []),
        ({"pods": PODS, "namespaces": None}, []),
        ({}, [" one-of"]),
        ({"pods": None}, [" one-of"]),
        ({"pods": PODS, "namespaces": {}}, [" one-of"]),
        ({"pods": {"namespaceSelector": {}}}, [".pods.podSelector required"]),
        ({"pods": {"podSelector": None, "namespaceSelector": {}}}, [".pods.podSelector required"]),
        ({"pods": PODS | {"selector": {}}}, [".pods.selector! unknown-field"]),
        ({"pods": []}, [".pods bad-type"]),
        ({"namespaces": "shop"}, [".namespaces bad-type"]),
        ({"namespace": {}}, [".namespace! unknown-field"]),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}}, [".ipBlock! unknown-field"]),
        ("pods", [" bad-type"]),
        ([], [" bad-type"]),
    ],
)
def test_pods_or_namespaces(
    base: Value, place: Callable[[Value, Any], tuple[Value, str]], value: Any, expected: list[str]
) -> None:
    made, path = place(base, value)
    assert faults(made) == [path + fault for fault in expected]


@pytest.mark.parametrize("place", [subject, ingress_peer, egress_peer])
def test_the_namespace_selector_of_pods(place: Callable[[Value, Any], tuple[Value, str]]) -> None:
    """v1alpha1 requires it; in v1alpha2 its absence selects every namespace."""
    assert faults(place(CLUSTER_POLICY, {"pods": {"podSelector": {}}})[0]) == []
    for base in BOTH:
        made, path = place(base, {"pods": {"podSelector": {}}})
        assert faults(made) == [f"{path}.pods.namespaceSelector required"]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (["10.0.0.0/8"], []),
        (["::/0", "0.0.0.0/0"], []),
        (["10.0.0.1/8", "2001:db8::1/64"], []),  # host bits are nobody's business here
        ([f"10.{n}.0.0/16" for n in range(25)], []),
        ([f"10.{n}.0.0/16" for n in range(26)], [" too-many"]),
        ([], [" too-few"]),
        (["10.0.0.0/8", "10.0.0.0/8"], ["[1] duplicate"]),
        (["10.0.0.0/8", "10.0.0.1/8"], []),  # a set of texts, not of blocks
        (["10.0.0.0"], ["[0] bad-cidr"]),
        (["10.0.0.0/33"], ["[0] bad-cidr"]),
        (["010.0.0.0/8"], ["[0] bad-cidr"]),
        (["10.0.0.0/08"], ["[0] bad-cidr"]),
        (["::ffff:10.0.0.0/104"], ["[0] bad-cidr"]),
        (["fe80::%1/64"], ["[0] bad-cidr"]),
        ([""], ["[0] bad-cidr"]),
        (["0000:0000:0000:0000:0000:0000:0000:0001/128"], []),  # 43 characters
        (["0000:0000:0000:0000:0000:0000:255.255.255.255/128"], ["[0] bad-cidr"]),  # more
        (["x", "10.0.0.0/8", "10.0.0.0/8", 7], ["[0] bad-cidr", "[2] duplicate", "[3] bad-type"]),
        ("10.0.0.0/8", [" bad-type"]),
        ([None], ["[0] bad-type"]),
    ],
)
def test_networks(base: Value, networks: Any, expected: list[str]) -> None:
    assert faults(to(base, {"networks": networks})) == ["spec.egress[0].to[0].networks" + fault for fault in expected]


@pytest.mark.parametrize("base", [CLUSTER_POLICY, ADMIN_POLICY], ids=kind)
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["example.org"], []),
        (["*.example.org", "example.org."], []),
        (["EXAMPLE.Org", "a-b.c_d.e", "1.2"], []),
        (["[.]"], []),  # the pattern's A-z lets six signs slip in
        (["a" * 300 + ".org"], []),
        ([f"n{n}.org" for n in range(25)], []),
        ([f"n{n}.org" for n in range(26)], [" too-many"]),
        ([], [" too-few"]),
        (["a.org", "b.org", "a.org"], ["[2] duplicate"]),
        (["org"], ["[0] bad-domain-name"]),
        (["*.org"], ["[0] bad-domain-name"]),
        (["*"], ["[0] bad-domain-name"]),
        ([""], ["[0] bad-domain-name"]),
        (["."], ["[0] bad-domain-name"]),
        ([".example.org"], ["[0] bad-domain-name"]),
        (["example..org"], ["[0] bad-domain-name"]),
        (["-example.org"], ["[0] bad-domain-name"]),
        (["example-.org"], ["[0] bad-domain-name"]),
        (["example_.org"], ["[0] bad-domain-name"]),
        (["example.*.org"], ["[0] bad-domain-name"]),
        (["*.*.org"], ["[0] bad-domain-name"]),
        (["*example.org"], ["[0] bad-domain-name"]),
        (["exämple.org"], ["[0] bad-domain-name"]),
        (["example.org\n"], ["[0] bad-domain-name"]),
        (["exa mple.org"], ["[0] bad-domain-name"]),
        ([7], ["[0] bad-type"]),
        ("example.org", [" bad-type"]),
    ],
)
def test_domain_names(base: Value, names: Any, expected: list[str]) -> None:
    found = faults(to(base, {"domainNames": names}))
    assert found == ["spec.egress[0].to[0].domainNames" + fault for fault in expected]


def test_the_baseline_knows_no_domain_names() -> None:
    for value in (["example.org"], None, 7):
        assert faults(to(BASELINE_POLICY, {"domainNames": value})) == [
            "spec.egress[0].to[0].domainNames! unknown-field"
        ]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
def test_egress_peers(base: Value) -> None:
    """Nodes and networks are peers of egress alone, and one peer is one thing."""
    taken(to(base, {"nodes": {"matchLabels": {"zone": "a"}}}))
    assert faults(to(base, {"nodes": []})) == ["spec.egress[0].to[0].nodes bad-type"]
    assert faults(to(base, {"nodes": {}, "networks": ["::/0"]})) == ["spec.egress[0].to[0] one-of"]
    for field in ("nodes", "networks", "domainNames"):
        made = rule(base, "ingress", **{"from": [{field: {}}]})
        assert faults(made) == [f"spec.ingress[0].from[0].{field}! unknown-field"]
