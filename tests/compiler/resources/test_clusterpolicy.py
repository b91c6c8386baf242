"""The cluster-wide kinds, field by field of their schemas: objects, tiers and rules at every bound."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.resources import AdminNetworkPolicy, ClusterNetworkPolicy
from tests.compiler.resources.cluster_rules import PORTS, rule, to
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
    without,
)


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize("version", ["", None, "v1", "networking.k8s.io/v1", "policy.networking.k8s.io/v1alpha9"])
def test_version(base: Value, version: Any) -> None:
    """A custom resource names its version itself."""
    code = "required" if version is None else "unsupported-value"
    assert faults(put(base, "apiVersion", version)) == [f"apiVersion {code}"]
    assert faults(without(base, "apiVersion")) == ["apiVersion required"]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
def test_the_version_of_the_other_kinds(base: Value) -> None:
    other = ADMIN_POLICY if base is CLUSTER_POLICY else CLUSTER_POLICY
    assert faults(put(base, "apiVersion", other["apiVersion"])) == ["apiVersion unsupported-value"]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize(("spec", "code"), [(None, "required"), ([], "bad-type"), ("x", "bad-type"), (1, "bad-type")])
def test_the_spec_is_required(base: Value, spec: Any, code: str) -> None:
    assert faults(put(base, "spec", spec)) == [f"spec {code}"]
    assert faults(without(base, "spec")) == ["spec required"]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, []),
        ({}, []),
        ({"conditions": [{"type": "Ready", "status": "Perhaps", "observedGeneration": "none"}]}, []),
        ({"conditions": "none"}, []),
        ("ready", []),
        ({"ready": True}, ["status.ready! unknown-field"]),
        ({"conditions": [{}, {"Type": None}]}, ["status.conditions[1].Type! unknown-field"]),
        ({"conditions": [{"type": {"a": 1}}]}, ["status.conditions[0].type.a! unknown-field"]),
        ({"conditions": {"type": "Ready"}}, ["status.conditions.type! unknown-field"]),
        ([{"conditions": []}], ["status[0].conditions! unknown-field"]),
    ],
)
def test_status(base: Value, status: Any, expected: list[str]) -> None:
    """The server drops the status of a new object, yet unknown fields in it are errors of strict decoding."""
    assert faults(put(base, "status", status)) == expected


@pytest.mark.parametrize(
    ("base", "field", "value", "expected"),
    [
        (CLUSTER_POLICY, "tier", "Baseline", []),
        (CLUSTER_POLICY, "tier", "admin", ["spec.tier unsupported-value"]),
        (CLUSTER_POLICY, "tier", "", ["spec.tier unsupported-value"]),
        (CLUSTER_POLICY, "tier", None, ["spec.tier required"]),
        (CLUSTER_POLICY, "tier", 1, ["spec.tier bad-type"]),
        (ADMIN_POLICY, "tier", "Admin", ["spec.tier! unknown-field"]),
        (BASELINE_POLICY, "priority", 1, ["spec.priority! unknown-field"]),
        *[(base, "priority", value, []) for base in (CLUSTER_POLICY, ADMIN_POLICY) for value in (0, 1000, 40.0, -0.0)],
        *[
            (base, "priority", value, [f"spec.priority {code}"])
            for base in (CLUSTER_POLICY, ADMIN_POLICY)
            for value, code in [
                (-1, "out-of-range"),
                (1001, "out-of-range"),
                (1001.0, "out-of-range"),
                (2**31, "out-of-range"),
                (2**64, "out-of-range"),
                (0.5, "bad-type"),
                ("40", "bad-type"),
                (True, "bad-type"),
                (None, "required"),
            ]
        ],
    ],
)
def test_tier_and_priority(base: Value, field: str, value: Any, expected: list[str]) -> None:
    assert faults(put(base, f"spec.{field}", value)) == expected


@pytest.mark.parametrize(
    ("base", "fields"),
    [
        (CLUSTER_POLICY, ("tier", "priority", "subject")),
        (ADMIN_POLICY, ("priority", "subject")),
        (BASELINE_POLICY, ("subject",)),
    ],
)
def test_required_fields(base: Value, fields: tuple[str, ...]) -> None:
    assert faults(put(base, "spec", {})) == sorted(f"spec.{field} required" for field in fields)
    for field in fields:
        assert faults(without(base, f"spec.{field}")) == [f"spec.{field} required"]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_rules(base: Value, direction: str) -> None:
    path, peers = f"spec.{direction}[0]", "from" if direction == "ingress" else "to"
    other = "to" if peers == "from" else "from"
    nothing: tuple[Any, ...] = (None, [])
    for empty in nothing:
        taken(put(base, f"spec.{direction}", empty))
    no_lists: tuple[Any, ...] = ({}, "all", 1, True)
    for wrong in no_lists:
        assert faults(put(base, f"spec.{direction}", wrong)) == [f"spec.{direction} bad-type"]
    no_rules: tuple[Any, ...] = (None, "all", [])
    for wrong in no_rules:
        assert faults(put(base, f"spec.{direction}", [wrong])) == [f"{path} bad-type"]
    assert faults(put(base, f"spec.{direction}", [{}])) == sorted(
        [f"{path}.action required", f"{path}.{peers} required"]
    )
    assert faults(rule(base, direction, **{other: [{"namespaces": {}}]})) == [f"{path}.{other}! unknown-field"]
    for name in ("", "n" * 100, "ü" * 100, "any text\n"):
        taken(rule(base, direction, name=name))
    assert faults(rule(base, direction, name="n" * 101)) == [f"{path}.name too-long"]
    assert faults(rule(base, direction, name=7)) == [f"{path}.name bad-type"]


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize(
    ("base", "actions"),
    [
        (CLUSTER_POLICY, ("Accept", "Deny", "Pass")),
        (ADMIN_POLICY, ("Allow", "Deny", "Pass")),
        (BASELINE_POLICY, ("Allow", "Deny")),
    ],
)
def test_actions(base: Value, actions: tuple[str, ...], direction: str) -> None:
    for action in ("Accept", "Allow", "Deny", "Pass", "deny", ""):
        expected = [] if action in actions else [f"spec.{direction}[0].action unsupported-value"]
        assert faults(rule(base, direction, action=action)) == expected
    assert faults(rule(base, direction, action=["Deny"])) == [f"spec.{direction}[0].action bad-type"]


@pytest.mark.parametrize(("base", "most"), [(CLUSTER_POLICY, 25), (ADMIN_POLICY, 100), (BASELINE_POLICY, 100)])
def test_sizes_of_lists(base: Value, most: int) -> None:
    """25 rules, peers and protocols in v1alpha2, 100 in v1alpha1; of peers and protocols one at least."""
    field, entry = PORTS[base["kind"]]
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        one = rule(base, direction)["spec"][direction][0]
        taken(put(base, f"spec.{direction}", [one] * most))
        assert faults(put(base, f"spec.{direction}", [one] * (most + 1))) == [f"spec.{direction} too-many"]
        for name, item in ((peers, {"namespaces": {}}), (field, entry)):
            path = f"spec.{direction}[0].{name}"
            taken(rule(base, direction, **{name: [item] * most}))
            assert faults(rule(base, direction, **{name: [item] * (most + 1)})) == [f"{path} too-many"]
            assert faults(rule(base, direction, **{name: []})) == [f"{path} too-few"]
            assert faults(rule(base, direction, **{name: {}})) == [f"{path} bad-type"]
            assert faults(rule(base, direction, **{name: [item, None]})) == [f"{path}[1] bad-type"]
    assert faults(put(rule(base, action="x"), "spec.egress.0.to", [])) == [
        "spec.egress[0].action unsupported-value",
        "spec.egress[0].to too-few",
    ]


def test_whole_policies() -> None:
    """Attributes under the names that translation uses; a number written 80.0 is 80."""
    policy = taken(rule(CLUSTER_POLICY, protocols=[{"udp": {"destinationPort": {"number": 53.0}}}]))
    assert isinstance(policy, ClusterNetworkPolicy)
    spec: Any = policy.spec
    (entry,) = spec.egress[0].protocols
    assert (entry.tcp, entry.udp.destination_port.number, entry.udp.destination_port.range) == (None, 53, None)
    assert type(entry.udp.destination_port.number) is int
    admin = taken(to(ADMIN_POLICY, {"networks": ["10.0.0.1/8"]}))
    assert isinstance(admin, AdminNetworkPolicy)
    spec = admin.spec
    assert (spec.egress[0].to[0].networks, spec.egress[0].to[0].domain_names) == (("10.0.0.1/8",), None)
