"""Explanations of the example cluster: ends, verdicts, and advice that does what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from compiler.analysis.changes import Change, as_yaml, change
from compiler.analysis.ends import Directory
from compiler.analysis.explain import Explanation, explain
from compiler.errors import Unreadable
from compiler.resources import NetworkPolicy
from compiler.resources.cluster import ContainerPort, Pod, Service
from compiler.resources.networkpolicy import EgressRule, IngressRule
from compiler.resources.validation import validate
from compiler.semantics.account import Account, account, rules_of
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet, connection
from compiler.semantics.verdict import AnyPolicy, Direction
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import load

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "fixtures/examples/shop").glob("*.yaml"))
FOUND = load((path.name, path.read_bytes()) for path in FILES)
POLICIES = [one.value for one in FOUND.policies]
SNAPSHOT = build((*FOUND.pods, *FOUND.templates), FOUND.namespaces, FOUND.nodes)
DIRECTORY = Directory(SNAPSHOT, FOUND.services)


def ask(source: str, destination: str) -> Explanation:
    there, wanted = DIRECTORY.destination(destination)
    return explain(POLICIES, SNAPSHOT, DIRECTORY.source(source), there, wanted)


@pytest.mark.parametrize(
    ("source", "destination", "allowed"),
    [
        ("shop/frontend", "shop/backend:8080", True),
        ("deployment:shop/frontend", "shop/backend:http/TCP", True),
        ("shop/frontend", "shop/database:5432/TCP", False),
        ("shop/frontend", "shop/backend:8080/UDP", False),
        ("shop/frontend", "shop/backend", False),
        ("shop/frontend", "shop/backend:icmp", False),
        ("shop/backend-5c7d9f6b8d-m2x9p", "203.0.113.7:443", True),
        ("shop/backend", "203.0.113.200:443", False),
        ("node:node-a", "shop/database-0:5432", True),
        ("node-b", "shop/database-0:5432", False),
        ("10.244.1.11", "[fd00:10:244:1::12]:8080", None),
        ("fd00:10:244:1::11", "[fd00:10:244:1::12]:8080", True),
        ("[fd00:10:244:1::11]", "[fd00:10:244:1::12]", False),
        ("monitoring/prometheus-0", "shop/database:metrics", True),
    ],
)
def test_verdicts(source: str, destination: str, allowed: bool | None) -> None:
    if allowed is None:
        with pytest.raises(Unreadable, match="no address of the same family"):
            ask(source, destination)
    else:
        assert ask(source, destination).allowed is allowed


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("shop/fronted", "shop/backend:80", "no pod or workload shop/fronted in the input: did you mean shop/frontend"),
        ("node:node-x", "shop/backend:80", "no node node-x in the input: did you mean node-b, node-a?"),
        ("", "shop/backend:80", "an end has no name; expected NAMESPACE/POD, an address or a node"),
        ("shop/backend", ":80", "an end has no name; expected NAMESPACE/POD, an address or a node"),
        ("database-0", "shop/backend:80", "no node database-0 in the input: did you mean shop/database-0?"),
        ("shop/migrate-schema-9fk2l", "shop/backend:80", "has finished"),
        ("shop/frontend:80", "shop/backend:80", "a source has no port"),
        ("shop/frontend", "shop/backend:80/ICP", "expected :PORT"),
        ("shop/frontend", "shop/backend:70000", "70000 is no port"),
        ("shop/frontend", "shop/backend:htp", "no container port htp: did you mean http?"),
        ("shop/frontend", "203.0.113.7:http", "only pods have named ports"),
        (
            "pod:shop/frontend",
            "shop/backend:80",
            "did you mean shop/frontend-6d8f7c9b5-4kqzx, shop/frontend-6d8f7c9b5-t7w2n?",
        ),
    ],
)
def test_bad_ends(source: str, destination: str, message: str) -> None:
    with pytest.raises(Unreadable) as error:
        ask(source, destination)
    assert message in str(error.value)


def test_ambiguous_ends_are_refused() -> None:
    one = Pod("a", "x", ips=("10.0.0.1",), ports=(ContainerPort(1, "TCP", "p"), ContainerPort(1, "UDP", "p")))
    other = Pod("a", "x", {"l": "x"}, template_of="Deployment")
    directory = Directory(build([one, other]))
    with pytest.raises(Unreadable, match="a/x is ambiguous: say pod:a/x, deployment:a/x"):
        directory.source("a/x")
    end, wanted = directory.destination("pod:a/x:p")
    with pytest.raises(Unreadable, match="ambiguous: say 1/TCP, 1/UDP"):
        wanted.of(end.places[0])
    assert directory.destination("pod:a/x:p/UDP")[1].of(end.places[0]) == (17, 1)


def test_services_are_no_ends() -> None:
    pod = Pod("a", "x-1", {"l": "x"}, ("10.0.0.1",))
    directory = Directory(build([pod]), [Service("a", "x", {"l": "x"}, ("10.96.0.1",))])
    for name in ("a/x", "10.96.0.1"):
        with pytest.raises(Unreadable, match="policies see the pods behind it, such as a/x-1"):
            directory.source(name)


def test_pairs_that_policies_tell_apart_are_told_apart() -> None:
    """Both databases to both, both families: six of the eight pairs... each pod and itself besides."""
    found = ask("shop/database", "shop/database:5432")
    assert found.allowed
    assert sorted(answer.count for answer in found.answers) == [4, 4]
    assert {a.source.pod is a.destination.pod for a in found.answers} == {True, False}


def test_counts_are_complete() -> None:
    found = ask("node:node-a", "shop/database:5432")
    assert sum(answer.count for answer in found.answers) == 4
    assert [(a.allowed, a.count) for a in found.answers] == [(True, 2), (False, 2)]
    assert not found.allowed


# Advice

TIERS = """
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: first}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {matchLabels: {purpose: tenant}}}
  egress:
  - action: Deny
    to: [{pods: {podSelector: {matchLabels: {tier: database}}}}]
    protocols: [{tcp: {destinationPort: {range: {start: 1, end: 65535}}}}]
  - action: Pass
    to: [{namespaces: {matchLabels: {purpose: tenant}}}]
    protocols: [{tcp: {destinationPort: {range: {start: 1, end: 65535}}}}]
  - {action: Deny, to: [{networks: [10.244.0.0/16]}]}
  ingress:
  - {action: Accept, from: [{namespaces: {matchLabels: {purpose: operations}}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: monitoring, name: types-by-default}
spec:
  podSelector: {}
  egress:
  - {to: [{ipBlock: {cidr: 10.0.0.0/8}}]}
"""


def applied(policies: Sequence[AnyPolicy], advice: Change, told: Account) -> list[AnyPolicy]:
    """The policies as the advice would have them."""
    field = told.direction.value.lower()
    found: list[AnyPolicy] = []
    for policy in policies:
        gone = {index for one, index in advice.remove if one is policy}
        rules = [rule for n, rule in enumerate(rules_of(policy, told.direction)) if n not in gone]
        more: dict[str, object] = {}
        if advice.add is not None and advice.add[0] is policy:
            (value,) = yaml.safe_load("\n".join(as_yaml(advice.add[1])))
            assert value == advice.add[1]
            model = IngressRule if told.direction is Direction.INGRESS else EgressRule
            rules.append(model.model_validate(value))
        if any(one is policy for one in advice.keep):
            more["policy_types"] = ("Ingress", "Egress")
        found.append(policy.model_copy(update={"spec": policy.spec.model_copy(update={field: tuple(rules), **more})}))
    if advice.isolate:
        assert told.pod is not None
        value = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": told.pod.namespace, "name": "isolate"},
            "spec": {"podSelector": {"matchLabels": dict(told.pod.labels)}, "policyTypes": [told.direction.value]},
        }
        model_found, problems = validate(value)
        assert isinstance(model_found, NetworkPolicy), problems
        found.append(model_found)
    return found


def turned(policies: Sequence[AnyPolicy], snapshot: Snapshot, packet: Packet) -> int:
    """Follows the advice for both directions; how many there was advice for."""
    count = 0
    for told in account(Oracle(policies, snapshot), packet):
        advice = change(told, packet)
        if advice is None:
            continue
        after = Oracle(applied(policies, advice, told), snapshot).connection(packet)
        ruling = after.egress if told.direction is Direction.EGRESS else after.ingress
        assert ruling.allowed is not told.ruling.allowed, (str(packet), told.direction, advice)
        count += 1
    return count


@pytest.mark.parametrize("more", ["", TIERS], ids=["shop", "tiers"])
def test_advice_turns_the_verdict(more: str) -> None:
    """Between all pods, the nodes and the world outside: what is advised is done, and the oracle asked again."""
    found = load([*((path.name, path.read_bytes()) for path in FILES), ("more.yaml", more.encode())])
    policies = [one.value for one in found.policies]
    ends = [pod.ips[0] for pod in found.pods if pod.phase == "Running"] + ["172.18.0.11", "203.0.113.9"]
    kinds = set()
    count = 0
    for one in ends:
        for two in ends:
            for protocol, port in ((6, 8080), (6, 5432), (17, 53), (1, 0)):
                packet = connection(one, two, protocol, port, 0)
                count += turned(policies, SNAPSHOT, packet)
                for told in account(Oracle(policies, SNAPSHOT), packet):
                    advice = change(told, packet)
                    if advice is not None:
                        kinds |= {n for n in ("remove", "keep", "add", "isolate", "widen") if getattr(advice, n)}
    assert count > 500
    assert kinds >= ({"remove", "add", "isolate", "widen"} | ({"keep"} if more else set()))
