"""The view of a cluster: order, namespaces that exist without an object, who holds which address."""

from __future__ import annotations

from itertools import permutations

from compiler.resources.cluster import Namespace, Node, Pod
from compiler.snapshot import NAME_LABEL, build
from tests.compiler.models import labels, namespace, pod


def test_every_namespace_carries_its_name() -> None:
    """KEP-2161: the API server sets kubernetes.io/metadata.name on each namespace, whatever the object says."""
    wrong = Namespace("shop", {NAME_LABEL: "other", "env": "x"})
    snapshot = build([pod("a", "", namespace="web")], [wrong], referred=["dev"])
    assert {name: ns.labels for name, ns in snapshot.namespaces.items()} == {
        "dev": {NAME_LABEL: "dev"},
        "shop": {NAME_LABEL: "shop", "env": "x"},
        "web": {NAME_LABEL: "web"},
    }


def test_a_namespace_that_is_declared_keeps_its_labels_when_referred_to() -> None:
    snapshot = build([pod("a", "")], [namespace("shop", "env=prod")], referred=["shop"])
    assert snapshot.namespaces["shop"].labels["env"] == "prod"


def test_order_does_not_depend_on_the_input_s() -> None:
    found = [pod("b", "", namespace="x"), pod("a", "", namespace="y"), pod("a", "", namespace="x")]
    found.append(Pod("x", "a", template_of="Deployment"))
    spaces = [namespace(name) for name in ("z", "x", "y")]
    results = [build(order, spaces) for order in permutations(found)]
    assert all(result == results[0] for result in results)
    assert [(p.namespace, p.name, p.template_of) for p in results[0].pods] == [
        ("x", "a", ""),
        ("x", "a", "Deployment"),
        ("x", "b", ""),
        ("y", "a", ""),
    ]
    assert all(list(build(found, order).namespaces) == ["x", "y", "z"] for order in permutations(spaces))


def test_nodes_are_those_declared_and_those_that_pods_are_on() -> None:
    found = [pod("a", "", node="n3"), pod("b", "", node=""), pod("c", "", node="n1")]
    snapshot = build(found, nodes=[Node("n2"), Node("n1")])
    assert snapshot.node_names() == ("n1", "n2", "n3")
    assert list(snapshot.nodes) == ["n1", "n2"]


def test_an_address_is_contested_by_living_pods_with_a_network_of_their_own() -> None:
    mine = pod("mine", "", "10.0.0.1", "fd00::1")
    found = [
        mine,
        Pod("shop", "host", labels(""), ("10.0.0.1",), "n1", host_network=True),
        Pod("shop", "done", labels(""), ("10.0.0.1",), "n1", phase="Succeeded"),
        Pod("shop", "dead", labels(""), ("10.0.0.1",), "n1", phase="Failed"),
        pod("waiting", ""),
    ]
    assert build(found).contested() == {}
    other = pod("other", "", "10.0.0.1")
    assert build([*found, other]).contested() == {"10.0.0.1": (mine, other)}


def test_an_address_that_a_pod_has_twice_is_its_own() -> None:
    assert build([pod("one", "", "10.0.0.1", "10.0.0.1")]).contested() == {}


def test_pods_in_other_phases_hold_their_addresses() -> None:
    for phase in ("Pending", "Running", "Unknown"):
        assert Pod("shop", "a", ips=("10.0.0.1",), phase=phase).holds_addresses
