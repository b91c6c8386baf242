"""Whatever goes wrong between the daemon and an API server: in the end the daemon has what the server has, and until
then what it had; and a server in trouble is not asked more often than it can bear."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from enforcer.api import reflector
from enforcer.api.kube import Cluster
from enforcer.api.reflector import Timing
from enforcer.api.transport import Transport
from tests.enforcer.apiserver import OF_ANY, OF_LISTS, OF_STREAMS, Fault
from tests.enforcer.client import Object
from tests.enforcer.kube_apiserver import ADMIN, DAEMON
from tests.enforcer.servers import QUICK, Site, StandIn, eventually, viewing
from tests.enforcer.things import admin_policy, cluster_policy, namespace, network_policy, node, pod
from tests.property.test_oracle_is_the_compiler import SCALE


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The stand-in, with the cluster-wide kinds and some pods."""
    server = StandIn(tokens={ADMIN, DAEMON})
    found = Site(server, tmp_path)
    found.define()
    for n in range(12):
        found.client.create(pod(f"shop/p{n}", f"10.244.0.{n + 1}", app="web"))
    yield found
    found.close()
    server.close()


@pytest.mark.parametrize("fault", OF_LISTS, ids=lambda fault: fault.name)
def test_a_list_that_fails(site: Site, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "PAGE", 5)
    faults = site.stand_in.faults
    faults.once["list", "pods"] = [fault] * 3
    with viewing(site) as view:
        time.sleep(0.1)
        assert view.picture.pods == {} or not faults.once["list", "pods"], "nothing before all of it"
        view.agrees(site.client)
        assert len(view.picture.pods) == 12
        assert [batch for batch in view.batches if batch.pods] == [view.batches[0]]
    assert faults.seen == [fault] * 3


@pytest.mark.parametrize("fault", OF_ANY, ids=lambda fault: fault.name)
def test_a_watch_that_is_refused(site: Site, fault: Fault) -> None:
    with viewing(site) as view:
        view.agrees(site.client)
        site.stand_in.faults.once["watch", "pods"] = [fault] * 3
        site.proxy.cut()
        site.client.delete(pod("shop/p3"))
        site.client.create(pod("shop/later", "10.244.0.99"))
        site.proxy.mend()
        view.agrees(site.client)
        assert ("shop", "p3") not in view.picture.pods
        eventually(lambda: site.stand_in.faults.seen == [fault] * 3)


@pytest.mark.parametrize("fault", OF_STREAMS, ids=lambda fault: fault.name)
def test_a_stream_that_breaks(site: Site, fault: Fault) -> None:
    with viewing(site) as view:
        view.agrees(site.client)
        faults = site.stand_in.faults
        faults.once["watch", "pods"] = [fault]
        with site.stand_in.state.changed:  # so that the watch finds several events at once
            site.stand_in.state.delete("pods", ("shop", "p3"))
            site.stand_in.state.put("pods", pod("shop/p4", "10.244.0.5", app="moved"))
            site.stand_in.state.put("pods", pod("shop/p3", "10.244.0.77", app="again"))
            site.stand_in.state.delete("pods", ("shop", "p5"))
        eventually(lambda: faults.seen == [fault])
        view.agrees(site.client)
        assert view.picture.pods["shop", "p3"].labels == {"app": "again"}
        assert ("shop", "p5") not in view.picture.pods


def test_a_kind_that_seems_to_be_gone(site: Site) -> None:
    """A server that has just been started may not know its custom resources yet: policies stay in force meanwhile."""
    site.client.create(cluster_policy("ops"))
    state = site.stand_in.state
    with viewing(site, dataclasses.replace(QUICK, gone=1.0)) as view:
        view.agrees(site.client)
        known = state.resources.pop("clusternetworkpolicies")
        site.proxy.cut()
        site.proxy.mend()
        time.sleep(0.5)
        assert site.stand_in.requests("list", "clusternetworkpolicies") == 1
        assert [name for _, _, name in view.picture.policies] == ["ops"]
        state.resources["clusternetworkpolicies"] = known
        view.agrees(site.client)
        assert all("ops" in {key[2] for key in batch.policies} for batch in view.batches if batch.policies)
        assert all(None not in batch.policies.values() for batch in view.batches)


def asked(site: Site, during: float, timing: Timing) -> int:
    """How many requests for pods a daemon makes in so many seconds."""
    before = len(site.stand_in.asked)
    with viewing(site, timing):
        time.sleep(during)
    return sum(name == "pods" for _, _, name, _ in site.stand_in.asked[before:])


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        *(("list", fault) for fault in (Fault.BROKEN, Fault.GONE, Fault.UNAUTHORIZED, Fault.RESET, Fault.GARBAGE)),
        *(
            ("watch", fault)
            for fault in (Fault.BROKEN, Fault.GONE, Fault.ERROR_GONE, Fault.STREAM_END, Fault.MALFORMED)
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else value,
)
def test_a_server_in_trouble_is_spared(site: Site, what: str, fault: Fault) -> None:
    """Each failure doubles the wait: in two seconds there is time for five, and a list behind each."""
    site.stand_in.faults.once[what, "pods"] = [fault] * 1000
    timing = dataclasses.replace(QUICK, first=0.1, most=30.0, steady=30.0)
    with busy(site):
        assert 4 <= asked(site, 2.0, timing) <= 20


