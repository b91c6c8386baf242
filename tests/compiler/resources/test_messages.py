"""What problems say: Kubernetes' form, what was expected, a hint for a misspelt field, and one problem per thing."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.resources.problems import path_text, printable
from compiler.resources.validation import validate
from tests.compiler.resources.examples import (
    ADMIN_POLICY,
    BASELINE_POLICY,
    CLUSTER_POLICY,
    NETWORK_POLICY,
    Value,
    faults,
    put,
)


def messages(value: Value) -> list[str]:
    return [problem.message for problem in validate(value)[1]]


@pytest.mark.parametrize(
    ("base", "path", "value", "message"),
    [
        (NETWORK_POLICY, "metadata.name", "Web", 'metadata.name: Invalid value: "Web": expected a DNS subdomain: lower '
         "case letters, digits, '-' and '.', every part beginning and ending with a letter or digit"),
        (NETWORK_POLICY, "metadata.name", None, "metadata.name: Required value: expected a name or a generateName"),
        (NETWORK_POLICY, "apiVersion", "v1", 'apiVersion: Unsupported value: "v1": expected networking.k8s.io/v1'),
        (NETWORK_POLICY, "spec", [], "spec: Invalid value: must be an object, is a list"),
        (NETWORK_POLICY, "spec.ingress", {}, "spec.ingress: Invalid value: must be a list, is an object"),
        (NETWORK_POLICY, "spec.ingress", "all", 'spec.ingress: Invalid value: "all": must be a list'),
        (NETWORK_POLICY, "spec.policyTypes", ["ingress"],
         'spec.policyTypes[0]: Unsupported value: "ingress": expected Ingress or Egress'),
        (NETWORK_POLICY, "spec.policyTypes", [1],
         "spec.policyTypes[0]: Invalid value: 1: must be Ingress or Egress"),
        (NETWORK_POLICY, "spec.policyTypes", ["Ingress"] * 3,
         "spec.policyTypes: Invalid value: must have at most 2 items, has 3"),
        (NETWORK_POLICY, "spec.podSelector", {"matchLabels": {"app/": "web"}},
         'spec.podSelector.matchLabels: Invalid value: "app/": expected [PREFIX/]NAME, the name is empty'),
        (NETWORK_POLICY, "spec.podSelector", {"matchLabels": {"example.org/app": 1}},
         "spec.podSelector.matchLabels[example.org/app]: Invalid value: 1: must be a string"),
        (NETWORK_POLICY, "spec.podSelector", {"matchExpressions": [{"key": "a", "operator": "In"}]},
         "spec.podSelector.matchExpressions[0].values: Required value: the operator In needs one value at least"),
        (NETWORK_POLICY, "spec.ingress.0.ports.0", {"port": "80"}, 'spec.ingress[0].ports[0].port: Invalid value: '
         '"80": the name of a port has a letter; write a port number without quotes'),
        (NETWORK_POLICY, "spec.ingress.0.ports.0", {"port": 80, "endPort": 79},
         "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be at least the port, 80"),
        (NETWORK_POLICY, "spec.ingress.0.ports.0", {"port": True},
         "spec.ingress[0].ports[0].port: Invalid value: true: must be a port number or the name of a port"),
        (NETWORK_POLICY, "spec.ingress.0.from.0", {"ipBlock": {"cidr": "10.0.0.1/8"}},
         'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set behind the prefix '
         "length, expected 10.0.0.0/8 or 10.0.0.1/32"),
        (NETWORK_POLICY, "spec.ingress.0.from.0", {},
         "spec.ingress[0].from[0]: Required value: expected a peer: podSelector, namespaceSelector or ipBlock"),
        (NETWORK_POLICY, "spec.ingress.0.from.0", {"ipBlock": {"cidr": "::/0"}, "podSelector": {}},
         "spec.ingress[0].from[0]: Forbidden: ipBlock cannot stand beside podSelector or namespaceSelector in one "
         "peer"),
        (CLUSTER_POLICY, "spec.tier", None, "spec.tier: Required value: expected Admin or Baseline"),
        (CLUSTER_POLICY, "spec.priority", 1001, "spec.priority: Invalid value: 1001: must be at most 1000"),
        (CLUSTER_POLICY, "spec.priority", None, "spec.priority: Required value: expected an integer"),
        (CLUSTER_POLICY, "spec.subject", None, "spec.subject: Required value: expected an object"),
        (CLUSTER_POLICY, "spec.subject", {},
         "spec.subject: Invalid value: must have exactly one of namespaces, pods, has none"),
        (CLUSTER_POLICY, "spec.subject", {"pods": {"podSelector": {}}, "namespaces": {}},
         "spec.subject: Invalid value: must have exactly one of namespaces, pods, has namespaces and pods"),
        (CLUSTER_POLICY, "spec.egress", [{"action": "Deny", "to": [{"networks": ["::/0", "::/0"]}]}],
         'spec.egress[0].to[0].networks[1]: Duplicate value: "::/0": stands at index 0 already'),
        (CLUSTER_POLICY, "spec.ingress", [{"action": "Deny"}], "spec.ingress[0].from: Required value: expected a list"),
        (CLUSTER_POLICY, "spec.ingress",
         [{"action": "Deny", "from": [{"namespaces": {}}], "protocols": [{"sctp": {}}]}],
         "spec.ingress[0].protocols[0].sctp: Invalid value: must have destinationPort, has none"),
        (ADMIN_POLICY, "spec.ingress", [{"action": "Deny", "from": []}],
         "spec.ingress[0].from: Invalid value: must have at least 1 item"),
        (BASELINE_POLICY, "metadata.name", "mine",
         'metadata.name: Invalid value: "mine": must be default, the one object of this kind'),
    ],
)  # fmt: skip
def test_wording(base: Value, path: str, value: Any, message: str) -> None:
    assert messages(put(base, path, value)) == [message]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec.podselector", {}, 'unknown field "spec.podselector": did you mean podSelector?'),
        ("spec.policytype", [], 'unknown field "spec.policytype": did you mean policyTypes?'),
        ("spec.ingres", [], 'unknown field "spec.ingres": did you mean ingress?'),
        ("spec.ingress", [{"form": []}], 'unknown field "spec.ingress[0].form": did you mean from?'),
        ("spec.ingress", [{"To": []}], 'unknown field "spec.ingress[0].To": expected one of from, ports'),
        ("spec.podSelector", {"matchlabels": {}},
         'unknown field "spec.podSelector.matchlabels": did you mean matchLabels?'),
        ("metadata.annotation", {}, 'unknown field "metadata.annotation": did you mean annotations?'),
        ("owner", "me", 'unknown field "owner": expected one of apiVersion, kind, metadata, spec'),
        ("spec.egress", [{"to": [{"pods": {}}]}],
         'unknown field "spec.egress[0].to[0].pods": expected one of ipBlock, namespaceSelector, podSelector'),
    ],
)  # fmt: skip
def test_unknown_fields(path: str, value: Any, message: str) -> None:
    (problem,) = validate(put(NETWORK_POLICY, path, value))[1]
    assert (problem.message, problem.code, problem.on_key) == (message, "unknown-field", True)


def test_a_misspelt_field_is_not_missed_besides() -> None:
    """`teir: Admin` is one mistake: the tier is not reported as absent, and what stands under the wrong name is not
    looked into."""
    spec = CLUSTER_POLICY["spec"]
    made = CLUSTER_POLICY | {"spec": {k: v for k, v in spec.items() if k != "tier"} | {"teir": ["Admin"]}}
    assert faults(made) == ["spec.teir! unknown-field"]
    unrelated = CLUSTER_POLICY | {"spec": {k: v for k, v in spec.items() if k != "tier"} | {"level": "Admin"}}
    assert faults(unrelated) == ["spec.level! unknown-field", "spec.tier required"]


def test_every_problem_at_once() -> None:
    value = put(NETWORK_POLICY, "spec.ingress.0.from.0", {"ipBlock": {"cidr": "10.0.0.0", "expect": []}})
    value = put(value, "spec.ingress.0.ports", [{"port": 0}, {"port": 80, "protocol": "tcp"}])
    value["spec"]["policyTypes"] = ["Egres"]
    value["metadata"] = {"nam": "web", "labels": {"a": "-"}}
    assert faults(value) == [
        "metadata.labels.a bad-label-value",
        "metadata.nam! unknown-field",
        "spec.ingress[0].from[0].ipBlock.cidr bad-cidr",
        "spec.ingress[0].from[0].ipBlock.expect! unknown-field",
        "spec.ingress[0].ports[0].port out-of-range",
        "spec.ingress[0].ports[1].protocol unsupported-value",
        "spec.policyTypes[0] unsupported-value",
    ]


def test_long_and_unprintable_values_are_shown_on_one_short_line() -> None:
    for length, shown in ((78, "N" * 78), (79, "N" * 75 + "...")):
        (message,) = messages(put(NETWORK_POLICY, "metadata.name", "N" * length))
        assert message.startswith(f'metadata.name: Invalid value: "{shown}": expected')
    (message,) = messages(put(NETWORK_POLICY, "metadata.name", "web\n" * 1000))
    assert message.startswith('metadata.name: Invalid value: "web\\nweb\\n')
    assert '...": must be at most 253 bytes long, is 4000' in message
    assert len(message) < 200
    for sign in ("\u202e", "\x9b", "\u2028"):  # turns the line around, starts a terminal's command, ends a line
        (message,) = messages(put(NETWORK_POLICY, "spec.policyTypes", [f"In{sign}gress"]))
        assert sign not in message
        (message,) = messages(put(NETWORK_POLICY, "spec", {f"in{sign}gress": []}))
        assert sign not in message


def test_paths() -> None:
    assert path_text(()) == ""
    assert path_text(("spec", "ingress", 0, "from")) == "spec.ingress[0].from"
    assert path_text(("metadata", "labels", "app.kubernetes.io/name")) == "metadata.labels[app.kubernetes.io/name]"
    assert path_text(("a b",)) == "[a b]"
    assert printable("a\tb\ud800ü") == "a\\tb\\ud800ü"
