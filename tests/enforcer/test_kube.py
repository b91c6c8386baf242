"""The daemon's view of an API server is what the server has: of the stand-in, and of a real kube-apiserver with etcd.

Where there is no real one, its tests are skipped and say so; `make apiserver` builds it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from compiler.live.batch import Batch
from enforcer.api import reflector
from tests.enforcer.client import Object
from tests.enforcer.kube_apiserver import ADMIN, DAEMON, KubeApiServer, binaries
from tests.enforcer.servers import CRDS, QUICK, Site, StandIn, eventually, viewing
from tests.enforcer.things import (
    admin_policy,
    baseline_policy,
    cluster_policy,
    namespace,
    network_policy,
    node,
    pod,
)

# Python 3.11 forgets to close a socket that is reset between its connection and its TLS; it is closed as it is dropped.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")

SERVERS = ("stand-in", "kube-apiserver")


@pytest.fixture(scope="module")
def kube_apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    lacking = binaries()
    if isinstance(lacking, str):
        pytest.skip(f"no real API server: {lacking}")
    folder = tmp_path_factory.mktemp("kube-apiserver")
    server = KubeApiServer(folder)
    try:
        site = Site(server, folder)
        site.permit()
        yield site
        site.close()
    finally:
        server.close()


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A server with the cluster-wide kinds and nothing in it that a test has made."""
    if request.param == "stand-in":
        server = StandIn(tokens={ADMIN, DAEMON})
        found = Site(server, tmp_path)
        yield found
        found.close()
        server.close()
    else:
        found = request.getfixturevalue("kube_apiserver")
        found.proxy.mend()
        yield found
        found.client.wipe()


SHOP: tuple[Object, ...] = (
    namespace("shop", team="red"),
    node("n1", "192.0.2.1", zone="a"),
    pod("shop/web", "10.244.0.5", app="web"),
    pod("shop/new", app="new"),
    pod("default/batch", "10.244.0.6", phase="Succeeded"),
    network_policy("shop/web", {"matchLabels": {"app": "web"}}, ingress=[{"ports": [{"port": "http"}]}]),
)
CLUSTER_WIDE = (cluster_policy("ops"), admin_policy("egress"), baseline_policy())


def test_everything_that_is_there(site: Site) -> None:
    site.define()
    for value in (*SHOP, *CLUSTER_WIDE):
        site.client.create(value)
    with viewing(site) as view:
        view.agrees(site.client)
        assert {"web", "new"} <= {name for _, name in view.picture.pods}
        assert len(view.picture.policies) == 4
        assert len([batch for batch in view.batches if batch]) == 1, "all at once"
        assert view.problems == []


def test_everything_that_happens(site: Site) -> None:
    site.define()
    with viewing(site) as view:
        view.agrees(site.client)
        for value in (*SHOP, *CLUSTER_WIDE):
            site.client.create(value)
        view.agrees(site.client)
        assert len(view.picture.policies) == 4
        site.client.patch(SHOP[2], {"metadata": {"labels": {"app": "api"}}})
        site.client.status(pod("shop/new", "10.244.0.7"))
        site.client.patch(SHOP[0], {"metadata": {"labels": {"team": "blue"}}})
        site.client.patch(SHOP[5], {"spec": {"policyTypes": ["Ingress", "Egress"]}})
        site.client.patch(CLUSTER_WIDE[0], {"spec": {"priority": 7}})
        view.agrees(site.client)
        assert view.picture.pods["shop", "web"].labels == {"app": "api"}
        assert view.picture.pods["shop", "new"].ips == ("10.244.0.7",)
        assert view.picture.namespaces["shop"].labels["team"] == "blue"
        for value in (*SHOP[1:], *CLUSTER_WIDE):
            site.client.delete(value)
        view.agrees(site.client)
        assert (view.picture.policies, view.picture.pods, view.picture.nodes) == ({}, {}, {})


def test_in_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "PAGE", 7)
    for n in range(30):
        site.client.create(pod(f"default/p{n}", f"10.244.0.{n + 1}"))
    with viewing(site) as view:
        view.agrees(site.client)
        assert len(view.picture.pods) == 30
    if not site.real:
        assert site.stand_in.requests("list", "pods") == 5


