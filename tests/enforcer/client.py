"""Writes objects into an API server, as their controllers, kubelets and people do; any server of tests takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3

from compiler.sources.manifests import Manifests, load

Object = dict[str, Any]
#: Kind -> group and version, resource, whether it has namespaces.
KINDS = {
    "Pod": ("v1", "pods", True),
    "Namespace": ("v1", "namespaces", False),
    "Node": ("v1", "nodes", False),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies", True),
    "ClusterNetworkPolicy": ("policy.networking.k8s.io/v1alpha2", "clusternetworkpolicies", False),
    "AdminNetworkPolicy": ("policy.networking.k8s.io/v1alpha1", "adminnetworkpolicies", False),
    "BaselineAdminNetworkPolicy": ("policy.networking.k8s.io/v1alpha1", "baselineadminnetworkpolicies", False),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
}
#: What the daemon watches.
WATCHED = tuple(kind for kind in KINDS if kind != "CustomResourceDefinition")
#: What of it a cluster may lack.
CLUSTER_WIDE = WATCHED[4:]


class Failed(Exception):
    def __init__(self, code: int, said: str) -> None:
        self.code = code
        super().__init__(f"{code}: {said}")


@contextmanager
def ignored(code: int) -> Iterator[None]:
    """This status is no failure."""
    try:
        yield
    except Failed as failed:
        if failed.code != code:
            raise


class Client:
    """`ca`: the certificate of a server with TLS."""

    def __init__(self, url: str, token: str = "", ca: str | None = None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = urllib3.PoolManager(ca_certs=ca, retries=False, timeout=30, maxsize=4)

    def close(self) -> None:
        self._pool.clear()

    def ask(self, verb: str, path: str, body: Object | None = None, content: str = "application/json") -> Object:
        answer = self._pool.request(
            verb,
            self._url + path,
            body=json.dumps(body) if body else None,
            headers=self._headers | {"Content-Type": content},
        )
        if answer.status >= 300:
            raise Failed(answer.status, answer.data.decode())
        found: Object = json.loads(answer.data) if answer.data[:1] == b"{" else {}
        return found

    def create(self, value: Object) -> None:
        """An object, with its status where it has one."""
        self.ask("POST", path_of(value["kind"], value["metadata"].get("namespace")), value)
        if value["kind"] in ("Pod", "Node") and value.get("status"):
            self.status(value)

    def status(self, value: Object) -> None:
        """The status of the object becomes that of `value`."""
        self._patch(f"{_one(value)}/status", {"status": value["status"]})

    def patch(self, value: Object, patch: Object) -> None:
        self._patch(_one(value), patch)

    def replace(self, value: Object) -> None:
        """A spec, and labels and annotations, as they are in `value`."""
        known = self.ask("GET", _one(value))
        known["metadata"] |= {name: value["metadata"].get(name, {}) for name in ("labels", "annotations")}
        self.ask("PUT", _one(value), known | {"spec": value["spec"]})

    def delete(self, value: Object) -> None:
        """At once: nobody is there to wait for."""
        with ignored(404):  # a custom resource's objects go with its definition
            self.ask("DELETE", f"{_one(value)}?gracePeriodSeconds=0")
        if value["kind"] == "Namespace":
            with ignored(404):
                left = self.ask("GET", _one(value))
                self.ask("PUT", f"{_one(value)}/finalize", left | {"spec": {"finalizers": []}})

    def everything(self) -> Manifests:
        """All that a daemon should know, by the reader of manifests."""
        found: list[Object] = []
        for kind in WATCHED:
            items = self.ask("GET", path_of(kind))["items"] if self.exists(kind) else []
            found += [_plain({"apiVersion": KINDS[kind][0], "kind": kind} | item) for item in items]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": found}).encode()
        return load([("server", text)])

    def exists(self, kind: str) -> bool:
        """Whether the server has this kind."""
        try:
            self.ask("GET", f"{path_of(kind)}?limit=1")
        except Failed as failed:
            if failed.code not in (404, 503):
                raise
            return False
        return True

    def wipe(self) -> None:
        """Removes every object that a server does not have by itself. Definitions stay."""
        for kind in WATCHED:
            for item in self.ask("GET", path_of(kind))["items"] if self.exists(kind) else ():
                name = item["metadata"]["name"]
                if kind != "Namespace" or not name.startswith(("default", "kube-")):
                    self.delete({"kind": kind, "metadata": item["metadata"]})

    def _patch(self, path: str, patch: Object) -> None:
        self.ask("PATCH", path, patch, "application/merge-patch+json")


def _plain(value: Object) -> Object:
    """Without what only a server writes, which manifests do not have."""
    metadata = {name: value["metadata"][name] for name in ("name", "namespace", "labels") if name in value["metadata"]}
    return value | {"metadata": metadata}


def path_of(kind: str, namespace: str | None = None) -> str:
    version, resource, _ = KINDS[kind]
    base = f"/{'apis' if '/' in version else 'api'}/{version}"
    return f"{base}/namespaces/{namespace}/{resource}" if namespace else f"{base}/{resource}"


def _one(value: Object) -> str:
    return f"{path_of(value['kind'], value['metadata'].get('namespace'))}/{value['metadata']['name']}"
