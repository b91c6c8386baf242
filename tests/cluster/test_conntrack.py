"""Open connections when a change revokes some: exactly those end, whatever they are and wherever they go."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest

from compiler.backends.target import Backend, Target
from compiler.ir.ruleset import Ruleset
from compiler.pipeline import Compiler
from compiler.snapshot import build
from compiler.sources.manifests import load
from enforcer.flows.addresses import local_addresses
from enforcer.flows.conntrack import Conntrack
from enforcer.flows.flows import Flow
from enforcer.flows.holds import holds_of
from enforcer.flows.walk import Walk
from tests.cluster.bed import Bed
from tests.cluster.conftest import Maker
from tests.cluster.shop import populated
from tests.kernel.compiled import pods, policy, port
from tests.kernel.machines import ALLOWED_WITHIN, DENIED_AFTER, Machine
from tests.kernel.packets import packed
from tests.kernel.rig import BACKEND, FLAVOURS

pytestmark = pytest.mark.kernel

FAMILIES = (0, 1)
VIRTUAL = ("10.96.0.10", "fd00:96::10")


@dataclass(slots=True)
class Connection:
    """A real one, both ends here."""

    name: str
    client: socket.socket
    server: socket.socket

    def alive(self, patience: float = ALLOWED_WITHIN) -> bool:
        """Whether bytes arrive in both directions."""
        return all(_carries(a, b, patience) for a, b in ((self.client, self.server), (self.server, self.client)))

    def silent(self) -> bool:
        """Whether nothing arrives any more, in either direction."""
        ends = ((self.client, self.server), (self.server, self.client))
        carried = [_carries(a, b, DENIED_AFTER / 2) for a, b in ends]  # both are tried
        return not any(carried)


def _carries(one: socket.socket, other: socket.socket, patience: float) -> bool:
    word = os.urandom(8)
    with suppress(OSError):
        one.send(word)
    end = time.monotonic() + patience
    while select.select([other], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            data = other.recv(65536)
        except OSError:
            return False
        if data.endswith(word):
            return True
        if not data:
            return False
    return False


def connect(client: Machine, server: Machine, address: str, number: int, at: int | None = None) -> Connection:
    """TCP."""
    listener = server.listen(at or number)
    opened = client.connect(address, number)
    assert select.select([listener], [], [], ALLOWED_WITHIN)[0]
    accepted, _ = listener.accept()
    accepted.setblocking(False)
    listener.close()
    server.sockets.append(accepted)
    return Connection(f"{client.name} -> {address}:{number}", opened, accepted)


def converse(client: Machine, server: Machine, address: str, number: int) -> Connection:
    """UDP, both ends connected."""
    with client.namespace:
        one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    client.sockets.append(one)
    with server.namespace:
        other = socket.socket(one.family, socket.SOCK_DGRAM)
    server.sockets.append(other)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind((address, number))
    one.connect((address, number))
    one.send(b"hello")
    assert select.select([other], [], [], ALLOWED_WITHIN)[0]
    _, where = other.recvfrom(64)
    other.connect(where)
    for end in (one, other):
        end.setblocking(False)
    return Connection(f"{client.name} -> {address}:{number} udp", one, other)


class Cutting:
    """What an enforcer of each node would do about connections when objects change."""

    def __init__(self, bed: Bed, flavour: str) -> None:
        self._bed, self._backend = bed, Backend(BACKEND[flavour])
        self._tables: dict[str, Conntrack] = {}
        for name, node in bed.network.nodes.items():
            with node.namespace:
                self._tables[name] = Conntrack(holds_of(flavour))
        self._before = self._rulesets()

    def close(self) -> None:
        for table in self._tables.values():
            table.close()

    def _rulesets(self) -> dict[str, Ruleset]:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(self._bed.objects.values())})
        found = load([("objects.json", text.encode())])
        compiler = Compiler(found.policies, build(found.pods, found.namespaces, found.nodes))
        return {n: compiler.compile(Target(self._backend, n)).ruleset for n in self._bed.network.nodes}

    def cut(self, forgetful: bool = False) -> list[Flow]:
        """Now that other rules are in force. `forgetful`: what was in force before is not known."""
        before, now = self._before, self._rulesets()
        self._before = now
        cut: list[Flow] = []
        for name, table in self._tables.items():
            node = self._bed.network.nodes[name]
            with node.namespace:
                local = local_addresses()
            numbers = frozenset(int.from_bytes(address, "big") for address in local)
            pods = frozenset(
                packed(ip)
                for place in self._bed.network.pods.values()
                if place.node == name
                for ip in place.machine.ips
            )
            old = None if forgetful else Walk(before[name], numbers).passes
            with node.namespace:
                cut += table.cut(pods, local, Walk(now[name], numbers).passes, old)
        return cut


KINDS = [(flavour, "routed", "host-gw") for flavour in FLAVOURS] + [("nftables", "bridged", "vxlan")]


@pytest.fixture(params=KINDS, ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    return tuple(request.param)


@pytest.fixture
def flavour(kind: tuple[str, str, str]) -> str:
    return kind[0]


@pytest.fixture
def bed(make_bed: Maker, kind: tuple[str, str, str]) -> Bed:
    return populated(make_bed(*kind))


@pytest.fixture
def cutting(bed: Bed, flavour: str) -> Iterator[Cutting]:
    found = Cutting(bed, flavour)
    yield found
    found.close()


def judge(gone: Sequence[Connection], kept: Sequence[Connection]) -> None:
    assert [one.name for one in kept if not one.alive()] == []
    assert [one.name for one in gone if not one.silent()] == []
    assert [one.name for one in kept if not one.alive()] == []


def test_only_what_is_revoked_ends(bed: Bed, cutting: Cutting) -> None:
    """Two clients of one server, on its node and on another; one of them, and one port, are revoked."""
    db = bed.machine("shop/db1")
    web, spy, batch = (bed.machine(name) for name in ("shop/web1", "other/spy", "shop/batch"))
    kept, gone = [], []
    for n in FAMILIES:
        kept += [connect(web, db, db.ips[n], 5432), converse(web, db, db.ips[n], 5432)]
        kept += [connect(batch, bed.machine("other/web"), bed.machine("other/web").ips[n], 80)]
        gone += [connect(spy, db, db.ips[n], 5432), converse(spy, db, db.ips[n], 5432)]
        gone += [connect(web, db, db.ips[n], 5433), connect(bed.network.outside, db, db.ips[n], 5432)]
        kept += [connect(bed.network.nodes["node1"], db, db.ips[n], 99)]  # a node to its own pod
    assert all(one.alive() for one in (*kept, *gone))
    ports = [port(5432), port(5432, "UDP")]
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")], "ports": ports}]))
    assert all(one.alive() for one in (*kept, *gone)), "established, and never asked again"
    begun = time.monotonic()
    cut = cutting.cut()
    assert time.monotonic() - begun < 1
    assert len(cut) == len(gone), list(map(str, cut))
    judge(gone, kept)
    assert cutting.cut() == [], "once is enough"


def test_egress_and_the_node_itself(bed: Bed, cutting: Cutting) -> None:
    batch, db, node3 = bed.machine("shop/batch"), bed.machine("shop/db2"), bed.network.nodes["node3"]
    kept, gone = [], []
    for n in FAMILIES:
        kept.append(connect(batch, db, db.ips[n], 5432))
        gone += [
            connect(batch, node3, node3.ips[n], 80),
            connect(batch, bed.network.outside, bed.network.outside.ips[n], 80),
        ]
    bed.put(policy("shop", "batch", "app=batch", egress=[{"to": [pods("app=db")]}], policyTypes=["Egress"]))
    cut = cutting.cut()
    assert len(cut) == len(gone), list(map(str, cut))
    judge(gone, kept)


def test_services(bed: Bed, cutting: Cutting) -> None:
    """A connection to a service's address is one to the pod behind it."""
    db = bed.machine("shop/db2")
    for node in bed.network.nodes.values():
        node.namespace.run("nft", "-f", "-", stdin=_service(db))
    web, spy = bed.machine("shop/web1"), bed.machine("other/web")
    kept = [connect(web, db, VIRTUAL[n], 80, 5432) for n in FAMILIES]
    gone = [connect(spy, db, VIRTUAL[n], 80, 5432) for n in FAMILIES]
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")], "ports": [port(5432)]}]))
    cut = cutting.cut()
    assert len(cut) == len(gone), "on the server's node alone: the client's has nothing against it"
    judge(gone, kept)


