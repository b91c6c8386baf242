"""networking.k8s.io/v1 NetworkPolicy: each rule of the API server, what it refuses and the nearest it takes."""

from __future__ import annotations

from typing import Any

import pytest

from compiler.resources import NetworkPolicy
from tests.compiler.resources.examples import NETWORK_POLICY, Value, faults, put, taken, without

PORT = "spec.ingress.0.ports.0"
PEER = "spec.egress.0.to.0"
P, Q, B = "spec.ingress[0].ports[0]", "spec.egress[0].to[0]", "spec.egress[0].to[0].ipBlock"


def spec(value: Value) -> Any:
    policy = taken(value)
    assert isinstance(policy, NetworkPolicy)
    return policy.spec


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("networking.k8s.io/v1", []),
        ("", []),  # the server knows it from the address of the request
        (None, []),
        ("v1", ["apiVersion unsupported-value"]),
        ("extensions/v1beta1", ["apiVersion unsupported-value"]),
        ("networking.k8s.io/v1beta1", ["apiVersion unsupported-value"]),
        ("policy.networking.k8s.io/v1alpha2", ["apiVersion unsupported-value"]),
        (1, ["apiVersion bad-type"]),
    ],
)
def test_version(version: Any, expected: list[str]) -> None:
    assert faults(put(NETWORK_POLICY, "apiVersion", version)) == expected
    if version is None:
        assert faults(without(NETWORK_POLICY, "apiVersion")) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        # the object
        ("spec", None, []),
        ("spec", {}, []),
        ("spec", [], ["spec bad-type"]),
        ("spec", "allow", ["spec bad-type"]),
        ("status", {}, ["status! unknown-field"]),
        ("status", None, ["status! unknown-field"]),
        ("Spec", {}, ["Spec! unknown-field"]),
        ("spec.podSelector", None, []),
        ("spec.podSelector", [], ["spec.podSelector bad-type"]),
        ("spec.podselector", {}, ["spec.podselector! unknown-field"]),
        ("spec.tier", None, ["spec.tier! unknown-field"]),
        # policyTypes
        ("spec.policyTypes", None, []),
        ("spec.policyTypes", [], []),
        ("spec.policyTypes", ["Egress", "Ingress"], []),
        ("spec.policyTypes", ["Ingress", "Ingress"], []),
        ("spec.policyTypes", ["ingress"], ["spec.policyTypes[0] unsupported-value"]),
        ("spec.policyTypes", ["Ingress", ""], ["spec.policyTypes[1] unsupported-value"]),
        ("spec.policyTypes", [None], ["spec.policyTypes[0] unsupported-value"]),
        ("spec.policyTypes", [1], ["spec.policyTypes[0] bad-type"]),
        ("spec.policyTypes", ["a", "b"], [f"spec.policyTypes[{n}] unsupported-value" for n in (0, 1)]),
        ("spec.policyTypes", ["Ingress", "Egress", "Ingress"], ["spec.policyTypes too-many"]),
        ("spec.policyTypes", "Ingress", ["spec.policyTypes bad-type"]),
        ("spec.policyTypes", {"Ingress": True}, ["spec.policyTypes bad-type"]),
        # rules
        ("spec.ingress", None, []),
        ("spec.ingress", [], []),
        ("spec.ingress", [{}, None], []),
        ("spec.ingress", [{"from": None, "ports": None}], []),
        ("spec.ingress", [{"from": [], "ports": []}], []),
        ("spec.ingress", {}, ["spec.ingress bad-type"]),
        ("spec.ingress", ["any"], ["spec.ingress[0] bad-type"]),
        ("spec.ingress", [{"to": []}], ["spec.ingress[0].to! unknown-field"]),
        ("spec.ingress", [{"from": {}}], ["spec.ingress[0].from bad-type"]),
        ("spec.egress", [{"from": []}], ["spec.egress[0].from! unknown-field"]),
        ("spec.egress", [[]], ["spec.egress[0] bad-type"]),
        ("spec.egress", [{"to": [[]]}], ["spec.egress[0].to[0] bad-type"]),
        # protocol
        (f"{PORT}.protocol", None, []),
        (f"{PORT}.protocol", "TCP", []),
        (f"{PORT}.protocol", "UDP", []),
        (f"{PORT}.protocol", "SCTP", []),
        (f"{PORT}.protocol", "tcp", [f"{P}.protocol unsupported-value"]),
        (f"{PORT}.protocol", "ICMP", [f"{P}.protocol unsupported-value"]),
        (f"{PORT}.protocol", "", [f"{P}.protocol unsupported-value"]),
        (f"{PORT}.protocol", 6, [f"{P}.protocol bad-type"]),
        # port: a number
        (PORT, {}, []),
        (PORT, None, []),
        (f"{PORT}.port", None, []),
        (f"{PORT}.port", 1, []),
        (f"{PORT}.port", 65535, []),
        (f"{PORT}.port", 0, [f"{P}.port out-of-range"]),
        (f"{PORT}.port", -1, [f"{P}.port out-of-range"]),
        (f"{PORT}.port", 65536, [f"{P}.port out-of-range"]),
        (f"{PORT}.port", 2**32 + 80, [f"{P}.port out-of-range"]),  # 80 to a careless reader
        (f"{PORT}.port", 80.0, [f"{P}.port bad-type"]),
        (f"{PORT}.port", 80.5, [f"{P}.port bad-type"]),
        (f"{PORT}.port", True, [f"{P}.port bad-type"]),
        (f"{PORT}.port", [80], [f"{P}.port bad-type"]),
        (f"{PORT}.port", {}, [f"{P}.port bad-type"]),
        (f"{PORT}.number", 80, [f"{P}.number! unknown-field"]),
        # port: a name
        (f"{PORT}.port", "http", []),
        (f"{PORT}.port", "p" * 15, []),
        (f"{PORT}.port", "80", [f"{P}.port bad-port-name"]),
        (f"{PORT}.port", "", [f"{P}.port bad-port-name"]),
        (f"{PORT}.port", "HTTP", [f"{P}.port bad-port-name"]),
        (f"{PORT}.port", "p" * 16, [f"{P}.port bad-port-name"]),
        # endPort
        (PORT, {"port": 80, "endPort": 80}, []),
        (PORT, {"port": 1, "endPort": 65535}, []),
        (PORT, {"port": 80, "endPort": None}, []),
        (PORT, {"port": 80, "endPort": 79}, [f"{P}.endPort end-port"]),
        (PORT, {"port": 80, "endPort": -1}, [f"{P}.endPort end-port"]),
        (PORT, {"port": 80, "endPort": 65536}, [f"{P}.endPort out-of-range"]),
        (PORT, {"port": 80, "endPort": 2**31}, [f"{P}.endPort out-of-range"]),
        (PORT, {"port": 80, "endPort": "90"}, [f"{P}.endPort bad-type"]),
        (PORT, {"port": 80, "endPort": 90.0}, [f"{P}.endPort bad-type"]),
        (PORT, {"port": 80, "endPort": True}, [f"{P}.endPort bad-type"]),
        (PORT, {"endPort": 80}, [f"{P}.endPort end-port"]),
        (PORT, {"port": None, "endPort": 80}, [f"{P}.endPort end-port"]),
        (PORT, {"port": "http", "endPort": 80}, [f"{P}.endPort end-port"]),
        (PORT, {"port": "HTTP", "endPort": 80}, [f"{P}.endPort end-port", f"{P}.port bad-port-name"]),
        (PORT, {"port": 0, "endPort": 0}, [f"{P}.endPort out-of-range", f"{P}.port out-of-range"]),
        (PORT, {"port": 0, "endPort": 9}, [f"{P}.port out-of-range"]),
        (PORT, {"port": True, "endPort": 9}, [f"{P}.port bad-type"]),
        (PORT, {"port": 80, "endport": 90}, [f"{P}.endport! unknown-field"]),
        (PORT, {"port": 80, "endPort": 7, "protocol": "x"},
         [f"{P}.endPort end-port", f"{P}.protocol unsupported-value"]),
        # a peer is pods or a block
        (PEER, {"podSelector": {}}, []),
        (PEER, {"podSelector": {}, "namespaceSelector": {}, "ipBlock": None}, []),
        (PEER, {}, [f"{Q} required"]),
        (PEER, None, [f"{Q} required"]),
        (PEER, {"podSelector": None}, [f"{Q} required"]),
        (PEER, {"pods": {}}, [f"{Q}.pods! unknown-field"]),
        (PEER, {"ipBlock": {"cidr": "::/0"}, "podSelector": {}}, [f"{Q} forbidden"]),
        (PEER, {"ipBlock": {"cidr": "::/0"}, "namespaceSelector": {}}, [f"{Q} forbidden"]),
        (PEER, {"ipBlock": {"cidr": "::"}, "podSelector": {}}, [f"{Q} forbidden", f"{B}.cidr bad-cidr"]),
        # ipBlock
        (PEER, {"ipBlock": {"cidr": "0.0.0.0/0"}}, []),
        (PEER, {"ipBlock": {"cidr": "2001:DB8::/32", "except": None}}, []),
        (PEER, {"ipBlock": {}}, [f"{B}.cidr required"]),
        (PEER, {"ipBlock": {"cidr": None}}, [f"{B}.cidr required"]),
        (PEER, {"ipBlock": {"cidr": ""}}, [f"{B}.cidr required"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0"}}, [f"{B}.cidr bad-cidr"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.1/8"}}, [f"{B}.cidr host-bits"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/08"}}, [f"{B}.cidr leading-zeros"]),
        (PEER, {"ipBlock": {"cidr": "::ffff:10.0.0.0/104"}}, [f"{B}.cidr ipv4-mapped"]),
        (PEER, {"ipBlock": {"cidr": 10}}, [f"{B}.cidr bad-type"]),
        (PEER, {"ipBlock": "10.0.0.0/8"}, [f"{Q}.ipBlock bad-type"]),
        (PEER, {"ipBlock": {"CIDR": "10.0.0.0/8"}}, [f"{B}.CIDR! unknown-field"]),
        (PEER, {"ipblock": {"cidr": "10.0.0.0/8"}}, [f"{Q}.ipblock! unknown-field"]),
        # except
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}, []),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.0.0/16"]}}, []),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}, [f"{B}.except[0] except-outside"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["0.0.0.0/0"]}}, [f"{B}.except[0] except-outside"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9", "11.0.0.0/9"]}},
         [f"{B}.except[1] except-outside"]),
        (PEER, {"ipBlock": {"cidr": "::/0", "except": ["10.0.0.0/9"]}}, [f"{B}.except[0] except-outside"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": [None]}}, [f"{B}.except[0] bad-cidr"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": [""]}}, [f"{B}.except[0] bad-cidr"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": [10]}}, [f"{B}.except[0] bad-type"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": "10.0.0.0/9"}}, [f"{B}.except bad-type"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.1/9"]}}, [f"{B}.except[0] host-bits"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["010.0.0.0/9"]}}, [f"{B}.except[0] leading-zeros"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["::ffff:10.0.0.0/105"]}},
         [f"{B}.except[0] ipv4-mapped"]),
        (PEER, {"ipBlock": {"cidr": "::ffff:10.0.0.0/104", "except": ["11.0.0.0/9"]}},
         [f"{B}.cidr ipv4-mapped", f"{B}.except[0] except-outside"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.0", "except": ["11.0.0.0/9"]}}, [f"{B}.cidr bad-cidr"]),
        (PEER, {"ipBlock": {"except": ["10.0.0.1/9"]}},
         [f"{B}.cidr required", f"{B}.except[0] host-bits"]),
        (PEER, {"ipBlock": {"cidr": "10.0.0.1/8", "except": ["11.0.0.1/9"]}},
         [f"{B}.cidr host-bits", f"{B}.except[0] except-outside", f"{B}.except[0] host-bits"]),
    ],
)  # fmt: skip
def test_rules(path: str, value: Any, expected: list[str]) -> None:
    assert faults(put(NETWORK_POLICY, path, value)) == sorted(expected)


