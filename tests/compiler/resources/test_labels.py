"""Label selectors: checked in a NetworkPolicy, free in custom resources, whose schema knows types alone."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.resources.labels import LabelSelector
from tests.compiler.resources.examples import (
    ADMIN_POLICY,
    CLUSTER_POLICY,
    NETWORK_POLICY,
    Value,
    faults,
    kind,
    put,
    taken,
)

#: Where a NetworkPolicy has selectors.
PLACES = ("spec.podSelector", "spec.ingress.0.from.0.podSelector", "spec.egress.0.to.0.namespaceSelector")
#: Where a custom resource has some.
CUSTOM_PLACES = (
    "spec.subject.namespaces",
    "spec.subject.pods.podSelector",
    "spec.ingress.0.from.0.pods.namespaceSelector",
)


def custom(base: Value, place: str, selector: Any) -> Value:
    """The object with the selector there, and all around it that the schema requires."""
    made = put(base, "spec.ingress.0", {"action": "Deny", "from": [{"pods": selectors()}]})
    made["spec"]["subject"] = {"pods": selectors()} if ".pods" in place else {}
    return put(made, place, selector)


def selectors() -> Value:
    return {"podSelector": {}, "namespaceSelector": {}}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        # matchLabels
        ({}, []),
        ({"matchLabels": None, "matchExpressions": None}, []),
        ({"matchLabels": {}, "matchExpressions": []}, []),
        ({"matchLabels": {"app": "web", "example.org/Tier": ""}}, []),
        ({"matchLabels": {"app": None}}, []),
        ({"matchLabels": {"app_": "web"}}, [".matchLabels.app_! bad-label-key"]),
        ({"matchLabels": {"app": "we b"}}, [".matchLabels.app bad-label-value"]),
        ({"matchLabels": {"": "-"}}, [".matchLabels[] bad-label-value", ".matchLabels[]! bad-label-key"]),
        ({"matchLabels": {"app": 1}}, [".matchLabels.app bad-type"]),
        ({"matchLabels": {"a": True, "b": "-"}}, [".matchLabels.a bad-type", ".matchLabels.b bad-label-value"]),
        ({"matchLabels": ["app"]}, [".matchLabels bad-type"]),
        ({"matchLabels": "app=web"}, [".matchLabels bad-type"]),
        # the operators and their values
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, []),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web", "web", ""]}]}, []),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [None]}]}, []),  # the empty value
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, []),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist", "values": []}]}, []),
        ({"matchExpressions": [{"key": "app", "operator": "Exists", "values": None}]}, []),
        ({"matchExpressions": [{"key": "app", "operator": "In"}]}, ["#.values required"]),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]}, ["#.values required"]),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": None}]}, ["#.values required"]),
        ({"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]}, ["#.values forbidden"]),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist", "values": [""]}]}, ["#.values forbidden"]),
        ({"matchExpressions": [{"key": "app", "operator": "in", "values": ["a"]}]}, ["#.operator unsupported-value"]),
        ({"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}, ["#.operator unsupported-value"]),
        ({"matchExpressions": [{"key": "app", "operator": ""}]}, ["#.operator unsupported-value"]),
        ({"matchExpressions": [{"key": "app"}]}, ["#.operator required"]),
        ({"matchExpressions": [{"key": "app", "operator": None}]}, ["#.operator required"]),
        ({"matchExpressions": [{"key": "app", "operator": 1}]}, ["#.operator bad-type"]),
        ({"matchExpressions": [{"operator": "Exists"}]}, ["#.key required"]),
        ({"matchExpressions": [{"key": None, "operator": "Exists"}]}, ["#.key required"]),
        ({"matchExpressions": [{"key": "", "operator": "Exists"}]}, ["#.key bad-label-key"]),
        ({"matchExpressions": [{"key": "-", "operator": "Exists"}]}, ["#.key bad-label-key"]),
        ({"matchExpressions": [{"key": ["app"], "operator": "Exists"}]}, ["#.key bad-type"]),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["-", "ok", 1]}]},
         ["#.values[0] bad-label-value", "#.values[2] bad-type"]),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": "web"}]}, ["#.values bad-type"]),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": {}}]}, ["#.values bad-type"]),
        # every rule reports beside the others
        ({"matchExpressions": [{"key": "-", "operator": "is", "values": ["-"]}]},
         ["#.key bad-label-key", "#.operator unsupported-value", "#.values[0] bad-label-value"]),
        ({"matchExpressions": [None]}, ["#.key required", "#.operator required"]),
        ({"matchExpressions": ["app"]}, ["# bad-type"]),
        ({"matchExpressions": {"key": "app"}}, [".matchExpressions bad-type"]),
        # unknown fields
        ({"matchLabel": {"app": "web"}}, [".matchLabel! unknown-field"]),
        ({"app": "web"}, [".app! unknown-field"]),
        ({"matchExpressions": [{"key": "app", "operator": "Exists", "value": "a"}]}, ["#.value! unknown-field"]),
    ],
)  # fmt: skip
def test_in_a_network_policy(place: str, selector: Any, expected: list[str]) -> None:
    base = place.replace(".0", "[0]")
    wanted = [base + fault.replace("#", ".matchExpressions[0]", 1) for fault in expected]
    assert faults(put(NETWORK_POLICY, place, selector)) == sorted(wanted)


@pytest.mark.parametrize("base", [CLUSTER_POLICY, ADMIN_POLICY], ids=kind)
@pytest.mark.parametrize("place", CUSTOM_PLACES)
@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"matchLabels": {"-": "any text", "": ""}}, []),
        ({"matchExpressions": [{"key": "", "operator": "Gt"}]}, []),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": []}]}, []),
        ({"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["-", "-"]}]}, []),
        ({"matchLabels": {"app": None}, "matchExpressions": None}, []),
        ({"matchLabels": {"app": 1}}, [".matchLabels.app bad-type"]),
        ({"matchLabels": {"app": {}}}, [".matchLabels.app bad-type"]),
        ({"matchLabels": []}, [".matchLabels bad-type"]),
        ({"matchExpressions": [{"key": "app"}]}, ["#.operator required"]),
        ({"matchExpressions": [{"key": None, "operator": "In"}]}, ["#.key required"]),
        ({"matchExpressions": [{"key": 1, "operator": 2, "values": 3}]},
         ["#.key bad-type", "#.operator bad-type", "#.values bad-type"]),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": [None]}]}, ["#.values[0] bad-type"]),
        ({"matchExpressions": [None]}, ["# bad-type"]),
        ({"matchExpressions": {}}, [".matchExpressions bad-type"]),
        ({"matchlabels": {}}, [".matchlabels! unknown-field"]),
        ("app", [" bad-type"]),
        ([], [" bad-type"]),
    ],
)  # fmt: skip
def test_in_a_custom_resource(base: Value, place: str, selector: Any, expected: list[str]) -> None:
    where = place.replace(".0", "[0]")
    wanted = [where + fault.replace("#", ".matchExpressions[0]", 1) for fault in expected]
    assert faults(custom(base, place, selector)) == sorted(wanted)


def test_null_values() -> None:
    """A null value is the empty string in Go; the server prunes it from a custom resource, key and all."""
    selector = {"matchLabels": {"app": None, "tier": "db"}}
    mine: Any = taken(put(NETWORK_POLICY, "spec.podSelector", selector)).spec
    assert mine.pod_selector.match_labels == {"app": "", "tier": "db"}
    theirs: Any = taken(custom(CLUSTER_POLICY, "spec.subject.namespaces", selector)).spec
    assert theirs.subject.namespaces == LabelSelector.model_validate({"matchLabels": {"tier": "db"}})
