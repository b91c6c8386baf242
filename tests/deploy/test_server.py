"""What `deploy/` gives to a cluster, as a real API server takes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.enforcer.client import Client, Failed
from tests.enforcer.kube_apiserver import ADMIN, KubeApiServer, binaries

MANIFEST = Path(__file__).resolve().parents[2] / "deploy/kubernetes.yaml"
PATHS = {
    "ServiceAccount": "/api/v1/namespaces/kube-system/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "DaemonSet": "/apis/apps/v1/namespaces/kube-system/daemonsets",
}
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(MANIFEST.read_text()))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    missing = binaries()
    if isinstance(missing, str):
        pytest.skip(f"not judged by a real API server: {missing}")
    server = KubeApiServer(tmp_path_factory.mktemp("apiserver"))
    found = Client(server.url, ADMIN, server.ca)
    yield found
    found.close()
    server.close()


@pytest.mark.parametrize("wanted", OBJECTS, ids=lambda one: str(one["kind"]))
def test_the_server_takes_it(client: Client, wanted: dict[str, Any]) -> None:
    """Every field is one that it knows, with a value that it admits."""
    made = client.ask("POST", f"{PATHS[wanted['kind']]}?fieldValidation=Strict", wanted)
    assert made["metadata"]["name"] == "netpolc"


def test_what_a_server_does_not_know_is_refused(client: Client) -> None:
    """So the answers above mean something."""
    wanted = {**OBJECTS[0], "metadata": {"name": "other", "namespace": "kube-system"}, "spec": {}}
    with pytest.raises(Failed, match=r"unknown field .*spec"):
        client.ask("POST", f"{PATHS['ServiceAccount']}?fieldValidation=Strict", wanted)
