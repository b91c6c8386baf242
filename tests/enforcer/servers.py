"""The two API servers of tests behind one face, and a daemon's view of either of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random
from typing import Any

import yaml

from compiler.live.batch import Batch
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.sources.manifests import Located
from enforcer.api.kube import Cluster
from enforcer.api.reflector import Timing
from enforcer.api.transport import Transport, connect
from tests.enforcer.apiserver import ApiServer
from tests.enforcer.client import CLUSTER_WIDE, Client, ignored, path_of
from tests.enforcer.kube_apiserver import ADMIN, DAEMON, KubeApiServer
from tests.enforcer.proxy import Proxy

ROOT = Path(__file__).resolve().parents[2]
CRDS = tuple(yaml.safe_load(path.read_text()) for path in sorted((ROOT / "fixtures/crds").iterdir()))
#: As in the daemon, for tests that have no minutes.
QUICK = Timing(watch=(1, 2), grace=0.5, page=1.0, first=0.02, most=0.2, steady=0.3, poll=0.1, gone=0.4)


class StandIn(ApiServer):
    """The stand-in, broken as the real one is."""

    ca: str | None = None

    def forget(self) -> None:
        """No history before now, and no list goes on."""
        self.state.forget()

    def copy(self) -> None:
        self._backup = self.state.copy()

    def restore(self) -> None:
        self.stop()
        self.state.restore(self._backup)
        self.start()


@dataclass
class Site:
    """A server, who writes into it, and the way to it."""

    server: StandIn | KubeApiServer
    folder: Path
    client: Client = field(init=False)
    proxy: Proxy = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.server, StandIn):
            self.server.spared.add(ADMIN)
        self.client = Client(self.server.url, ADMIN, self.server.ca)
        self.proxy = Proxy(self.server.port)
        self.token = self.folder / "token"
        self.token.write_text(DAEMON)

    def close(self) -> None:
        self.client.close()
        self.proxy.close()

    @property
    def real(self) -> bool:
        return isinstance(self.server, KubeApiServer)

    @property
    def stand_in(self) -> StandIn:
        assert isinstance(self.server, StandIn)
        return self.server

    @property
    def kubeconfig(self) -> Path:
        """Of the daemon, by way of the proxy."""
        scheme = self.server.url.partition(":")[0]
        cluster = {"server": f"{scheme}://127.0.0.1:{self.proxy.port}", "certificate-authority": self.server.ca}
        path = self.folder / "kubeconfig"
        named: list[dict[str, Any]] = [
            {"clusters": [{"name": "tests", "cluster": {k: v for k, v in cluster.items() if v}}]},
            {"users": [{"name": "daemon", "user": {"tokenFile": str(self.token)}}]},
            {"contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "daemon"}}]},
        ]
        whole: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "tests"}
        for part in named:
            whole |= part
        path.write_text(json.dumps(whole))
        return path

    def transport(self) -> Transport:
        return connect(str(self.kubeconfig))

    def permit(self) -> None:
        """Lets the daemon do what the deployment lets it do, on a server that asks."""
        if self.real:
            documents = yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text())
            role, binding = (one for one in documents if one["kind"].startswith("ClusterRole"))
            user = {"kind": "User", "name": "netpolc", "apiGroup": "rbac.authorization.k8s.io"}
            base = "/apis/rbac.authorization.k8s.io/v1"
            self.client.ask("POST", f"{base}/clusterroles", role)
            self.client.ask("POST", f"{base}/clusterrolebindings", binding | {"subjects": [user]})

    def define(self) -> None:
        """The cluster-wide kinds exist from now on."""
        for crd in CRDS:
            with ignored(409):
                self.client.create(crd)
        eventually(lambda: all(map(self.client.exists, CLUSTER_WIDE)))

    def undefine(self) -> None:
        """They don't."""
        for crd in CRDS:
            self.client.delete(crd)
        eventually(lambda: self.client.ask("GET", path_of("CustomResourceDefinition"))["items"] == [])


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of a cluster. Policies by kind, namespace and name, as texts."""

    pods: dict[tuple[str, str], Pod]
    namespaces: dict[str, Namespace]
    nodes: dict[str, Node]
    policies: dict[tuple[str, str, str], str]


class View:
    """A daemon's view: everything taken so far, put together."""

    def __init__(self, transport: Transport, timing: Timing = QUICK, seed: int = 1) -> None:
        self.cluster = Cluster(transport, timing=timing, random=Random(seed))
        self.taken = Batch()
        self.batches: list[Batch] = []
        self.cluster.start()

    def look(self, seconds: float = 0.0) -> Batch:
        """The next batch, empty when none comes in time."""
        until = time.monotonic() + seconds
        while self.cluster.wait(max(0.0, until - time.monotonic())):
            batch = self.cluster.take()
            assert self.cluster.synced, "a batch before everything was seen"
            if batch:
                self.taken = self.taken.then(batch)
                self.batches.append(batch)
                return batch
        return Batch()

    @property
    def picture(self) -> Picture:
        while self.look():
            pass
        taken = self.taken
        return Picture(
            {key: pod for key, pod in taken.pods.items() if pod is not None},
            {name: space for name, space in taken.namespaces.items() if space is not None},
            {name: node for name, node in taken.nodes.items() if node is not None},
            {key: _spec(policy) for key, policy in taken.policies.items() if policy is not None},
        )

    def agrees(self, client: Client, seconds: float = 10.0) -> None:
        """Waits until the view is what the server has."""
        there = of_server(client)
        eventually(
            lambda: self.cluster.synced and self.picture == there,
            seconds,
            lambda: "\n".join([*_differences(self.picture, there), *self.problems]),
        )

    @property
    def problems(self) -> list[str]:
        return [f"{problem.about}: {problem.text}" for problem in self.cluster.problems()]


@contextmanager
def viewing(site: Site, timing: Timing = QUICK, seed: int = 1) -> Iterator[View]:
    view = View(site.transport(), timing, seed)
    try:
        yield view
    finally:
        view.cluster.stop()


def of_server(client: Client) -> Picture:
    """What the reader of manifests says of everything that the server has."""
    found = client.everything()
    return Picture(
        {(pod.namespace, pod.name): pod for pod in found.pods},
        {space.name: space for space in found.namespaces},
        {node.name: node for node in found.nodes},
        {
            (
                one.value.kind,
                one.value.metadata.namespace or "",
                one.value.metadata.name,
            ): one.value.spec.model_dump_json(by_alias=True, exclude_none=True)
            for one in found.policies
        },
    )


def _differences(seen: Picture, there: Picture) -> Iterator[str]:
    for part in fields(Picture):
        one, other = getattr(seen, part.name), getattr(there, part.name)
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                yield f"{part.name} {key}: seen {one.get(key)}, there is {other.get(key)}"


def _spec(policy: Located) -> str:
    return policy.value.spec.model_dump_json(by_alias=True, exclude_none=True)


def eventually(
    condition: Callable[[], bool], seconds: float = 10.0, otherwise: Callable[[], str] = lambda: "it never came"
) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.01)
