"""Ports and protocols of the cluster-wide kinds: what each version takes and refuses, at every bound."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.compiler.resources.cluster_rules import BOTH, CLUSTER_PORT, PORTS, ports, rule
from tests.compiler.resources.examples import (
    ADMIN_POLICY,
    CLUSTER_POLICY,
    CUSTOM,
    Value,
    faults,
    kind,
    taken,
)


@pytest.mark.parametrize(
    ("base", "peer"),
    [
        *product(CUSTOM, ({"networks": ["::/0"]}, {"nodes": {}})),
        *product((CLUSTER_POLICY, ADMIN_POLICY), ({"domainNames": ["example.org"]},)),
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
