"""Pods by workload, and their names."""

from __future__ import annotations

import pytest

from compiler.analysis.workloads import stem, workloads
from compiler.resources.cluster import ContainerPort, Pod


def pod(name: str, namespace: str = "a", template_of: str = "", port: int = 0, **labels: str) -> Pod:
    ports = (ContainerPort(port),) if port else ()
    named = {key.replace("__", "/").replace("_", "-"): value for key, value in labels.items()}
    return Pod(namespace, name, named, ports=ports, template_of=template_of)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("frontend-6d8f7c9b5-4kqzx", "frontend"),
        ("node-exporter-5hr8j", "node-exporter"),
        ("database-0", "database"),
        ("kafka-east-12", "kafka-east"),
        ("backup-28391230-x2x9p", "backup"),
        ("standalone", "standalone"),
        ("api-proxy", "api-proxy"),
        ("4kqzx", "4kqzx"),
    ],
)
def test_what_controllers_append_is_taken_off(name: str, owner: str) -> None:
    assert stem(pod(name)) == owner


def test_the_hash_of_the_template_is_known_from_its_label() -> None:
    assert stem(pod("web-green-abc-1", pod_template_hash="green-abc")) == "web"


def test_revisions_and_ordinals_make_no_workload_of_their_own() -> None:
    pods = [
        pod("web-68d-bcdfg", app="web", pod_template_hash="68d"),
        pod("web-79f-bcdfg", app="web", pod_template_hash="79f"),
    ]
    own = "statefulset.kubernetes.io__pod_name"
    pods += [pod(f"db-{n}", "a", "", 0, **{"app": "db", own: f"db-{n}"}) for n in range(2)]
    assert [(one.title, len(one.pods)) for one in workloads(pods)] == [("a/db", 2), ("a/web", 2)]


def test_labels_ports_and_namespaces_do() -> None:
    pods = [pod("x-0", app="x"), pod("x-1", app="x", port=80), pod("x-2", app="x", tier="y"), pod("x-3", "b", app="x")]
    assert [one.title for one in workloads(pods)] == ["a/x", "a/x~2", "a/x~3", "b/x"]


def test_a_template_names_its_pods() -> None:
    pods = [pod("old-name-0", app="x")]
    assert workloads(pods, [pod("shop", template_of="Deployment", app="x")])[0].title == "a/shop"
    assert workloads(pods, [pod("shop", template_of="Deployment", app="y")])[0].title == "a/old-name"


def test_different_names_have_what_they_begin_with_in_common() -> None:
    assert workloads([pod("api-a-1", app="x"), pod("api-b-2", app="x")])[0].title == "a/api"
    assert workloads([pod("one", app="x"), pod("two", app="x")])[0].title == "a/one"
