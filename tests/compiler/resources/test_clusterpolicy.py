"""The cluster-wide kinds, field by field of their schemas: what each version takes and refuses, at every bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compiler.resources import AdminNetworkPolicy, ClusterNetworkPolicy
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

PODS = {"podSelector": {}, "namespaceSelector": {}}
#: Per kind: the action that every kind has, what a rule calls its ports, an entry of those.
CLUSTER_PORT = {"tcp": {"destinationPort": {"number": 80}}}
ADMIN_PORT = {"portNumber": {"protocol": "TCP", "port": 80}}
PORTS: dict[str, tuple[str, Value]] = {
    "ClusterNetworkPolicy": ("protocols", CLUSTER_PORT),
    "AdminNetworkPolicy": ("ports", ADMIN_PORT),
    "BaselineAdminNetworkPolicy": ("ports", ADMIN_PORT),
}
BOTH = (ADMIN_POLICY, BASELINE_POLICY)


def rule(base: Value, direction: str = "egress", /, **fields: Any) -> Value:
    """The object with one rule that denies everything, but for these fields; None takes one away."""
    peers = "from" if direction == "ingress" else "to"
    made = {"action": "Deny", peers: [{"namespaces": {}}]} | fields
    return put(base, f"spec.{direction}", [{k: v for k, v in made.items() if v is not None}])


def to(base: Value, peer: Any) -> Value:
    return rule(base, to=[peer])


def ports(base: Value, *entries: Any) -> Value:
    return rule(base, **{PORTS[base["kind"]][0]: list(entries)})


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


def subject(base: Value, value: Any) -> tuple[Value, str]:
    return put(base, "spec.subject", value), "spec.subject"


def ingress_peer(base: Value, value: Any) -> tuple[Value, str]:
    return rule(base, "ingress", **{"from": [value]}), "spec.ingress[0].from[0]"


def egress_peer(base: Value, value: Any) -> tuple[Value, str]:
    return to(base, value), "spec.egress[0].to[0]"


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize("place", [subject, ingress_peer, egress_peer])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"namespaces": {}}, []),
        ({"pods": PODS}, []),
        ({"pods": PODS, "namespaces": None}, []),
        ({}, [" one-of"]),
        ({"pods": None}, [" one-of"]),
        ({"pods": PODS, "namespaces": {}}, [" one-of"]),
        ({"pods": {"namespaceSelector": {}}}, [".pods.podSelector required"]),
        ({"pods": {"podSelector": None, "namespaceSelector": {}}}, [".pods.podSelector required"]),
        ({"pods": PODS | {"selector": {}}}, [".pods.selector! unknown-field"]),
        ({"pods": []}, [".pods bad-type"]),
        ({"namespaces": "shop"}, [".namespaces bad-type"]),
        ({"namespace": {}}, [".namespace! unknown-field"]),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}}, [".ipBlock! unknown-field"]),
        ("pods", [" bad-type"]),
        ([], [" bad-type"]),
    ],
)
def test_pods_or_namespaces(
    base: Value, place: Callable[[Value, Any], tuple[Value, str]], value: Any, expected: list[str]
) -> None:
    made, path = place(base, value)
    assert faults(made) == [path + fault for fault in expected]


@pytest.mark.parametrize("place", [subject, ingress_peer, egress_peer])
def test_the_namespace_selector_of_pods(place: Callable[[Value, Any], tuple[Value, str]]) -> None:
    """v1alpha1 requires it; in v1alpha2 its absence selects every namespace."""
    assert faults(place(CLUSTER_POLICY, {"pods": {"podSelector": {}}})[0]) == []
    for base in BOTH:
        made, path = place(base, {"pods": {"podSelector": {}}})
        assert faults(made) == [f"{path}.pods.namespaceSelector required"]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_rules(base: Value, direction: str) -> None:
    path, peers = f"spec.{direction}[0]", "from" if direction == "ingress" else "to"
    other = "to" if peers == "from" else "from"
    for empty in (None, []):
        taken(put(base, f"spec.{direction}", empty))
    for wrong in ({}, "all", 1, True):
        assert faults(put(base, f"spec.{direction}", wrong)) == [f"spec.{direction} bad-type"]
    for wrong in (None, "all", []):
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


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (["10.0.0.0/8"], []),
        (["::/0", "0.0.0.0/0"], []),
        (["10.0.0.1/8", "2001:db8::1/64"], []),  # host bits are nobody's business here
        ([f"10.{n}.0.0/16" for n in range(25)], []),
        ([f"10.{n}.0.0/16" for n in range(26)], [" too-many"]),
        ([], [" too-few"]),
        (["10.0.0.0/8", "10.0.0.0/8"], ["[1] duplicate"]),
        (["10.0.0.0/8", "10.0.0.1/8"], []),  # a set of texts, not of blocks
        (["10.0.0.0"], ["[0] bad-cidr"]),
        (["10.0.0.0/33"], ["[0] bad-cidr"]),
        (["010.0.0.0/8"], ["[0] bad-cidr"]),
        (["10.0.0.0/08"], ["[0] bad-cidr"]),
        (["::ffff:10.0.0.0/104"], ["[0] bad-cidr"]),
        (["fe80::%1/64"], ["[0] bad-cidr"]),
        ([""], ["[0] bad-cidr"]),
        (["0000:0000:0000:0000:0000:0000:0000:0001/128"], []),  # 43 characters
        (["0000:0000:0000:0000:0000:0000:255.255.255.255/128"], ["[0] bad-cidr"]),  # more
        (["x", "10.0.0.0/8", "10.0.0.0/8", 7], ["[0] bad-cidr", "[2] duplicate", "[3] bad-type"]),
        ("10.0.0.0/8", [" bad-type"]),
        ([None], ["[0] bad-type"]),
    ],
)
def test_networks(base: Value, networks: Any, expected: list[str]) -> None:
    assert faults(to(base, {"networks": networks})) == ["spec.egress[0].to[0].networks" + fault for fault in expected]


@pytest.mark.parametrize("base", [CLUSTER_POLICY, ADMIN_POLICY], ids=kind)
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["example.org"], []),
        (["*.example.org", "example.org."], []),
        (["EXAMPLE.Org", "a-b.c_d.e", "1.2"], []),
        (["[.]"], []),  # the pattern's A-z lets six signs slip in
        (["a" * 300 + ".org"], []),
        ([f"n{n}.org" for n in range(25)], []),
        ([f"n{n}.org" for n in range(26)], [" too-many"]),
        ([], [" too-few"]),
        (["a.org", "b.org", "a.org"], ["[2] duplicate"]),
        (["org"], ["[0] bad-domain-name"]),
        (["*.org"], ["[0] bad-domain-name"]),
        (["*"], ["[0] bad-domain-name"]),
        ([""], ["[0] bad-domain-name"]),
        (["."], ["[0] bad-domain-name"]),
        ([".example.org"], ["[0] bad-domain-name"]),
        (["example..org"], ["[0] bad-domain-name"]),
        (["-example.org"], ["[0] bad-domain-name"]),
        (["example-.org"], ["[0] bad-domain-name"]),
        (["example_.org"], ["[0] bad-domain-name"]),
        (["example.*.org"], ["[0] bad-domain-name"]),
        (["*.*.org"], ["[0] bad-domain-name"]),
        (["*example.org"], ["[0] bad-domain-name"]),
        (["exämple.org"], ["[0] bad-domain-name"]),
        (["example.org\n"], ["[0] bad-domain-name"]),
        (["exa mple.org"], ["[0] bad-domain-name"]),
        ([7], ["[0] bad-type"]),
        ("example.org", [" bad-type"]),
    ],
)
def test_domain_names(base: Value, names: Any, expected: list[str]) -> None:
    found = faults(to(base, {"domainNames": names}))
    assert found == ["spec.egress[0].to[0].domainNames" + fault for fault in expected]


def test_the_baseline_knows_no_domain_names() -> None:
    for value in (["example.org"], None, 7):
        assert faults(to(BASELINE_POLICY, {"domainNames": value})) == [
            "spec.egress[0].to[0].domainNames! unknown-field"
        ]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
def test_egress_peers(base: Value) -> None:
    """Nodes and networks are peers of egress alone, and one peer is one thing."""
    taken(to(base, {"nodes": {"matchLabels": {"zone": "a"}}}))
    assert faults(to(base, {"nodes": []})) == ["spec.egress[0].to[0].nodes bad-type"]
    assert faults(to(base, {"nodes": {}, "networks": ["::/0"]})) == ["spec.egress[0].to[0] one-of"]
    for field in ("nodes", "networks", "domainNames"):
        made = rule(base, "ingress", **{"from": [{field: {}}]})
        assert faults(made) == [f"spec.ingress[0].from[0].{field}! unknown-field"]


@pytest.mark.parametrize(
    ("base", "peer"),
    [
        *[(base, peer) for base in CUSTOM for peer in ({"networks": ["::/0"]}, {"nodes": {}})],
        *[(base, {"domainNames": ["example.org"]}) for base in (CLUSTER_POLICY, ADMIN_POLICY)],
    ],
)
def test_named_ports_are_pods_ports(base: Value, peer: Value) -> None:
    """ "networks/nodes/domainNames peer cannot be set with namedPorts" """
    field, entry = PORTS[base["kind"]]
    named = "destinationNamedPort" if base is CLUSTER_POLICY else "namedPort"
    taken(rule(base, to=[peer], **{field: [entry]}))
    taken(rule(base, **{field: [entry, {named: "http"}]}))
    assert faults(rule(base, to=[{"namespaces": {}}, peer], **{field: [entry, {named: "http"}]})) == [
        f"spec.egress[0].{field}[1].{named} named-port"
    ]
    assert faults(rule(base, to=[peer], action="x", **{field: [{named: "http"}]})) == [
        "spec.egress[0].action unsupported-value",
        f"spec.egress[0].{field}[0].{named} named-port",
    ]


PROTOCOL = "spec.egress[0].protocols[0]"


@pytest.mark.parametrize("name", ["tcp", "udp", "sctp"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"destinationPort": {"number": 1}}, []),
        ({"destinationPort": {"number": 65535}}, []),
        ({"destinationPort": {"number": 80.0}}, []),
        ({"destinationPort": {"number": 80, "range": None}}, []),
        ({"destinationPort": {"range": {"start": 1, "end": 65535}}}, []),
        ({}, [" one-of"]),
        ({"destinationPort": None}, [" one-of"]),
        ({"destinationPort": {}}, [".destinationPort one-of"]),
        ({"destinationPort": {"number": None}}, [".destinationPort one-of"]),
        ({"destinationPort": {"number": 1, "range": {"start": 1, "end": 2}}}, [".destinationPort one-of"]),
        ({"destinationPort": {"number": 0}}, [".destinationPort.number out-of-range"]),
        ({"destinationPort": {"number": 65536}}, [".destinationPort.number out-of-range"]),
        ({"destinationPort": {"number": "http"}}, [".destinationPort.number bad-type"]),
        ({"destinationPort": {"number": 80.5}}, [".destinationPort.number bad-type"]),
        ({"destinationPort": 80}, [".destinationPort bad-type"]),
        ({"destinationPort": {"range": {"start": 2, "end": 2}}}, [".destinationPort.range.start port-range"]),
        ({"destinationPort": {"range": {"start": 1, "end": 1}}}, [".destinationPort.range.start port-range"]),
        ({"destinationPort": {"range": {"start": 65535, "end": 65535}}}, [".destinationPort.range.start port-range"]),
        ({"destinationPort": {"range": {"start": 3, "end": 2}}}, [".destinationPort.range.start port-range"]),
        ({"destinationPort": {"range": {"start": 2, "end": 0}}}, [".destinationPort.range.end out-of-range"]),
        ({"destinationPort": {"range": {"start": 65536, "end": 2}}}, [".destinationPort.range.start out-of-range"]),
        ({"destinationPort": {"range": {"start": 1.0, "end": 2}}}, [".destinationPort.range.start bad-type"]),
        ({"destinationPort": {"range": {"start": 1, "end": 2.0}}}, [".destinationPort.range.end bad-type"]),
        ({"destinationPort": {"range": {"start": 1}}}, [".destinationPort.range.end required"]),
        ({"destinationPort": {"range": {"end": 1}}}, [".destinationPort.range.start required"]),
        ({"destinationPort": {"range": [1, 2]}}, [".destinationPort.range bad-type"]),
        ({"sourcePort": {"number": 1}}, [".sourcePort! unknown-field"]),
        ("any", [" bad-type"]),
    ],
)
def test_protocols(name: str, value: Any, expected: list[str]) -> None:
    assert faults(ports(CLUSTER_POLICY, {name: value})) == [f"{PROTOCOL}.{name}{fault}" for fault in expected]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"destinationNamedPort": "http"}, []),
        ({"destinationNamedPort": "No Port's Name"}, []),  # any text
        ({"destinationNamedPort": 80}, [".destinationNamedPort bad-type"]),
        ({}, [" one-of"]),
        ({"icmp": {}}, [".icmp! unknown-field"]),
        (CLUSTER_PORT | {"udp": CLUSTER_PORT["tcp"]}, [" one-of"]),
        (CLUSTER_PORT | {"destinationNamedPort": "http"}, [" one-of"]),
        ("tcp", [" bad-type"]),
    ],
)
def test_protocol_entries(value: Any, expected: list[str]) -> None:
    assert faults(ports(CLUSTER_POLICY, value)) == [PROTOCOL + fault for fault in expected]


@pytest.mark.parametrize("base", BOTH, ids=kind)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"portNumber": {"protocol": "TCP", "port": 1}}, []),
        ({"portNumber": {"port": 65535}}, []),  # TCP is the default
        ({"portNumber": {"port": 80.0, "protocol": None}}, []),
        ({"portNumber": {"port": 80, "protocol": "no protocol"}}, []),  # any text
        ({"portRange": {"start": 1, "end": 65535}}, []),
        ({"portRange": {"start": 9, "end": 1.0, "protocol": ""}}, []),  # nobody compares the ends
        ({"namedPort": "No Port's Name"}, []),
        ({}, [" one-of"]),
        ({"namedPort": None}, [" one-of"]),
        ({"namedPort": "http", "portNumber": {"port": 80}}, [" one-of"]),
        ({"portNumber": {"protocol": "TCP"}}, [".portNumber.port required"]),
        ({"portNumber": {"port": 0}}, [".portNumber.port out-of-range"]),
        ({"portNumber": {"port": 65536}}, [".portNumber.port out-of-range"]),
        ({"portNumber": {"port": "80"}}, [".portNumber.port bad-type"]),
        ({"portNumber": {"port": 80, "protocol": 6}}, [".portNumber.protocol bad-type"]),
        ({"portNumber": {"port": 80, "endPort": 90}}, [".portNumber.endPort! unknown-field"]),
        ({"portNumber": 80}, [".portNumber bad-type"]),
        ({"portRange": {"start": 1}}, [".portRange.end required"]),
        ({"portRange": {"end": 1}}, [".portRange.start required"]),
        ({"portRange": {"start": 0, "end": 65536}}, [".portRange.end out-of-range", ".portRange.start out-of-range"]),
        ({"portRange": "1-2"}, [".portRange bad-type"]),
        ({"namedPort": 80}, [".namedPort bad-type"]),
        ({"port": 80}, [".port! unknown-field"]),
        (80, [" bad-type"]),
    ],
)
def test_admin_ports(base: Value, value: Any, expected: list[str]) -> None:
    assert faults(ports(base, value)) == [f"spec.egress[0].ports[0]{fault}" for fault in expected]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
def test_the_other_versions_ports(base: Value) -> None:
    other = "ports" if base is CLUSTER_POLICY else "protocols"
    assert faults(rule(base, **{other: []})) == [f"spec.egress[0].{other}! unknown-field"]


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
