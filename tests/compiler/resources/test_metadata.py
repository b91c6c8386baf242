"""ObjectMeta: what every object may and must say of itself, in the API's own kinds and in custom resources."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compiler.resources.examples import (
    ALL,
    BASELINE_POLICY,
    CLUSTER_POLICY,
    CUSTOM,
    NETWORK_POLICY,
    Value,
    faults,
    kind,
    put,
    taken,
    without,
)

OWNER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "5b1f"}
MIB_QUARTER = 256 * 1024


@pytest.mark.parametrize("base", ALL, ids=kind)
@pytest.mark.parametrize("metadata", [None, {}, {"name": ""}, {"name": None}, {"generateName": ""}, {"labels": {}}])
def test_a_name_is_required(base: Value, metadata: Any) -> None:
    assert faults(put(base, "metadata", metadata)) == ["metadata.name required"]


@pytest.mark.parametrize("base", ALL, ids=kind)
def test_metadata_is_required(base: Value) -> None:
    assert faults(without(base, "metadata")) == ["metadata required"]


@pytest.mark.parametrize("base", [NETWORK_POLICY, CLUSTER_POLICY], ids=kind)
@pytest.mark.parametrize("name", ["a", "web.example-1", "n" * 253])
def test_names(base: Value, name: str) -> None:
    assert taken(put(base, "metadata.name", name)).metadata.name == name


@pytest.mark.parametrize("base", [NETWORK_POLICY, CLUSTER_POLICY], ids=kind)
@pytest.mark.parametrize("name", ["Web", "web_1", "-web", "web.", "n" * 254, "we b"])
def test_no_names(base: Value, name: str) -> None:
    assert faults(put(base, "metadata.name", name)) == ["metadata.name bad-name"]


@pytest.mark.parametrize("base", [NETWORK_POLICY, CLUSTER_POLICY], ids=kind)
@pytest.mark.parametrize("prefix", ["web-", "web", "web--", "w-", "n" * 253, "n" * 253 + "-", "n" * 58 + ".-"])
def test_generate_name(base: Value, prefix: str) -> None:
    """The server appends five characters; until then the object has no name."""
    assert taken(put(without(base, "metadata.name"), "metadata.generateName", prefix)).metadata.name == ""


@pytest.mark.parametrize("prefix", ["--", "web.-", "n" * 56 + ".-"])
def test_a_generated_name_is_a_name(prefix: str) -> None:
    """A prefix that passes by itself may still make no name, which matters when the object has none."""
    taken(put(NETWORK_POLICY, "metadata.generateName", prefix))
    nameless = put(without(CLUSTER_POLICY, "metadata.name"), "metadata.generateName", prefix)
    assert faults(nameless) == ["metadata.generateName bad-name"]


@pytest.mark.parametrize("prefix", ["Web-", "-web", "-", "web.", "n" * 254, "n" * 254 + "-", "-w-"])
def test_no_generate_name(prefix: str) -> None:
    assert faults(put(NETWORK_POLICY, "metadata.generateName", prefix)) == ["metadata.generateName bad-name"]


def test_namespace() -> None:
    for absent in (None, ""):
        assert not taken(put(NETWORK_POLICY, "metadata.namespace", absent)).metadata.namespace
    assert taken(put(NETWORK_POLICY, "metadata.namespace", "n" * 63)).metadata.namespace == "n" * 63
    for wrong in ("a.b", "Shop", "n" * 64, "-"):
        assert faults(put(NETWORK_POLICY, "metadata.namespace", wrong)) == ["metadata.namespace bad-namespace"]


@pytest.mark.parametrize("base", CUSTOM, ids=kind)
def test_a_cluster_wide_kind_has_no_namespace(base: Value) -> None:
    """The server clears it without looking."""
    taken(put(base, "metadata.namespace", "Not a Name"))
    assert faults(put(base, "metadata.namespace", 1)) == ["metadata.namespace bad-type"]


@pytest.mark.parametrize("base", [NETWORK_POLICY, CLUSTER_POLICY], ids=kind)
@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        # labels are labels
        ("labels", {"app.kubernetes.io/name": "web", "x": ""}, []),
        ("labels", {"app": None}, []),  # null is the empty string
        ("labels", {"-app": "web"}, ["metadata.labels[-app]! bad-label-key"]),
        ("labels", {"app": "-web"}, ["metadata.labels.app bad-label-value"]),
        ("labels", {"app": 1}, ["metadata.labels.app bad-type"]),
        ("labels", {"app": True}, ["metadata.labels.app bad-type"]),
        ("labels", ["app"], ["metadata.labels bad-type"]),
        # annotations: keys like labels' in any case, values of any text
        ("annotations", {"Example.ORG/Note": "any text: ü\n"}, []),
        ("annotations", {"note": None}, []),
        ("annotations", {"a/b/c": ""}, ["metadata.annotations[a/b/c]! bad-annotation-key"]),
        ("annotations", {"note": []}, ["metadata.annotations.note bad-type"]),
        ("annotations", "note", ["metadata.annotations bad-type"]),
        ("annotations", {"n": "x" * (MIB_QUARTER - 1)}, []),
        ("annotations", {"n": "x" * MIB_QUARTER}, ["metadata.annotations too-long"]),
        ("annotations", {"n": "ü" * (MIB_QUARTER // 2)}, ["metadata.annotations too-long"]),  # bytes count
        ("annotations", {"n": "x" * (MIB_QUARTER - 2), "m": ""}, []),
        ("annotations", {"n": "x" * (MIB_QUARTER - 1), "m": ""}, ["metadata.annotations too-long"]),
        # finalizers
        ("finalizers", ["example.org/clean", "orphan"], []),
        ("finalizers", ["foregroundDeletion", "kubernetes"], []),
        ("finalizers", ["example.org/clean", "example.org/clean"], []),
        ("finalizers", ["orphan", "foregroundDeletion"], ["metadata.finalizers bad-finalizer"]),
        ("finalizers", ["Example.org/clean"], ["metadata.finalizers[0] bad-finalizer"]),
        ("finalizers", ["orphan", ""], ["metadata.finalizers[1] bad-finalizer"]),
        ("finalizers", [None], ["metadata.finalizers[0] bad-finalizer"]),
        ("finalizers", [1], ["metadata.finalizers[0] bad-type"]),
        ("finalizers", {}, ["metadata.finalizers bad-type"]),
        # owners
        ("ownerReferences", [OWNER], []),
        ("ownerReferences", [OWNER, OWNER], []),
        ("ownerReferences", [OWNER | {"apiVersion": "v1"}], []),
        ("ownerReferences", [OWNER | {"controller": True, "blockOwnerDeletion": False}, OWNER], []),
        ("ownerReferences", [OWNER | {"controller": None}], []),
        ("ownerReferences", [OWNER | {"controller": True}] * 2, []),  # one owner, told twice
        ("ownerReferences", [OWNER | {"apiVersion": ""}], ["metadata.ownerReferences[0].apiVersion bad-owner"]),
        ("ownerReferences", [OWNER | {"apiVersion": "apps/"}], ["metadata.ownerReferences[0].apiVersion bad-owner"]),
        ("ownerReferences", [OWNER | {"apiVersion": "a/b/c"}], ["metadata.ownerReferences[0].apiVersion bad-owner"]),
        ("ownerReferences", [OWNER | {"kind": ""}], ["metadata.ownerReferences[0].kind required"]),
        ("ownerReferences", [OWNER | {"name": None}], ["metadata.ownerReferences[0].name required"]),
        ("ownerReferences", [OWNER | {"uid": ""}], ["metadata.ownerReferences[0].uid required"]),
        ("ownerReferences", [OWNER | {"controller": "yes"}], ["metadata.ownerReferences[0].controller bad-type"]),
        ("ownerReferences", [OWNER | {"uid": 7}], ["metadata.ownerReferences[0].uid bad-type"]),
        ("ownerReferences", [OWNER | {"group": "apps"}], ["metadata.ownerReferences[0].group! unknown-field"]),
        ("ownerReferences", [OWNER | {"apiVersion": "v1", "kind": "Event"}], ["metadata.ownerReferences[0] bad-owner"]),
        (
            "ownerReferences",
            [OWNER | {"controller": True}, OWNER | {"controller": True, "uid": "77aa"}],
            ["metadata.ownerReferences[1].controller bad-owner"],
        ),
        (
            "ownerReferences",
            [None],
            [
                "metadata.ownerReferences[0].apiVersion bad-owner",
                "metadata.ownerReferences[0].kind required",
                "metadata.ownerReferences[0].name required",
                "metadata.ownerReferences[0].uid required",
            ],
        ),
        # what the server sets itself: types and forms count, values do not
        ("uid", "anything", []),
        ("uid", 1, ["metadata.uid bad-type"]),
        ("resourceVersion", "12", []),
        ("resourceVersion", 12, ["metadata.resourceVersion bad-type"]),
        ("selfLink", "/apis", []),
        ("generation", -1, []),
        ("generation", 2**63 - 1, []),
        ("generation", 2**63, ["metadata.generation out-of-range"]),
        ("generation", -(2**63) - 1, ["metadata.generation out-of-range"]),
        ("generation", "1", ["metadata.generation bad-type"]),
        ("generation", 1.5, ["metadata.generation bad-type"]),
        ("generation", True, ["metadata.generation bad-type"]),
        ("deletionGracePeriodSeconds", 30, []),
        ("deletionGracePeriodSeconds", "30", ["metadata.deletionGracePeriodSeconds bad-type"]),
        ("creationTimestamp", None, []),
        ("deletionTimestamp", "2024-05-01T12:00:00Z", []),
        ("deletionTimestamp", "soon", ["metadata.deletionTimestamp bad-time"]),
        # managedFields: made anew by the server
        ("managedFields", [{"manager": "m", "operation": "?", "fieldsType": "?", "fieldsV1": {"f:spec": {}}}], []),
        ("managedFields", [{"time": "2024-05-01T12:00:00Z", "subresource": "status", "apiVersion": "v9"}, None], []),
        ("managedFields", [{"manager": 1}], ["metadata.managedFields[0].manager bad-type"]),
        ("managedFields", [{"time": "noon"}], ["metadata.managedFields[0].time bad-time"]),
        ("managedFields", [{"fields": {}}], ["metadata.managedFields[0].fields! unknown-field"]),
        ("managedFields", {}, ["metadata.managedFields bad-type"]),
        # unknown and misspelt
        ("annotation", {}, ["metadata.annotation! unknown-field"]),
        ("Labels", {}, ["metadata.Labels! unknown-field"]),
        ("clusterName", None, ["metadata.clusterName! unknown-field"]),  # gone since Kubernetes 1.24
    ],
)
def test_fields(base: Value, field: str, value: Any, expected: list[str]) -> None:
    assert faults(put(base, f"metadata.{field}", value)) == sorted(expected)


@pytest.mark.parametrize("metadata", ["name", 1, 1.5, True, [], [{}]])
@pytest.mark.parametrize("base", ALL, ids=kind)
def test_metadata_is_an_object(base: Value, metadata: Any) -> None:
    assert faults(put(base, "metadata", metadata)) == ["metadata bad-type"]


def test_finalizers_of_custom_resources() -> None:
    """ "Finalizers must be fully qualified" holds for the API's own kinds alone."""
    assert faults(put(NETWORK_POLICY, "metadata.finalizers", ["clean"])) == ["metadata.finalizers[0] bad-finalizer"]
    taken(put(CLUSTER_POLICY, "metadata.finalizers", ["clean"]))