def test_the_kind_is_needed_and_the_rest_is_not() -> None:
    policy = taken({"kind": "NetworkPolicy", "metadata": {"name": "all"}})
    assert isinstance(policy, NetworkPolicy)
    assert (policy.kind, policy.metadata.name, policy.metadata.namespace) == ("NetworkPolicy", "all", None)
    assert policy.spec.pod_selector.match_labels is None
    assert (policy.spec.ingress, policy.spec.egress, policy.spec.policy_types) == (None, None, None)


def test_null_items_are_empty_ones() -> None:
    """Go reads a null item of a list as the zero value of its type."""
    found = spec(put(NETWORK_POLICY, "spec.ingress", [None, {"ports": [None]}]))
    assert found.ingress[0] == found.ingress[0].model_validate({})
    assert found.ingress[1].ports[0].port is None


def test_absent_and_empty_stay_apart() -> None:
    """They mean the same (`ingress`, `from`, `ports`); the model still tells what stood there."""
    assert spec(put(NETWORK_POLICY, "spec.ingress", [])).ingress == ()
    assert spec(put(NETWORK_POLICY, "spec.ingress", None)).ingress is None


def test_a_whole_policy() -> None:
    """All attributes under the names that translation uses; lists are tuples."""
    found = spec(
        put(
            NETWORK_POLICY,
            "spec",
            {
                "podSelector": {"matchLabels": {"app": "db"}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {
                        "from": [
                            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}},
                            {"namespaceSelector": {}},
                        ],
                        "ports": [{"port": "db"}, {"protocol": "UDP", "port": 53, "endPort": 54}],
                    }
                ],
                "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
            },
        )
    )
    assert found.pod_selector.match_labels == {"app": "db"}
    assert found.policy_types == ("Ingress", "Egress")
    (rule,) = found.ingress
    (requirement,) = rule.from_[0].pod_selector.match_expressions
    assert (requirement.key, requirement.operator, requirement.values) == ("a", "In", ("b",))
    assert rule.from_[0].namespace_selector is None
    assert rule.from_[1].namespace_selector is not None
    assert [(port.protocol, port.port, port.end_port) for port in rule.ports] == [(None, "db", None), ("UDP", 53, 54)]
    (peer,) = found.egress[0].to
    assert (peer.ip_block.cidr, peer.ip_block.except_) == ("10.0.0.0/8", ("10.1.0.0/16",))


def test_models_are_frozen() -> None:
    policy = taken(NETWORK_POLICY)
    with pytest.raises(ValueError, match="frozen"):
        policy.metadata.name = "other"  # type: ignore[misc]