def test_what_no_policy_can_ask_for_is_no_news(site: Site) -> None:
    for value in SHOP:
        site.client.create(value)
    with viewing(site) as view:
        view.agrees(site.client)
        for value in SHOP:
            site.client.patch(value, {"metadata": {"annotations": {"example.org/seen": "now"}}})
        site.client.status(SHOP[2] | {"status": SHOP[2]["status"] | {"message": "well", "reason": "Fine"}})
        condition = {"type": "Ready", "status": "True", "reason": "Heartbeat", "message": "alive"}
        site.client.status(SHOP[1] | {"status": SHOP[1]["status"] | {"conditions": [condition]}})
        site.client.create(pod("default/last", "10.244.0.9"))
        before = len(view.batches)
        view.agrees(site.client)
        news = view.batches[before:]
        assert all(batch == Batch(pods=batch.pods) for batch in news)
        assert {key for batch in news for key in batch.pods} == {("default", "last")}


def test_kinds_that_come_and_go(site: Site) -> None:
    site.undefine()
    with viewing(site) as view:
        view.agrees(site.client)
        site.define()
        site.client.create(cluster_policy("late"))
        view.agrees(site.client)
        assert [name for _, _, name in view.picture.policies] == ["late"]
        site.undefine()
        eventually(lambda: view.picture.policies == {})


def test_a_connection_that_breaks(site: Site) -> None:
    """The watch goes on where it was."""
    with viewing(site) as view:
        for value in SHOP:
            site.client.create(value)
        view.agrees(site.client)
        site.proxy.cut()
        site.client.create(pod("default/meanwhile", "10.244.0.10"))
        site.client.delete(SHOP[2])
        time.sleep(0.5)
        assert ("default", "meanwhile") not in view.picture.pods
        eventually(lambda: bool(view.problems))
        site.proxy.mend()
        view.agrees(site.client)
        eventually(lambda: view.problems == [])
        assert ("shop", "web") not in view.picture.pods
        if not site.real:
            lists = [a for _, verb, name, a in site.stand_in.asked if (verb, name) == ("list", "pods")]
            assert [a["limit"] for a in lists] == ["500", "1"], "it was not listed again; but the time was asked"


def test_a_connection_that_falls_silent(site: Site) -> None:
    """Half-open: nothing comes and nothing says so. The watch ends when it should have ended by itself."""
    with viewing(site) as view:
        site.client.create(SHOP[0])
        view.agrees(site.client)
        assert site.proxy.freeze() >= 4
        site.client.create(SHOP[2])
        time.sleep(0.3)
        assert view.picture.pods == {}
        view.agrees(site.client, QUICK.watch[1] + QUICK.grace + 5)


def test_much_that_happens_over_a_bad_line(site: Site) -> None:
    """Pods come, move, change and go while connections are cut and freeze; then the line is good."""
    random, known = Random(3), dict[str, Object]()
    with viewing(site) as view:
        for n in range(150):
            name = f"default/p{random.randrange(15)}"
            value = pod(name, f"10.244.{n // 200}.{n % 200 + 1}", app=random.choice("abc"))
            if name not in known:
                site.client.create(value)
                known[name] = value
            elif random.random() < 0.4:
                site.client.delete(known.pop(name))
            else:
                site.client.status(value)
                site.client.patch(value, {"metadata": {"labels": value["metadata"]["labels"]}})
            match random.randrange(15):
                case 0:
                    site.proxy.cut()
                case 1:
                    site.proxy.freeze()
                case _:
                    site.proxy.mend()
            view.look()
        site.proxy.mend()
        view.agrees(site.client)
        assert len(view.picture.pods) == len(known)


def test_a_server_that_is_started_again(site: Site) -> None:
    with viewing(site) as view:
        for value in SHOP:
            site.client.create(value)
        view.agrees(site.client)
        site.server.stop()
        time.sleep(0.3)
        assert ("shop", "web") in view.picture.pods, "what was known stays"
        site.server.start()
        site.client.delete(SHOP[5])
        view.agrees(site.client)
        assert view.picture.policies == {}


def test_a_history_that_is_forgotten(site: Site) -> None:
    """What went away meanwhile is told by no event."""
    with viewing(site) as view:
        for value in SHOP:
            site.client.create(value)
        view.agrees(site.client)
        site.proxy.cut()
        site.client.delete(SHOP[2])
        site.client.delete(SHOP[5])
        site.client.create(pod("default/meanwhile", "10.244.0.10"))
        site.server.forget()
        site.proxy.mend()
        view.agrees(site.client)
        assert view.picture.policies == {}