def revoked_and_closed(bed: Bed, cutting: Cutting) -> list[int]:
    """The ports of the spy's connections to the database, which were cut, and closed then."""
    db, spy = bed.machine("shop/db1"), bed.machine("other/spy")
    streams = [connect(spy, db, db.ips[n], 5432) for n in FAMILIES]
    ports = [stream.client.getsockname()[1] for stream in streams]
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")]}]))
    assert len(cutting.cut()) == len(streams)
    judge(streams, [])
    for stream in streams:
        for end in (stream.client, stream.server):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, and no TIME_WAIT
            end.close()
    return ports


def from_port(client: Machine, own: int, server: Machine, n: int, number: int) -> Connection:
    again = client.client(server.ips[n])
    again.bind((client.ips[n], own))
    listener = server.listen(number)
    again.connect_ex((server.ips[n], number))
    assert select.select([listener], [], [], ALLOWED_WITHIN)[0]
    accepted, _ = listener.accept()
    server.sockets.append(accepted)
    accepted.setblocking(False)
    listener.close()
    return Connection("again", again, accepted)


def test_what_is_allowed_again_begins_again(bed: Bed, cutting: Cutting) -> None:
    """From the very same ports."""
    db, spy = bed.machine("shop/db1"), bed.machine("other/spy")
    ports = revoked_and_closed(bed, cutting)
    bed.delete(("NetworkPolicy", "shop", "db"))
    assert cutting.cut() == []
    assert all(from_port(spy, ports[n], db, n, 5432).alive() for n in FAMILIES)


