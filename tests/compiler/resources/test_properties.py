"""Whatever the value: a model or problems, never an exception, and every problem names a place that exists."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.resources.problems import Path
from compiler.resources.validation import KINDS, validate
from tests.compiler.resources.examples import ALL, Value, put

#: Names of fields of every kind, so that random objects reach deep into the models.
FIELDS = [
    *("apiVersion", "kind", "metadata", "spec", "status", "conditions", "type", "name", "generateName", "namespace"),
    *("labels", "annotations", "finalizers", "ownerReferences", "controller", "managedFields", "creationTimestamp"),
    *("podSelector", "namespaceSelector", "matchLabels", "matchExpressions", "key", "operator", "values", "ingress"),
    *("egress", "policyTypes", "from", "to", "ports", "port", "endPort", "protocol", "ipBlock", "cidr", "except"),
    *("tier", "priority", "subject", "namespaces", "pods", "nodes", "networks", "domainNames", "action", "protocols"),
    *("tcp", "udp", "sctp", "destinationPort", "number", "range", "start", "end", "destinationNamedPort"),
    *("portNumber", "portRange", "namedPort"),
]
TEXTS = ["", "a", "In", "Exists", "TCP", "Ingress", "Deny", "Allow", "10.0.0.0/8", "10.0.0.1/8", "::/0", "http", "a.b"]
NUMBERS = [-1, 0, 1, 80, 80.0, 0.5, 65535, 65536, 2**31, 2**64, float("inf"), float("nan")]

scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.integers()
    | st.floats()
    | st.sampled_from(TEXTS)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
keys = st.sampled_from(FIELDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


def hold(value: Value) -> None:
    """What validation promises of any value."""
    before = deepcopy(value)
    for lenient in (False, True):
        model, problems = validate(value, lenient=lenient)
        assert repr(value) == repr(before), "the input is left alone"
        assert (model is None) == any(problem.severity == "error" for problem in problems)
        assert lenient or all(problem.severity == "error" for problem in problems)
        assert len({(p.path, p.code) for p in problems}) == len(problems), "each thing once"
        for problem in problems:
            assert exists(value, problem.path) or (problem.code == "required" and exists(value, problem.path[:-1]))
            assert not problem.on_key or exists(value, problem.path)
            assert problem.message.isprintable()


def exists(value: Any, path: Path) -> bool:
    """Whether the path leads somewhere."""
    for step in path:
        known = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        if step not in known:
            return False
        value = known[step]
    return True


def places(value: Any, path: Path = ()) -> list[Path]:
    """Every place in the value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for step, item in inner for place in places(item, (*path, step)))]


@settings(deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.dictionaries(keys, values, max_size=5))
def test_any_object(kind: str, value: Value) -> None:
    hold(value | {"kind": kind})


@settings(deadline=None)
@given(st.sampled_from(ALL), values)
def test_any_spec(base: Value, spec: Any) -> None:
    hold(base | {"spec": spec})


RULE: Value = {
    "NetworkPolicy": {
        "from": [{"podSelector": {"matchLabels": {"a": "b"}}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}],
        "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}],
    },
    "ClusterNetworkPolicy": {
        "action": "Accept",
        "from": [{"pods": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}}],
        "protocols": [{"tcp": {"destinationPort": {"range": {"start": 1, "end": 2}}}}],
    },
}


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["NetworkPolicy", "ClusterNetworkPolicy"]), values)
def test_one_wrong_thing_in_a_whole_policy(data: st.DataObject, kind: str, wrong: Any) -> None:
    """A value anywhere in a policy that is right."""
    base = put(next(b for b in ALL if b["kind"] == kind), "spec.ingress.0", deepcopy(RULE[kind]))
    assert validate(base)[1] == ()
    *parents, last = data.draw(st.sampled_from([place for place in places(base) if place and place != ("kind",)]))
    place: Any = base
    for step in parents:
        place = place[step]
    place[last] = wrong
    hold(base)


@pytest.mark.parametrize("depth", [10, 5000])
def test_depth(depth: int) -> None:
    """Nested values cost no stack."""
    nested: Any = {}
    for _ in range(depth):
        nested = [nested]
    for path in ("status", "spec", "metadata"):
        for base in ALL:
            model, problems = validate(base | {path: nested})
            assert (model is None) == bool(problems)
