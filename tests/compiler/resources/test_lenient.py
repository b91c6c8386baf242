"""Lenient validation: what older servers stored is taken with a warning, and nothing else is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from compiler.resources.validation import validate
from tests.compiler.resources.examples import CLUSTER_POLICY, NETWORK_POLICY, Value, faults, put

PEER = "spec.ingress.0.from.0"


def warned(value: Value) -> tuple[Any, list[tuple[str, str]]]:
    """The model and the warnings; nothing else was found."""
    before = deepcopy(value)
    model, problems = validate(value, lenient=True)
    assert value == before, "the input is left alone"
    assert [problem.severity for problem in problems] == ["warning"] * len(problems)
    return model, [(str(problem.path[-1]), problem.code) for problem in problems]


def test_host_bits_are_masked() -> None:
    block = {"cidr": "10.1.2.3/8", "except": ["10.1.0.0/16", "10.2.3.4/16"]}
    model, warnings = warned(put(NETWORK_POLICY, PEER, {"ipBlock": block}))
    found = model.spec.ingress[0].from_[0].ip_block
    assert (found.cidr, found.except_) == ("10.0.0.0/8", ("10.1.0.0/16", "10.2.0.0/16"))
    assert sorted(warnings) == [("1", "host-bits"), ("cidr", "host-bits")]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"cidr": "10.1.2.3/33"}, ["cidr bad-cidr"]),
        ({"cidr": "010.0.0.0/8"}, ["cidr leading-zeros"]),
        ({"cidr": "::ffff:10.0.0.0/104"}, ["cidr ipv4-mapped"]),
        ({"cidr": "10.1.2.3/8", "except": ["10.0.0.0/8"]}, ["except[0] except-outside"]),
        ({"cidr": "10.1.2.3/8", "except": ["10.4.5.6/7"]}, ["except[0] except-outside"]),
    ],
)
def test_other_faults_of_blocks_remain(block: Value, expected: list[str]) -> None:
    value = put(NETWORK_POLICY, PEER, {"ipBlock": block})
    assert faults(value, lenient=True) == [f"spec.ingress[0].from[0].ipBlock.{fault}" for fault in expected]


@pytest.mark.parametrize("base", [NETWORK_POLICY, CLUSTER_POLICY])
@pytest.mark.parametrize("path", ["metadata.clusterName", "statu", "metadata.managedFields.0.fields"])
def test_unknown_fields_outside_the_spec_are_dropped(base: Value, path: str) -> None:
    model, warnings = warned(put(base, path, {"any": "thing"}))
    assert model.metadata.name == base["metadata"]["name"]
    assert warnings == [(path.rpartition(".")[2], "unknown-field")]
    assert faults(put(base, path, {"any": "thing"})) != [], "strict validation refuses it"


def test_status_of_a_network_policy() -> None:
    """Kubernetes 1.24 to 1.27 had one."""
    _, warnings = warned(put(NETWORK_POLICY, "status", {"conditions": []}))
    assert warnings == [("status", "unknown-field")]


def test_unknown_fields_inside_the_spec_are_errors() -> None:
    value = put(put(NETWORK_POLICY, "spec.tier", "x"), "metadata.clusterName", "")
    model, problems = validate(value, lenient=True)
    assert model is None
    assert [(p.path[-1], p.severity) for p in problems] == [("clusterName", "warning"), ("tier", "error")]


def test_nothing_to_forgive() -> None:
    assert warned(NETWORK_POLICY)[1] == []
    assert faults(put(NETWORK_POLICY, "spec", 7), lenient=True) == ["spec bad-type"]
