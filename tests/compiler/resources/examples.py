"""Small objects that are right, to put one wrong thing into, and what validation says of them in one line each."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

from compiler.resources.problems import path_text
from compiler.resources.validation import Policy, validate

Value = dict[str, Any]

NETWORK_POLICY: Value = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "shop-db", "namespace": "shop"},
    "spec": {"podSelector": {}},
}
CLUSTER_POLICY: Value = {
    "apiVersion": "policy.networking.k8s.io/v1alpha2",
    "kind": "ClusterNetworkPolicy",
    "metadata": {"name": "tenants"},
    "spec": {"tier": "Admin", "priority": 40, "subject": {"namespaces": {}}},
}
ADMIN_POLICY: Value = {
    "apiVersion": "policy.networking.k8s.io/v1alpha1",
    "kind": "AdminNetworkPolicy",
    "metadata": {"name": "tenants"},
    "spec": {"priority": 40, "subject": {"namespaces": {}}},
}
BASELINE_POLICY: Value = {
    "apiVersion": "policy.networking.k8s.io/v1alpha1",
    "kind": "BaselineAdminNetworkPolicy",
    "metadata": {"name": "default"},
    "spec": {"subject": {"namespaces": {}}},
}
CUSTOM = (CLUSTER_POLICY, ADMIN_POLICY, BASELINE_POLICY)
ALL = (NETWORK_POLICY, *CUSTOM)


def kind(value: Value) -> str:
    """A name for a parametrised test."""
    return str(value["kind"])


def put(base: Value, path: str, value: Any) -> Value:
    """A copy of `base` with `value` at a path such as `spec.ingress.0.ports`; objects and lists on the way are made
    as needed."""
    made = deepcopy(base)
    steps: list[str | int] = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = made
    for step, following in pairwise(steps):
        empty: Any = [] if isinstance(following, int) else {}
        if isinstance(place, list):
            place.extend([empty] * (int(step) + 1 - len(place)))
        elif place.get(step) is None:
            place[step] = empty
        place = place[step]
    if isinstance(place, list):
        place.append(value)
    else:
        place[steps[-1]] = value
    return made


def without(base: Value, path: str) -> Value:
    """A copy of `base` without the field at the path."""
    made = deepcopy(base)
    *steps, last = path.split(".")
    place: Any = made
    for step in steps:
        place = place[int(step)] if step.isdigit() else place[step]
    del place[last]
    return made


def faults(value: Value, *, lenient: bool = False) -> list[str]:
    """`PATH CODE` of every error, sorted; `PATH! CODE` when the key is wrong, not the value."""
    model, problems = validate(value, lenient=lenient)
    errors = [p for p in problems if p.severity == "error"]
    assert (model is None) == bool(errors), "a model or an error, never both"
    return sorted(f"{path_text(p.path)}{'!' if p.on_key else ''} {p.code}" for p in errors)


def taken(value: Value) -> Policy:
    """The model of an object that must be right."""
    model, problems = validate(value)
    assert model is not None, problems
    return model
