"""Events on policies that can't be enforced as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.api.events import AGAIN, Events, event, regarding
from enforcer.api.kube import Cluster
from enforcer.api.transport import connect
from enforcer.api.wire import POLICIES
from enforcer.sources.source import Problem
from tests.enforcer.client import Client, Object
from tests.enforcer.kube_apiserver import ADMIN, KubeApiServer, binaries
from tests.enforcer.servers import QUICK, Site, StandIn, eventually
from tests.enforcer.things import network_policy

POLICY = Problem("networkpolicy shop/backend", 'spec.ingress[0].ports[0].port: no such port: "70000"')
WIDE = Problem("adminnetworkpolicy egress", "what of it can't be read is closed")
OTHER = Problem("pods of https://10.0.0.1", "connection refused")


@pytest.mark.parametrize("server", ["stand-in", "kube-apiserver"])
class TestServers:
    @pytest.fixture
    def site(self, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
        folder = tmp_path_factory.mktemp("server")
        if server == "kube-apiserver" and isinstance(lacking := binaries(), str):
            pytest.skip(f"no real API server: {lacking}")
        api = StandIn(tokens={ADMIN, "daemon"}) if server == "stand-in" else KubeApiServer(folder)
        site = Site(api, folder)
        site.token.write_text(ADMIN)
        site.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        yield site
        site.close()
        api.close()

    def test_all_nodes_make_one_of_what_they_all_see(self, site: Site) -> None:
        for node in ("node-a", "node-b"):
            events = Events(connect(str(site.kubeconfig)), node, lambda: [POLICY, WIDE, OTHER])
            events.look()
        (found,), (wide,) = (listed(site.client, place) for place in ("shop", "default"))
        assert found["regarding"]["name"] == "backend"
        assert (found["note"], found["type"], found["reportingInstance"]) == (POLICY.text, "Warning", "node-a")
        assert (wide["regarding"]["kind"], wide["regarding"]["name"]) == ("AdminNetworkPolicy", "egress")


def listed(client: Client, namespace: str) -> list[Object]:
    found: list[Object] = client.ask("GET", "/apis/events.k8s.io/v1/events")["items"]
    ours = [one for one in found if one["reportingController"].startswith("netpolc")]
    return [one for one in ours if one["metadata"]["namespace"] == namespace]


def test_a_source_tells_of_policies_that_it_refuses(tmp_path: Path) -> None:
    """As a server of another version may have them."""
    server = StandIn()
    site = Site(server, tmp_path)
    site.client.create(network_policy("shop/odd", {}, ingress=[{"ports": [{"port": 70000}]}]))
    cluster = Cluster(connect(str(site.kubeconfig)), timing=QUICK, node="node-a")
    cluster.start()
    try:
        eventually(lambda: len(listed(site.client, "shop")) == 2)
    finally:
        cluster.stop()
    notes = sorted(one["note"] for one in listed(site.client, "shop"))
    assert "70000" in notes[0]
    assert "closed" in notes[1]
    site.close()
    server.close()


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_again_only_when_servers_have_forgotten(tmp_path_factory: pytest.TempPathFactory) -> None:
    server, clock, problems = StandIn(), Clock(), [POLICY]
    site = Site(server, tmp_path_factory.mktemp("server"))
    events = Events(connect(str(site.kubeconfig)), "node-a", lambda: problems, clock, lambda: 1.8e9)

    def made() -> int:
        count = len(listed(site.client, "shop"))
        for one in listed(site.client, "shop"):
            site.client.ask("DELETE", f"/apis/events.k8s.io/v1/namespaces/shop/events/{one['metadata']['name']}")
        return count

    steps: list[tuple[float, list[Problem], int]] = [
        (0, [POLICY], 1),
        (1, [POLICY], 0),
        (AGAIN, [POLICY], 1),
        (1, [], 0),
        (1, [POLICY], 1),
    ]
    for seconds, now, expected in steps:
        clock.at += seconds
        problems[:] = now
        events.look()
        assert made() == expected
    site.proxy.close()
    clock.at += AGAIN
    events.look()
    assert made() == 0, "the server could not be reached, which is nobody's trouble"
    site.client.close()
    server.close()


@pytest.mark.parametrize("kind", POLICIES, ids=lambda kind: str(kind.name))
@pytest.mark.parametrize("key", [("", "everything"), ("shop", "backend")])
def test_problems_name_their_policies(kind: object, key: tuple[str, str]) -> None:
    assert regarding(Problem(kind.place(key), "wrong")) == (kind, key)  # type: ignore[attr-defined]


def test_of_other_things_there_is_none() -> None:
    assert event(OTHER, "node-a", 0) is None
    assert event(Problem("pod shop/web", "no address"), "node-a", 0) is None


def test_a_note_has_room_for_a_kilobyte() -> None:
    found = event(Problem(POLICY.about, "x" * 5000), "node-a", 0)
    assert found is not None
    assert len(found[1]["note"]) < 1024
