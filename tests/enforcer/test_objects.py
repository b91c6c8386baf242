"""What an API server sends means what the same text means in a manifest; what can't be read is told about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from compiler.pipeline import Compiler
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.resources.networkpolicy import NetworkPolicySpec
from compiler.snapshot import build
from compiler.sources.manifests import Located, load
from enforcer.api import sharing
from enforcer.api.objects import Read, Reader, same
from enforcer.api.wire import (
    KINDS,
    NODES,
    PODS,
    POLICIES,
    Decoder,
    Ended,
    Kind,
    Malformed,
    complaint,
    group_versions,
    resources_of,
)
from tests.enforcer.things import Object, cluster_policy, namespace, network_policy, node, pod
from tests.property.scenarios import Scenario, scenarios
from tests.property.test_oracle_is_the_compiler import examples


def sent(value: Object, version: int = 7) -> Object:
    """An object as a server sends it: with much that nobody here asks for."""
    metadata = {
        "uid": "0d1",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "annotations": {"example.org/note": "x"},
        "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:metadata": {}}}],
    }
    return {key: part for key, part in value.items() if key not in ("kind", "apiVersion")} | {
        "metadata": metadata | value["metadata"]
    }


def page(kind: Kind, *values: Object) -> bytes:
    head = {"kind": f"{kind.name}List", "apiVersion": kind.version, "metadata": {"resourceVersion": "9"}}
    return json.dumps(head | {"items": [sent(value) for value in values]}).encode()


def event(kind: str, value: Object) -> bytes:
    return json.dumps({"type": kind, "object": value}).encode()


def read(kind: Kind, value: Object) -> Read:
    (found,) = Decoder(kind).page(page(kind, value)).objects
    return Reader(kind).read(found)


@examples(150)
@given(scenario=scenarios)
def test_means_what_a_manifest_means(scenario: Scenario) -> None:
    """Every kind of object, and the policies down to what of them is shown."""
    expected = load([("scenario.json", scenario.text)])
    values: dict[str, list[Any]] = {}
    for kind in KINDS:
        decoder, reader = Decoder(kind), Reader(kind)
        objects = [item for item in scenario.objects if item["kind"] == kind.name]
        listed = decoder.page(page(kind, *objects)).objects
        happened = [decoder.event(event("ADDED", sent(item))).object for item in objects]
        assert listed == happened
        found = [reader.read(item) for item in listed]
        assert [one.problems for one in found] == [()] * len(objects)
        values[kind.name] = [one.value for one in found]
    assert tuple(values["Pod"]) == expected.pods
    assert tuple(values["Namespace"]) == expected.namespaces
    assert tuple(values["Node"]) == expected.nodes
    policies = [one for kind in POLICIES for one in values[kind.name]]
    plain = {(one.value.kind, one.value.metadata.namespace, one.value.metadata.name): one for one in expected.policies}
    assert len(plain) == len(policies)
    for one in policies:
        assert isinstance(one, Located)
        there = plain[one.value.kind, one.value.metadata.namespace, one.value.metadata.name]
        assert (one.value.spec, one.value.api_version) == (there.value.spec, there.value.api_version)


def test_places_are_objects() -> None:
    """Messages, comments and explanations name the object where a file would have a line."""
    found = read(POLICIES[0], network_policy("shop/web", ingress=[{"from": [{"podSelector": {}}]}])).value
    assert isinstance(found, Located)
    assert str(found.at("spec", "ingress", 0, "from")) == "networkpolicy shop/web"
    assert found.span.file_line == "networkpolicy shop/web"
    compiler = Compiler([found], build())
    assert [str(policy.origin.span) for policy in compiler.policies] == ["networkpolicy shop/web"]


def test_equal_parts_are_one() -> None:
    decoder, reader = Decoder(PODS), Reader(PODS)
    data = page(PODS, pod("shop/a", "10.0.0.1", app="web", tier="x"), pod("shop/b", "10.0.0.2", tier="x", app="web"))
    one, other = (reader.read(found).value for found in decoder.page(data).objects)
    assert isinstance(one, Pod)
    assert isinstance(other, Pod)
    assert one.labels is other.labels
    assert one.ports is other.ports
    assert (one.namespace is other.namespace, one.node is other.node, one.phase is other.phase) == (True, True, True)


def test_equal_parts_of_policies_are_one() -> None:
    decoder, reader = Decoder(POLICIES[0]), Reader(POLICIES[0])
    web, api = ({"podSelector": {"matchLabels": {"app": name}}} for name in ("web", "api"))
    ports = [{"port": 80}, {"port": "http"}]
    data = page(
        POLICIES[0],
        network_policy("shop/a", {"matchLabels": {"app": "web"}}, ingress=[{"from": [web, api], "ports": ports}]),
        network_policy(
            "shop/b", {"matchLabels": {"app": "api"}}, ingress=[{"from": [api], "ports": ports}, {"from": [web]}]
        ),
    )
    one, other = (reader.read(found).value for found in decoder.page(data).objects)
    assert isinstance(one, Located)
    assert isinstance(other, Located)
    first, second = one.value.spec, other.value.spec
    assert isinstance(first, NetworkPolicySpec)
    assert isinstance(second, NetworkPolicySpec)
    assert first.ingress
    assert second.ingress
    assert first.ingress[0].ports is second.ingress[0].ports
    assert first.ingress[0].from_
    assert second.ingress[0].from_
    assert first.ingress[0].from_[1] is second.ingress[0].from_[0]
    assert first.pod_selector is first.ingress[0].from_[0].pod_selector
    assert first.model_dump(exclude_none=True)["pod_selector"] == {"match_labels": {"app": "web"}}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "REMEMBERED", 10)
    shared = sharing.Sharing()
    for n in range(100):
        assert shared.labels({"app": f"{n % 25}"}) == {"app": f"{n % 25}"}
    reader, decoder = Reader(POLICIES[0]), Decoder(POLICIES[0])
    for n in range(100):
        value = network_policy("shop/a", {"matchLabels": {"app": f"{n % 25}"}}, ingress=[{"ports": [{"port": n + 1}]}])
        (found,) = decoder.page(page(POLICIES[0], value)).objects
        policy = reader.read(found).value
        assert isinstance(policy, Located)
        assert policy.value.spec.model_dump(mode="json", by_alias=True, exclude_none=True) == value["spec"]


def test_only_our_annotations_are_seen() -> None:
    noted = {"annotations": {"netpolc.io/stage": "audit", "example.org/note": "1"}}
    value = network_policy("shop/web")
    found = read(POLICIES[0], value | {"metadata": value["metadata"] | noted}).value
    assert isinstance(found, Located)
    assert found.value.metadata.annotations == {"netpolc.io/stage": "audit"}
    assert same(
        found,
        read(
            POLICIES[0], value | {"metadata": value["metadata"] | {"annotations": {"netpolc.io/stage": "audit"}}}
        ).value,
    )
    assert not same(found, read(POLICIES[0], value).value)
    space = read(KINDS[4], {"metadata": {"name": "shop", "labels": {"a": "b"}} | noted}).value
    assert space == Namespace("shop", {"a": "b"}, {"netpolc.io/stage": "audit"})


WEB = pod("shop/web", "10.0.0.1", app="web")
BAD_PORT = {"containers": [{"ports": [{"containerPort": 0}]}]}


@pytest.mark.parametrize(
    ("kind", "wrong", "problem"),
    [
        (PODS, {"status": {"podIPs": [{"ip": "10.0.0.300"}]}}, 'status.podIPs[0].ip: Invalid value: "10.0.0.300"'),
        (PODS, {"status": {"podIPs": "10.0.0.3"}}, 'status.podIPs: Invalid value: "10.0.0.3": must be a list'),
        (PODS, {"status": {"phase": "Sleeping"}}, "status.phase"),
        (PODS, {"spec": {"hostNetwork": "yes"}}, 'spec.hostNetwork: Invalid value: "yes"'),
        (PODS, {"spec": BAD_PORT}, "spec.containers[0].ports[0].containerPort: Invalid value: 0"),
        (PODS, {"spec": [1]}, "spec: Invalid value: a list of 1: must be an object"),
        (PODS, {"metadata": WEB["metadata"] | {"labels": {"app": 5}}}, "metadata.labels.app: Invalid value: 5"),
        (NODES, {"spec": {"podCIDRs": 5}}, "spec.podCIDRs: Invalid value: 5"),
        (KINDS[4], {"metadata": {"name": "shop", "labels": ["a"]}}, "metadata.labels: Invalid value: a list of 1"),
    ],
)
def test_what_can_not_be_read(kind: Kind, wrong: Object, problem: str) -> None:
    """Beside others that can."""
    good = {PODS: pod("shop/good", "10.0.0.2"), NODES: node("good", "192.0.2.2")}.get(kind, namespace("good"))
    value = {PODS: WEB, NODES: node("n1", "192.0.2.1")}.get(kind, namespace("shop")) | wrong
    decoder, reader = Decoder(kind), Reader(kind)
    bad, fine = (reader.read(found) for found in decoder.page(page(kind, value, good)).objects)
    assert bad.value is None
    (said,) = bad.problems
    assert said.about == {PODS: "pod shop/web", NODES: "node n1"}.get(kind, "namespace shop")
    assert said.text.startswith(problem)
    assert fine.value is not None
    assert fine.problems == ()


def test_null_is_absent() -> None:
    nothing: Object = {
        "metadata": {"namespace": "shop", "name": "web", "labels": None},
        "spec": None,
        "status": {"podIPs": None},
    }
    assert read(PODS, nothing) == Read(Pod("shop", "web", phase="Pending"))
    assert read(NODES, {"metadata": {"name": "n", "labels": None}, "status": None}).value == Node("n")


def test_a_policy_of_tomorrow_is_closed() -> None:
    """The field of a newer server: what is said beside it is not enough."""
    value = network_policy("shop/web", ingress=[{"from": [{"podSelector": {}}]}, {"from": [{"serviceSelector": {}}]}])
    found = read(POLICIES[0], value)
    assert isinstance(found.value, Located)
    assert isinstance(found.value.value.spec, NetworkPolicySpec)
    assert len(found.value.value.spec.ingress or ()) == 1
    assert [problem.about for problem in found.problems] == ["networkpolicy shop/web"] * 2
    assert found.problems[0].text.startswith('unknown field "spec.ingress[1].from[0].serviceSelector"')
    assert "closed" in found.problems[1].text


def test_a_policy_of_yesterday_is_read() -> None:
    """Host bits, which servers took before; and a status, which they had once."""
    block = [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]
    found = read(POLICIES[0], network_policy("shop/web", ingress=block) | {"status": {"conditions": []}})
    assert isinstance(found.value, Located)
    assert found.value.value.spec.model_dump(by_alias=True)["ingress"][0]["from"][0]["ipBlock"]["cidr"] == "10.0.0.0/8"
    assert ["10.0.0.1/8" in problem.text for problem in found.problems] == [True]


# Lists and events

ITEM = sent(WEB)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"items":[]}',
        b'{"metadata":{},"items":[]}',
        b'{"metadata":{"resourceVersion":"x"},"items":[]}',
        b'{"metadata":{"resourceVersion":"-1"},"items":[]}',
        b'{"metadata":{"resourceVersion":"1"},"items":[3]}',
        b'{"metadata":{"resourceVersion":"1"},"items":[null]}',
        b'{"metadata":{"resourceVersion":"1"},"items":{}}',
        b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"\xff"}}]}',
        b'{"metadata":{"resourceVersion":"1"},"items":[' + b"[" * 5000,
        b'{"metadata":{"resourceVersion":"1"},"items":[{"spec":' + b'{"a":' * 5000,
    ],
)
def test_what_is_no_list(data: bytes) -> None:
    with pytest.raises(Malformed):
        Decoder(PODS).page(data)


@pytest.mark.parametrize(
    "metadata",
    [
        *(None, [], {}, {"name": 5}, {"name": ""}, {"name": "a", "namespace": 3}),
        *({"name": "a"}, {"name": "a", "resourceVersion": 5}),
    ],
)
def test_what_is_no_object(metadata: object) -> None:
    with pytest.raises(Malformed):
        Decoder(PODS).identity({"metadata": metadata})


def test_pages() -> None:
    whole = json.dumps({"metadata": {"resourceVersion": "12", "continue": "more"}, "items": [ITEM]}).encode()
    found = Decoder(PODS).page(whole)
    assert (found.version, found.more, len(found.objects)) == (12, "more", 1)
    assert Decoder(PODS).identity(found.objects[0]) == (("shop", "web"), 7)
    assert Decoder(PODS).page(b'{"metadata":{"resourceVersion":"12"},"items":null}') == ([], 12, "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":5}',
        b'{"type":"ADDED","object":{"metadata":}}',
        b'{"type":"ADDED","object":{"metadata":{}}} {}',
        event("RENAMED", ITEM),
        event("ADDED", ITEM)[:-20],
        b'{"type":"ERROR","object":[]}',
    ],
)
def test_what_is_no_event(data: bytes) -> None:
    with pytest.raises(Malformed):
        Decoder(PODS).event(data)


def test_a_watch_that_is_ended_by_the_server() -> None:
    with pytest.raises(Ended, match=r"too old \(status 410\)") as ended:
        Decoder(PODS).event(event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}))
    assert ended.value.code == 410
    with pytest.raises(Ended, match="no reason given"):
        Decoder(PODS).event(event("ERROR", {}))


def test_what_a_server_says() -> None:
    assert complaint(b'{"kind":"Status","message":"no","reason":"Forbidden","code":403}') == "no"
    assert complaint(b'{"kind":"Status","reason":"Forbidden"}') == "Forbidden"
    assert complaint(b"<html>\xff busy") == "<html>\ufffd busy"
    assert group_versions(b'{"versions":[{"groupVersion":"g/v1","version":"v1"}]}') == ["g/v1"]
    assert resources_of(b'{"resources":[{"name":"pods"},{"name":"pods/status"}]}') == {"pods", "pods/status"}
    with pytest.raises(Malformed):
        group_versions(b"[]")


def test_paths() -> None:
    assert [kind.path for kind in KINDS[:2]] == [
        "/apis/networking.k8s.io/v1/networkpolicies",
        "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",
    ]
    assert PODS.path == "/api/v1/pods"
    assert POLICIES[1].place(("", "ops")) == f"clusternetworkpolicy {cluster_policy('ops')['metadata']['name']}"