@contextmanager
def busy(site: Site) -> Iterator[None]:
    """A pod that changes a hundred times a second: there is always something to tell."""
    over = threading.Event()

    def write() -> None:
        n = 0
        while not over.wait(0.01):
            n += 1
            site.stand_in.state.put("pods", pod("shop/p1", "10.244.0.2", app=f"n{n}"))

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


def test_a_server_says_how_long_to_wait(site: Site) -> None:
    site.stand_in.faults.retry_after = 1
    site.stand_in.faults.once["list", "pods"] = [Fault.TOO_MANY] * 2
    with viewing(site) as view:
        eventually(lambda: view.cluster.synced)
    times = [at for at, what, name, _ in site.stand_in.asked if (what, name) == ("list", "pods")]
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))
    assert len(times) == 3


@pytest.mark.parametrize("state", ["hangs", "far away"])
def test_stops_while_nothing_answers(state: str, site: Site) -> None:
    """In whatever a thread waits: it is not waited for longer than a second."""
    if state == "hangs":
        site.stand_in.faults.once["list", "pods"] = [Fault.HANG]
        transport = site.transport()
    else:
        full = socket.create_server(("127.0.0.1", 0), backlog=0)  # whose queue is full: nobody is let in
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        transport = Transport(lambda made: setattr(made, "host", f"http://127.0.0.1:{port}"))
    cluster = Cluster(transport)
    cluster.start()
    time.sleep(0.3)
    began = time.monotonic()
    cluster.stop()
    assert time.monotonic() - began < 1.0
    if state != "hangs":
        for one in (*waiting, full):
            one.close()


# Everything at once


class Chaos:
    """A cluster that changes at random, in a small world, so that names and addresses are used again."""

    def __init__(self, site: Site, random: Random) -> None:
        self._site, self._random = site, random
        self._known: dict[tuple[str, str, str], Object] = {}
        self._free = [f"10.244.1.{n}" for n in range(1, 60)]

    def change(self) -> None:
        make = self._random.choice((self._pod, self._pod, self._pod, self._pod, self._policy, self._space, self._wide))
        make()

    def _put(self, value: Object) -> None:
        state, kind = self._site.stand_in.state, value["kind"]
        resource = "networkpolicies" if kind == "NetworkPolicy" else f"{kind.lower()}s".replace("ys", "ies")
        key = (resource, value["metadata"].get("namespace", ""), value["metadata"]["name"])
        before = self._known.pop(key, None)
        if before is not None:
            self._free += [one["ip"] for one in before.get("status", {}).get("podIPs", ())]
            if self._random.random() < 0.4:
                state.delete(resource, key[1:])
                self._free += [one["ip"] for one in value.get("status", {}).get("podIPs", ())]
                return
        state.put(resource, value)
        self._known[key] = value

    def _pod(self) -> None:
        ip = self._free.pop(0) if self._random.random() < 0.8 else ""
        phase = self._random.choice(("Running", "Running", "Pending", "Succeeded"))
        place = f"{self._random.choice('xy')}/p{self._random.randrange(12)}"
        self._put(pod(place, ip, f"n{self._random.randrange(3)}", phase, app=self._random.choice("abc")))

    def _policy(self) -> None:
        chosen = {"matchLabels": {"app": self._random.choice("abc")}}
        types = self._random.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
        place = f"{self._random.choice('xy')}/q{self._random.randrange(4)}"
        self._put(network_policy(place, chosen, policyTypes=types))

    def _space(self) -> None:
        if self._random.random() < 0.5:
            self._put(namespace(self._random.choice("xyz"), team=self._random.choice("ab")))
        else:
            number = self._random.randrange(3)
            self._put(node(f"n{number}", f"192.0.2.{number + 1}", zone=self._random.choice("ab")))

    def _wide(self) -> None:
        make = self._random.choice((cluster_policy, admin_policy))
        self._put(make(f"w{self._random.randrange(3)}", priority=self._random.randrange(5)))


def cut(site: Site, random: Random) -> None:
    site.proxy.cut()
    time.sleep(random.random() * 0.1)
    site.proxy.mend()


def crash(site: Site, random: Random) -> None:
    site.server.stop()
    time.sleep(random.random() * 0.1)
    site.server.start()


def forget(site: Site, random: Random) -> None:
    site.server.forget()


def freeze(site: Site, random: Random) -> None:
    site.proxy.freeze()


SHOCKS: tuple[Callable[[Site, Random], None], ...] = (cut, crash, forget, freeze)


@pytest.mark.parametrize("seed", range(round(5 * SCALE)))
def test_after_everything_at_once(seed: int, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault at random, in every request and every event, while everything changes; then peace: the view is what
    the server has."""
    monkeypatch.setattr(reflector, "PAGE", 7)
    random = Random(seed)
    faults = site.stand_in.faults
    faults.random, faults.hang = Random(seed + 1000), 0.3
    chaos = Chaos(site, random)
    timing = dataclasses.replace(QUICK, page=0.2, grace=0.2, most=0.1)
    with viewing(site, timing, seed) as view:
        for _ in range(3):
            faults.chance = random.choice((0.02, 0.1, 0.3))
            for _ in range(80):
                for _ in range(random.choice((1, 1, 5))):
                    chaos.change()
                if random.random() < 0.05:
                    random.choice(SHOCKS)(site, random)
                time.sleep(random.choice((0.0, 0.002, 0.02)))
                view.look()
            faults.chance = 0.0
            view.agrees(site.client)
        assert len(faults.seen) > 20
        eventually(lambda: view.problems == [])