def test_the_other_end_may_begin(bed: Bed, cutting: Cutting) -> None:
    """The database may open what the spy may not, between the same ports even."""
    db, spy = bed.machine("shop/db1"), bed.machine("other/spy")
    ports = revoked_and_closed(bed, cutting)
    assert all(from_port(db, 5432, spy, n, ports[n]).alive() for n in FAMILIES)
    assert cutting.cut() == []


def test_a_forgetful_enforcer_cuts_what_is_denied(bed: Bed, cutting: Cutting) -> None:
    """Restarted, it does not know what was allowed; what is open was."""
    db = bed.machine("shop/db1")
    kept = [connect(bed.machine("shop/web1"), db, db.ips[n], 5432) for n in FAMILIES]
    gone = [connect(bed.machine("other/spy"), db, db.ips[n], 5432) for n in FAMILIES]
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")]}]))
    assert len(cutting.cut(forgetful=True)) == len(gone)
    judge(gone, kept)


def test_how_many_is_logged_before(bed: Bed, cutting: Cutting, caplog: pytest.LogCaptureFixture) -> None:
    db, spy = bed.machine("shop/db1"), bed.machine("other/spy")
    connect(spy, db, db.ips[0], 5432)
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")]}]))
    with caplog.at_level(logging.INFO, "netpolc"):
        cutting.cut()
    assert [r.message for r in caplog.records if r.levelno == logging.INFO] == [
        f"cutting 1 open connections that policies deny now: {spy.ips[0]} -> {db.ips[0]} protocol 6 port 5432"
    ]


def test_nothing_of_it_stays(bed: Bed, cutting: Cutting, flavour: str) -> None:
    db, spy = bed.machine("shop/db1"), bed.machine("other/spy")
    connect(spy, db, db.ips[0], 5432)
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")]}]))
    assert cutting.cut()
    node = bed.network.nodes["node1"].namespace

    def found() -> str:
        listed = node.run("nft", "list", "ruleset") if flavour != "iptables-legacy" else ""
        saved = node.run("iptables-legacy-save") + node.run("ip6tables-legacy-save")
        return listed + (saved if flavour == "iptables-legacy" else "") + node.run("ipset", "save")

    assert "netpolc-cut" in found() or "CUT-NETPOLC" in found()
    with node:
        holds = holds_of(flavour)
        holds.remove()
        holds.remove()
        holds.close()
    assert "netpolc-cut" not in found()
    assert "CUT-NETPOLC" not in found()
    assert "cut-netpolc" not in found()


def _service(db: Machine) -> str:
    return f"""
table inet proxy {{
	chain prerouting {{
		type nat hook prerouting priority dstnat ; policy accept ;
		ip daddr {VIRTUAL[0]} tcp dport 80 dnat ip to {db.ips[0]}:5432
		ip6 daddr {VIRTUAL[1]} tcp dport 80 dnat ip6 to [{db.ips[1]}]:5432
	}}
}}
"""


@pytest.mark.parametrize("direction", ["to the server", "to the client"])
def test_a_stream_ends(bed: Bed, cutting: Cutting, direction: str) -> None:
    """Packets in full flight, of which conntrack would make a connection again: in the direction that nobody denies
    as well."""
    db, spy = bed.machine("shop/db1"), bed.machine("other/spy")
    streams = [connect(spy, db, db.ips[n], 5432) for n in FAMILIES]
    pairs = [(s.client, s.server) if direction == "to the server" else (s.server, s.client) for s in streams]
    assert all(flowing(*pair, 0.3) > 100_000 for pair in pairs)
    bed.put(policy("shop", "db", "app=db", ingress=[{"from": [pods("app=web")]}]))
    stop = threading.Event()
    busy = [threading.Thread(target=_keep_flowing, args=(*pair, stop)) for pair in pairs]
    for thread in busy:
        thread.start()
    time.sleep(0.2)
    assert len(cutting.cut()) == len(pairs)
    time.sleep(0.5)
    stop.set()
    for thread in busy:
        thread.join()
    assert [flowing(*pair, 0.5) for pair in pairs] == [0, 0]
    judge(streams, [])


def _keep_flowing(sender: socket.socket, receiver: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        flowing(sender, receiver, 0.01)


def flowing(sender: socket.socket, receiver: socket.socket, seconds: float) -> int:
    """How many bytes arrive in that time, of as many as the sender can send."""
    found, block, end = 0, bytes(65536), time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            sender.send(block)
        with suppress(OSError):
            found += len(receiver.recv(1 << 20))
    return found