@pytest.mark.parametrize("field", ["generation", "deletionGracePeriodSeconds"])
def test_whole_numbers_of_custom_resources(field: str) -> None:
    """JSON numbers without a fraction are integers in a custom resource; a Go integer takes no point."""
    assert faults(put(NETWORK_POLICY, f"metadata.{field}", 30.0)) == [f"metadata.{field} bad-type"]
    for whole in (30.0, -0.0, -1.0, 2.0**62):
        taken(put(CLUSTER_POLICY, f"metadata.{field}", whole))
    assert faults(put(CLUSTER_POLICY, f"metadata.{field}", 1e22)) == [f"metadata.{field} out-of-range"]
    for never in (float("inf"), float("nan")):
        assert faults(put(CLUSTER_POLICY, f"metadata.{field}", never)) == [f"metadata.{field} bad-type"]


@pytest.mark.parametrize(
    "time",
    [
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00.123456789123Z",
        "2024-05-01T12:00:00,5Z",
        "2024-05-01T2:00:00Z",
        "2024-05-01T12:00:00+02:00",
        "2024-05-01T12:00:00-24:60",
        "2024-02-29T23:59:59Z",
        "2000-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
def test_times(time: str) -> None:
    taken(put(NETWORK_POLICY, "metadata.creationTimestamp", time))


@pytest.mark.parametrize(
    "time",
    [
        "",
        "2024-05-01",
        "2024-05-01 12:00:00Z",
        "2024-05-01T12:00Z",
        "2024-05-01T12:00:00",
        "2024-05-01t12:00:00z",
        "2024-5-01T12:00:00Z",
        "2024-05-01T12:0:00Z",
        "24-05-01T12:00:00Z",
        "10000-01-01T00:00:00Z",
        "2024-00-01T12:00:00Z",
        "2024-13-01T12:00:00Z",
        "2024-05-00T12:00:00Z",
        "2024-06-31T12:00:00Z",
        "2023-02-29T12:00:00Z",
        "1900-02-29T12:00:00Z",
        "2024-05-01T24:00:00Z",
        "2024-05-01T12:60:00Z",
        "2024-05-01T12:00:60Z",
        "2024-05-01T12:00:00.Z",
        "2024-05-01T12:00:00+0200",
        "2024-05-01T12:00:00+25:00",
        "2024-05-01T12:00:00+00:61",
        "2024-05-01T12:00:00Z ",
        "２024-05-01T12:00:00Z",
    ],
)
def test_no_times(time: str) -> None:
    assert faults(put(NETWORK_POLICY, "metadata.creationTimestamp", time)) == ["metadata.creationTimestamp bad-time"]


@pytest.mark.parametrize("metadata", [{"name": "other"}, {"generateName": "default"}])
def test_the_baseline_is_named_default(metadata: Value) -> None:
    """ "Only one baseline admin network policy with metadata.name="default" can be created in the cluster" """
    assert faults(put(BASELINE_POLICY, "metadata", metadata)) == ["metadata.name baseline-name"]
    assert faults(put(BASELINE_POLICY, "metadata.name", "Default")) == ["metadata.name bad-name"]
    taken(put(BASELINE_POLICY, "metadata", {"name": "default", "generateName": "x"}))
