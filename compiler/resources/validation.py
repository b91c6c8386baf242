"""Validation of policies: one decoded object in, a model or every problem of it out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from compiler.resources import cidr
from compiler.resources.clusterpolicy import AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy
from compiler.resources.messages import problems_of
from compiler.resources.networkpolicy import NetworkPolicy
from compiler.resources.problems import Problem

Policy = NetworkPolicy | ClusterNetworkPolicy | AdminNetworkPolicy | BaselineAdminNetworkPolicy

#: The kinds by name.
KINDS: Mapping[str, type[Policy]] = {
    "NetworkPolicy": NetworkPolicy,
    "ClusterNetworkPolicy": ClusterNetworkPolicy,
    "AdminNetworkPolicy": AdminNetworkPolicy,
    "BaselineAdminNetworkPolicy": BaselineAdminNetworkPolicy,
}


def validate(value: Mapping[str, object], *, lenient: bool = False) -> tuple[Policy | None, tuple[Problem, ...]]:
    """The policy that `value` is, or None, and every problem of it; without a policy one of them is an error.

    `value` is a decoded object (dict, list, str, int, float, bool, None all the way down) whose `kind` is one of
    `KINDS`. `lenient` takes what older servers stored and what they ignored: blocks with host bits are masked, and
    unknown fields outside the spec are dropped, each with a warning.
    """
    model, problems = _strictly(value)
    if not lenient or not any(map(_forgiven, problems)):
        return model, problems
    repaired: Any = copy.deepcopy(value)
    warnings = [problem.as_warning() for problem in problems if _forgiven(problem)]
    for problem in warnings:
        _repair(repaired, problem)
    model, rest = _strictly(repaired)
    return model, (*warnings, *rest)


def _strictly(value: Any) -> tuple[Policy | None, tuple[Problem, ...]]:
    kind = KINDS[value["kind"]]
    try:
        return kind.model_validate(value), ()
    except ValidationError as error:
        return None, problems_of(kind, value, error)


def _forgiven(problem: Problem) -> bool:
    return problem.code == "host-bits" or (problem.code == "unknown-field" and problem.path[0] != "spec")


def _repair(value: Any, problem: Problem) -> None:
    *parents, last = problem.path
    for step in parents:
        value = value[step]
    if problem.code == "host-bits":
        block, _, _ = cidr.read(value[last])
        value[last] = str(block)
    else:
        del value[last]
