"""`netpolc enforce --cluster DIR` on a node of its own: real processes, real rules, real connections."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.enforcer.process import WITHIN, Enforcer, netpolc, until
from tests.kernel.cluster import Cluster
from tests.kernel.machines import Attempt, Machine, attempts, broken, exchange
from tests.kernel.rig import FLAVOURS, clear

pytestmark = pytest.mark.kernel

PORT, OTHER = 8080, 9090
FOREIGN = """\
table inet others {
	set netpolc-not { type ipv4_addr ; elements = { 192.0.2.77 } }
	chain forward {
		type filter hook forward priority filter ; policy accept ;
		ip daddr 192.0.2.77 counter accept
	}
}
"""
NODE = """\
apiVersion: v1
kind: Node
metadata: {name: node1}
spec: {podCIDRs: [10.1.1.0/24, "fd00:1:1::/64"]}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: InternalIP, address: "2001:db8::1"}]}
---
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}
spec: {{nodeName: node1}}
status: {{phase: Running, podIPs: [{{ip: {ips[0]}}}, {{ip: "{ips[1]}"}}]}}
---
"""
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: web, namespace: shop}}
spec: {{podSelector: {{matchLabels: {{app: web}}}}, ingress: [{{ports: [{{port: {port}}}]}}]}}
---
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with Cluster() as cluster:
        cluster.add_pod("shop/web")
        cluster.add_pod("shop/client")
        yield cluster


class World:
    def __init__(self, cluster: Cluster, folder: Path, backend: str, engine: str = "--whole") -> None:
        self.shared, self.node = cluster, cluster.node()
        self.web, self.client = cluster.pods["shop/web"], cluster.pods["shop/client"]
        self.manifests = folder / "cluster"
        self.manifests.mkdir()
        pods = "".join(POD.format(name=pod.name.partition("/")[2], ips=pod.ips) for pod in (self.web, self.client))
        (self.manifests / "pods.yaml").write_text(NODE + pods)
        options = ("--cluster", str(self.manifests), "--node", "node1", engine, "--backend", backend)
        self.enforcer = Enforcer(self.node.namespace, folder, *options)

    def policy(self, port: int) -> None:
        (self.manifests / "policies.yaml").write_text(POLICY.format(port=port))

    def opens(self, port: int, server: Machine | None = None) -> list[Attempt]:
        return attempts(self.client, server or self.web, port, True)

    def stays_shut(self, port: int) -> list[Attempt]:
        return attempts(self.client, self.web, port, False)

    @contextmanager
    def change(self) -> Iterator[None]:
        """What is done here changes the rules of the daemon that runs: behind it they are in force."""
        changes = self.enforcer.status["counts"]["applied"]
        yield
        self.enforcer.in_sync(changes + 1)


@pytest.fixture
def world(shared: Cluster, tmp_path: Path, flavour: str, engine: str) -> Iterator[World]:
    found = World(shared, tmp_path, flavour, engine)
    yield found
    found.enforcer.end(signal.SIGKILL)
    clear(found.node.namespace)


@pytest.fixture
def engine() -> str:
    return "--whole"


either_engine = pytest.mark.parametrize("engine", ["--whole", "--incremental"])


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@either_engine
def test_connections_follow_the_files(world: World) -> None:
    world.policy(PORT)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        assert not broken(world.opens(PORT), world.stays_shut(OTHER))
        with world.change():
            world.policy(OTHER)
        assert not broken(world.opens(OTHER), world.stays_shut(PORT))
        with world.change():
            (world.manifests / "policies.yaml").unlink()
        assert not broken(world.opens(PORT), world.opens(OTHER))
        assert enforcer.status["counts"]["applied"] == 3
        assert enforcer.end() == 0
    assert "stopped by SIGTERM; the rules stay" in enforcer.log


@either_engine
def test_rules_stay_whatever_ends_the_daemon(world: World) -> None:
    world.policy(PORT)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        enforcer.end(signal.SIGKILL)
        assert not broken(world.opens(PORT), world.stays_shut(OTHER))
        world.policy(OTHER)
        enforcer.start()
        enforcer.in_sync()
        assert not broken(world.opens(OTHER), world.stays_shut(PORT))
        enforcer.end(signal.SIGINT)
        assert not broken(world.opens(OTHER), world.stays_shut(PORT))


def test_rules_of_an_earlier_run_stay_until_everything_was_seen(world: World) -> None:
    world.policy(PORT)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        enforcer.end()
        (world.manifests / "broken.yaml").write_text("kind: [")
        enforcer.start()
        until(lambda: bool(enforcer.status.get("problems")), "it complains")
        assert "broken.yaml:1" in enforcer.status["problems"][0]["text"]
        assert not enforcer.status["synced"]
        assert "waiting for the cluster" in enforcer.command("status", status=1)
        assert not broken(world.opens(PORT), world.stays_shut(OTHER))
        (world.manifests / "broken.yaml").unlink()
        enforcer.in_sync()


def test_a_broken_file_leaves_the_rules_as_they_are(world: World) -> None:
    world.policy(PORT)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        (world.manifests / "policies.yaml").write_text(POLICY.format(port="70000"))
        until(lambda: bool(enforcer.status["problems"]), "it complains")
        assert "policies.yaml:4:" in enforcer.command("status", status=1)
        assert not broken(world.opens(PORT), world.stays_shut(OTHER))
        with world.change():
            world.policy(OTHER)
        assert not broken(world.opens(OTHER), world.stays_shut(PORT))
        assert not enforcer.status["problems"]


def test_denied_packets_are_told_with_the_policies_that_say_no(world: World) -> None:
    world.policy(PORT)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        assert not broken(world.stays_shut(OTHER))

        def told() -> list[dict[str, object]]:
            lines = map(json.loads, enforcer.log.splitlines())
            return [line for line in lines if line["message"].startswith("denied: tcp shop/client -> shop/web:9090")]

        until(lambda: len(told()) >= 2, "one of each family is told of")
        assert {tuple(line["policies"]) for line in told()} == {("shop/web",)}  # type: ignore[arg-type]
        assert {line["source_ip"] for line in told()} == set(world.client.ips)


def test_nobody_else_may_enforce_here(world: World) -> None:
    with world.enforcer as enforcer:
        enforcer.in_sync()
        said = enforcer.command("enforce", "--cluster", str(world.manifests), "--listen", "off", status=3)
        assert "an enforcer runs in this network namespace already" in said
        assert "stop it first" in enforcer.command("cleanup", status=3)
        enforcer.end(signal.SIGKILL)
        enforcer.start()
        enforcer.in_sync()


def test_cleanup_removes_ours_and_nothing_else(world: World, flavour: str) -> None:
    run = world.node.namespace.run
    run("nft", "-f", "-", stdin=FOREIGN)
    run("ipset", "create", "others", "hash:ip")
    variant = flavour.removeprefix("iptables-") if flavour != "nftables" else "legacy"
    run(f"iptables-{variant}", "-N", "OTHERS")
    run(f"iptables-{variant}", "-A", "FORWARD", "-d", "192.0.2.77", "-j", "OTHERS")
    before = state(world, variant)
    world.policy(PORT)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        assert not broken(world.stays_shut(OTHER))
        assert state(world, variant) != before
        enforcer.end()
        enforcer.command("cleanup")
        assert state(world, variant) == before
        assert not broken(world.opens(PORT), world.opens(OTHER))
        enforcer.command("cleanup")
        assert "no enforcer runs" in enforcer.command("status", status=3)


def state(world: World, variant: str) -> list[str]:
    """All rules and sets of the node, without what counts; empty tables of iptables are nobody's."""
    run = world.node.namespace.run
    saved = run(f"iptables-{variant}-save").splitlines()
    rules = [line for line in saved if line.startswith("-") or " - " in line]
    tables = [line for line in run("nft", "list", "tables").splitlines() if " inet " in line]
    others = run("nft", "-s", "list", "table", "inet", "others").splitlines()
    return [*tables, *others, *rules, run("ipset", "list", "-n")]