def test_time_that_goes_back(site: Site) -> None:
    """A backup is restored: resourceVersions are lower, and a watch behind ours would say nothing for long."""
    site.define()
    site.client.create(SHOP[0])
    site.client.create(cluster_policy("old"))
    site.server.copy()
    with viewing(site) as view:
        view.agrees(site.client)
        for value in SHOP[1:]:
            site.client.create(value)
        for _ in range(5):
            site.client.patch(SHOP[0], {"metadata": {"labels": {"n": str(time.monotonic_ns())}}})
        site.client.delete(cluster_policy("old"))
        view.agrees(site.client)
        site.server.restore()
        view.agrees(site.client)
        assert [name for _, _, name in view.picture.policies] == ["old"]
        assert view.picture.pods == {}


def test_a_token_that_is_replaced(site: Site) -> None:
    """The server does not know the old one any more; the new one is in the file."""
    with viewing(site) as view:
        view.agrees(site.client)
        allow(site, {ADMIN, "rotated"})
        try:
            site.client.create(SHOP[0])
            eventually(lambda: any("401" in problem for problem in view.problems))
            site.token.write_text("rotated")
            view.agrees(site.client)
            eventually(lambda: view.problems == [])
        finally:
            site.token.write_text(DAEMON)
            allow(site, {ADMIN, DAEMON})


def allow(site: Site, tokens: set[str]) -> None:
    """From now on these tokens alone."""
    if isinstance(site.server, KubeApiServer):
        site.server.stop()
        site.server.allow({one: ("admin", "system:masters") if one == ADMIN else ("netpolc", "") for one in tokens})
        site.server.start()
    else:
        site.server.tokens = tokens
        site.server.stop()
        site.server.start()


def test_a_version_of_tomorrow(site: Site) -> None:
    """Policies that are there and can't be read are told about: nobody should believe them to be enforced."""
    site.undefine()
    crd = next(crd for crd in CRDS if crd["spec"]["names"]["kind"] == "ClusterNetworkPolicy")
    spec = crd["spec"] | {"versions": [crd["spec"]["versions"][0] | {"name": "v1beta1"}]}
    site.client.create(crd | {"spec": spec})
    with viewing(site, dataclasses.replace(QUICK, poll=0.2)) as view:
        eventually(lambda: any("served as policy.networking.k8s.io/v1beta1" in problem for problem in view.problems))
        eventually(lambda: view.cluster.synced)
    site.undefine()


def test_a_field_of_tomorrow(site: Site) -> None:
    """The server takes a field that netpolc does not know: what it means is open, so the rule lets nothing through."""
    site.undefine()
    newer = copy.deepcopy(next(crd for crd in CRDS if crd["spec"]["names"]["kind"] == "ClusterNetworkPolicy"))
    schema = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["ingress"]["items"]["properties"]["when"] = {"type": "string"}
    site.client.create(newer)
    eventually(lambda: site.client.exists("ClusterNetworkPolicy"))
    policy = cluster_policy("ops", "Accept")
    with viewing(site) as view:
        site.client.create(policy)
        eventually(lambda: bool(view.picture.policies))
        assert view.problems == []
        rules = policy["spec"]["ingress"]
        site.client.patch(policy, {"spec": {"ingress": [*rules, rules[0] | {"when": "daytime"}]}})
        eventually(lambda: bool(view.problems))
        (text,) = view.picture.policies.values()
        assert json.loads(text)["ingress"] == rules
        assert view.problems[0].startswith('clusternetworkpolicy ops: unknown field "spec.ingress[1].when"')
        assert "closed" in view.problems[1]
        site.client.patch(policy, {"spec": {"ingress": rules}})
        eventually(lambda: view.problems == [])
    site.undefine()


def test_stops_at_once(site: Site) -> None:
    with viewing(site, dataclasses.replace(QUICK, watch=(200, 300))) as view:
        view.agrees(site.client)
        time.sleep(0.2)
        began = time.monotonic()
        view.cluster.stop()
        assert time.monotonic() - began < 0.5
        assert [thread for thread in view.cluster.threads if thread.is_alive()] == []
