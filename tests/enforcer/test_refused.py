"""A policy that can't be read in full never lets through what it would not have, and is valid itself."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from compiler.resources.validation import Policy, validate
from compiler.semantics.oracle import Oracle
from enforcer.api.refused import closed
from enforcer.api.wire import Object
from tests.property.scenarios import Scenario, scenarios
from tests.property.test_oracle_is_the_compiler import examples
from tests.property.trial import Trial

#: What a server may send where netpolc expects something else.
JUNK: tuple[Any, ...] = (None, True, 0, -1, 70000, 1.5, "", "no such thing", [], [None], ["x"], {}, {"later": 1})


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        yield (*path, step)
        yield from places(part, (*path, step))


def broken(policy: Object, random: Random) -> Object:
    """The policy with something wrong somewhere in its spec."""
    value = copy.deepcopy(policy)
    *parents, last = random.choice([*places({"spec": value["spec"]})])
    at: Any = value
    for step in parents:
        at = at[step]
    match random.randint(0, 3):
        case 0:
            at[last] = copy.deepcopy(random.choice(JUNK))
        case 1 if isinstance(at, dict):
            at["newerField"] = copy.deepcopy(random.choice(JUNK))
        case 2 if isinstance(at, list):
            at += [copy.deepcopy(at[-1])] * random.choice((30, 120))
        case _:
            del at[last]
    return value


def twice_broken(policy: Object, random: Random) -> Object:
    """Wrong in two fields of its spec, either of which is refused alone."""
    one, other = broken(policy, random), broken(policy, random)
    assume(enforced(one) and enforced(other))
    first, second = one.get("spec"), other.get("spec")
    assume(isinstance(first, dict) and isinstance(second, dict))
    assert first is not None
    assert second is not None
    return {**one, "spec": first | {k: v for k, v in second.items() if v != policy["spec"].get(k)}}


def enforced(value: Object) -> Policy | None:
    """What stands for a policy that is refused, None of one that is not."""
    model, problems = validate(value, lenient=True)
    return closed(value, problems) if model is None else None


@pytest.mark.parametrize("spoilt", [broken, twice_broken])
@examples(150)
@given(scenario=scenarios, random=st.randoms(use_true_random=False))
def test_lets_nothing_through_that_was_not(
    spoilt: Callable[[Object, Random], Object], scenario: Scenario, random: Random
) -> None:
    policies = [item for item in scenario.objects if item["kind"].endswith("Policy")]
    chosen = random.choice(policies)
    model = enforced(spoilt(chosen, random))
    assume(model is not None)
    assert model is not None
    trial = Trial(scenario.text, 200)
    others = [v for v in trial.policies if v.metadata != model.metadata or v.kind != model.kind]
    assert len(others) == len(trial.policies) - 1, "it keeps its kind, name and namespace"
    now = Oracle((*others, model), trial.snapshot)
    for packet in trial.packets:
        assert trial.oracle.connection(packet).allowed or not now.connection(packet).allowed, str(packet)


@examples(100)
@given(scenario=scenarios, random=st.randoms(use_true_random=False))
def test_is_read_offline_as_it_is_enforced(scenario: Scenario, random: Random) -> None:
    chosen = random.choice([item for item in scenario.objects if item["kind"].endswith("Policy")])
    model = enforced(broken(chosen, random))
    assume(model is not None)
    assert model is not None
    text = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert validate(text) == (model, ())


def network_policy(**spec: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "backend"},
        "spec": spec,
    }


def cluster_policy(**spec: Any) -> Object:
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "ops"},
        "spec": {"tier": "Baseline", "priority": 5, "subject": {"namespaces": {}}} | spec,
    }


WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
SHOP = {"namespaces": {"matchLabels": {"team": "shop"}}}
REFUSED = {"namespaces": {"matchExpressions": [{"key": "netpolc.io/refused", "operator": "Unreadable"}]}}
DENY_IN = {"name": "refused", "action": "Deny", "from": [REFUSED]}
DENY_OUT = {"name": "refused", "action": "Deny", "to": [REFUSED]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            network_policy(
                **WEB, ingress=[{"from": [WEB]}, {"from": [{"later": {}}]}], egress=[{"ports": [{"port": 0}]}]
            ),
            {**WEB, "policyTypes": ["Ingress", "Egress"], "ingress": [{"from": [WEB]}], "egress": []},
            id="rules",
        ),
        pytest.param(
            network_policy(**WEB, ingress={"from": []}),
            {**WEB, "policyTypes": ["Ingress"], "ingress": [], "egress": []},
            id="a list",
        ),
        pytest.param(
            network_policy(podSelector={"matchLabels": 3}, ingress=[{}]),
            {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
            id="whom",
        ),
        pytest.param(
            network_policy(**WEB, ingress=[{}], policyTypes=["ingress"]),
            {**WEB, "policyTypes": ["Ingress", "Egress"]},
            id="when",
        ),
        pytest.param(
            network_policy(**WEB, ingress=[{}], policyTypes=["Ingress"], audit=True),
            {**WEB, "policyTypes": ["Ingress"]},
            id="a newer field",
        ),
        pytest.param(
            cluster_policy(
                ingress=[
                    {"action": "Accept", "from": [SHOP]},
                    {"action": "Accept", "from": [{"later": {}}]},
                    {"action": "Deny", "from": []},
                    {"action": "accept", "from": [SHOP]},
                    {"action": "Pass", "from": [SHOP]},
                ]
            ),
            {
                "tier": "Baseline",
                "priority": 5,
                "subject": {"namespaces": {}},
                "ingress": [
                    {"action": "Accept", "from": [SHOP]},
                    DENY_IN,
                    DENY_IN,
                    {"action": "Pass", "from": [SHOP]},
                ],
                "egress": [],
            },
            id="cluster-wide: rules",
        ),
        pytest.param(
            cluster_policy(
                priority=5000,
                subject=SHOP,
                ingress=[{"action": "Accept", "from": [SHOP]}, {"action": "Pass", "from": [SHOP]}],
                egress=[{"action": "Deny", "to": [SHOP]}],
            ),
            {
                "tier": "Admin",
                "priority": 0,
                "subject": SHOP,
                "ingress": [{"action": "Deny", "from": [SHOP]}],
                "egress": [{"action": "Deny", "to": [SHOP]}],
            },
            id="cluster-wide: when",
        ),
        pytest.param(
            cluster_policy(subject=SHOP, later=1),
            {"tier": "Baseline", "priority": 5, "subject": SHOP, "ingress": [DENY_IN], "egress": [DENY_OUT]},
            id="cluster-wide: a newer field",
        ),
    ],
)
def test_what_is_left(value: Object, expected: Object) -> None:
    model = enforced(value)
    assert model is not None
    assert model.spec.model_dump(mode="json", by_alias=True, exclude_none=True) == expected


def test_without_a_spec() -> None:
    nothing = {**cluster_policy(), "spec": "none"}
    model = enforced(nothing)
    assert model is not None
    assert model.spec.model_dump(mode="json", by_alias=True, exclude_none=True) == {
        "tier": "Admin",
        "priority": 0,
        "subject": {"namespaces": {}},
        "ingress": [DENY_IN],
        "egress": [DENY_OUT],
    }


def test_a_second_baseline_policy_only_denies() -> None:
    """Where the custom resource has no schema, there may be several; only the one named `default` counts."""
    rules = [{"action": action, "from": [SHOP]} for action in ("Allow", "Deny")]
    model = enforced(
        {
            "apiVersion": "policy.networking.k8s.io/v1alpha1",
            "kind": "BaselineAdminNetworkPolicy",
            "metadata": {"name": "other"},
            "spec": {"subject": {"namespaces": {}}, "ingress": rules},
        }
    )
    assert model is not None
    assert model.metadata.name == "other"
    assert model.spec.model_dump(mode="json", by_alias=True, exclude_none=True) == {
        "subject": {"namespaces": {}},
        "ingress": rules[1:],
        "egress": [],
    }