@either_engine
def test_rules_are_proved_by_the_snapshot(world: World, tmp_path: Path) -> None:
    world.policy(PORT)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        seen, deny = str(tmp_path / "seen.yaml"), ("--unknown-pods", "deny")
        enforcer.command("snapshot", "-o", seen)
        assert "equal" in netpolc(world.node.namespace, "verify", seen, *deny, "--node", "node1", "--live")


def test_once(world: World) -> None:
    world.policy(PORT)
    once = ("enforce", "--cluster", str(world.manifests), "--node", "node1", "--listen", "off", "--once")
    backend = world.enforcer._options[-1]
    world.enforcer.command(*once, "--backend", backend)
    assert not broken(world.opens(PORT), world.stays_shut(OTHER))
    (world.manifests / "broken.yaml").write_text("kind: [")
    world.enforcer.command(*once, "--backend", backend, status=1)
    assert not broken(world.opens(PORT), world.stays_shut(OTHER))


@either_engine
def test_open_connections_that_a_change_revokes_are_cut(world: World) -> None:
    """Those, and no others."""
    world.policy(PORT)
    (world.manifests / "more.yaml").write_text(POLICY.format(port=OTHER).replace("name: web,", "name: more,"))
    with world.enforcer as enforcer:
        enforcer.in_sync()
        kept, cut = (connected(world, port) for port in (OTHER, PORT))
        assert exchange(*kept)
        assert exchange(*cut)
        (world.manifests / "policies.yaml").unlink()
        until(lambda: not exchange(*cut), "it is cut")
        assert exchange(*kept)
        assert "open connections that policies deny now" in enforcer.log


def connected(world: World, port: int) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection that is open."""
    listener = world.web.listen(port)
    client = world.client.connect(world.web.ips[0], port)
    select.select([listener], [], [], WITHIN)
    accepted, _ = listener.accept()
    world.web.sockets.append(accepted)
    listener.close()
    return client, accepted


@either_engine
def test_a_pod_that_nobody_knows_is_closed(world: World, flavour: str) -> None:
    """Until its object is there; and what has its address when it is gone, too."""
    world.policy(PORT)
    pods = world.manifests / "pods.yaml"
    both = pods.read_text()
    with world.enforcer as enforcer:
        enforcer.in_sync()
        with world.change():
            pods.write_text(both.replace(POD.format(name="client", ips=world.client.ips), ""))
        outside = world.shared.outside
        assert not broken(
            world.stays_shut(PORT),
            attempts(world.client, outside, PORT, False),
            attempts(outside, world.client, PORT, False),
            attempts(outside, world.web, PORT, True),
            attempts(world.client, world.node, PORT, False),
            attempts(world.node, world.client, PORT, True),
        )
        with world.change():
            pods.write_text(both)
        assert not broken(
            world.opens(PORT),
            attempts(world.client, outside, PORT, True),
            attempts(world.client, world.node, PORT, True),
        )


@either_engine
def test_boot_closes_pods_until_they_are_known(world: World, flavour: str, tmp_path: Path) -> None:
    """And knows the ranges that the enforcer knew last."""
    lasting = tmp_path / "lasting"
    world.enforcer.environment["STATE_DIRECTORY"] = str(lasting)
    boot = ("boot", "--node", "node1", "--backend", flavour)
    assert "nobody knows which addresses" in world.enforcer.command(*boot, status=2)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        enforcer.end()
        clear(world.node.namespace)  # as a restart of the machine does
        assert not broken(world.opens(PORT))
        environment = {**os.environ, "STATE_DIRECTORY": str(lasting)}
        said = netpolc(world.node.namespace, *boot, "--state-dir", str(tmp_path / "run"), environment=environment)
        assert "10.1.1.0/24, fd00:1:1::/64" in said
        outside = world.shared.outside
        assert not broken(
            world.stays_shut(PORT),
            attempts(world.web, outside, PORT, False),
            attempts(outside, world.web, PORT, False),
            attempts(world.web, world.node, PORT, False),
            attempts(world.node, world.web, PORT, True),
            attempts(world.node, outside, PORT, True),
            attempts(outside, world.node, PORT, True),
        )
        enforcer.start()
        enforcer.in_sync()
        assert not broken(world.opens(PORT), attempts(world.web, outside, PORT, True))
        again = netpolc(world.node.namespace, *boot, "--state-dir", str(tmp_path / "other"), environment=environment)
        assert "in force already" in again
        assert not broken(world.opens(PORT))


def test_another_back_end_takes_over(world: World, flavour: str) -> None:
    world.policy(PORT)
    with world.enforcer as enforcer:
        enforcer.in_sync()
        enforcer.end()
        other = FLAVOURS[(FLAVOURS.index(flavour) + 1) % len(FLAVOURS)]
        world.policy(OTHER)
        once = ("--node", "node1", "--listen", "off", "--once", "--backend", other)
        enforcer.command("enforce", "--cluster", str(world.manifests), *once)
        assert not broken(world.opens(OTHER), world.stays_shut(PORT))
        assert [name for name in FLAVOURS if holds(world, name)] == [other]


def holds(world: World, backend: str) -> bool:
    """Whether a back end has rules of ours."""
    if backend == "nftables":
        return "inet netpolc\n" in world.node.namespace.run("nft", "list", "tables")
    return "NETPOLC-" in world.node.namespace.run(f"iptables-{backend.removeprefix('iptables-')}-save")
