"""Pods and nodes as network namespaces with real stacks, and real connections between them.

A `Cluster` has nodes on one wire, pods behind veth pairs, and routes between the nodes' pod networks:
- `wiring` of pods on a node: "routed" (a veth pair and a host route each) or "bridged" (all on the bridge `cni0`, whose
  packets netfilter sees because of br_netfilter);
- `between` nodes: "host-gw" (plain routes) or "vxlan" (an overlay).
"""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.kernel.namespace import Namespace

#: Seconds. A handshake on one machine takes well under a millisecond, and SYNs are sent again after 1 s: a connection
#: that is not there after this time was dropped.
DENIED_AFTER = 0.3
#: For what is expected to work, however busy the machine is.
ALLOWED_WITHIN = 5.0

_FORWARDING = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 0,
}
_QUIET = {"net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0}


@dataclass(slots=True)
class Machine:
    """A namespace with a stack of its own. `ips` are IPv4, IPv6."""

    name: str
    ips: tuple[str, str]
    namespace: Namespace = field(default_factory=Namespace)
    sockets: list[socket.socket] = field(default_factory=list)

    def listen(self, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A server on every address of the machine, both families."""
        with self.namespace:
            server = socket.socket(socket.AF_INET6, kind)
        self.sockets.append(server)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            server.listen(64)
        server.setblocking(False)
        return server

    def client(self, address: str, kind: int = socket.SOCK_STREAM, source: str = "") -> socket.socket:
        """A client's socket for that address, not connected; from `source` where it is given."""
        with self.namespace:
            client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        self.sockets.append(client)
        client.setblocking(False)
        if source:
            client.bind((source, 0))
        return client

    def connect(self, address: str, port: int, patience: float, source: str = "") -> socket.socket | None:
        """An established TCP connection; None when none comes about within `patience` seconds."""
        client = self.client(address, source=source)
        client.connect_ex((address, port))
        if _ready(client, select.POLLOUT, patience) and not client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return client
        client.close()
        return None

    def close(self) -> None:
        for one in self.sockets:
            one.close()
        self.namespace.close()


class Cluster:
    """Node n (from 1) has the addresses 192.0.2.n and 2001:db8::n; pods on it have 10.1.n.* and fd00:1:n::*."""

    def __init__(self, nodes: int = 1, wiring: str = "routed", between: str = "host-gw") -> None:
        self.wiring, self.between = wiring, between
        self.pods: dict[str, Machine] = {}
        self.nodes: list[Machine] = []
        self._homes: dict[str, int] = {}
        self._wire = Machine("wire", ("", ""))
        try:
            self._wire.namespace.sysctl(_QUIET)
            self._wire.namespace.ip("link add br0 type bridge", "link set br0 up")
            for n in range(1, nodes + 1):
                self._add_node(n)
            for n in range(1, nodes + 1):
                for other in {*range(1, nodes + 1)} - {n}:
                    self._connect(n, other)
            self.outside = self._add_to_wire(Machine("outside", ("192.0.2.99", "2001:db8::99")))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for machine in (
            *self.pods.values(),
            *self.nodes,
            self._wire,
            *([self.outside] if hasattr(self, "outside") else []),
        ):
            machine.close()

    def node(self, number: int = 1) -> Machine:
        return self.nodes[number - 1]

    def node_of(self, pod: str) -> int:
        return self._homes[pod]

    def add_pod(self, name: str, node: int = 1) -> Machine:
        """`name` is namespace/name. Addresses are given out in order."""
        number = len(self.pods) + 11
        pod = Machine(name, (f"10.1.{node}.{number}", f"fd00:1:{node}::{number}"))
        self.pods[name] = pod
        self._homes[name] = node
        pod.namespace.sysctl(_QUIET)
        host, port = self.node(node).namespace, f"v{number}"
        host.ip(f"link add {port} type veth peer name eth0 netns {pod.namespace.path}", f"link set {port} up")
        gateway4, gateway6 = f"10.1.{node}.1", f"fd00:1:{node}::1"
        own4, own6 = pod.ips
        if self.wiring == "bridged":
            host.ip(f"link set {port} master cni0", f"link set {port} type bridge_slave hairpin on")
            own4, own6 = f"{own4}/24", f"{own6}/64"
            ways: list[str] = []
        else:
            host.ip(
                *(f"addr add {a} dev {port} {quiet}" for a, quiet in ((gateway4, ""), (gateway6, "nodad"))),
                *(f"route add {a} dev {port}" for a in pod.ips),
            )
            ways = [f"route add {gateway4} dev eth0", f"route add {gateway6} dev eth0"]
        pod.namespace.ip(
            "link set eth0 up",
            f"addr add {own4} dev eth0",
            f"addr add {own6} dev eth0 nodad",
            *ways,
            f"route add default via {gateway4}",
            f"route add ::/0 via {gateway6}",
        )
        return pod

    def _add_node(self, n: int) -> None:
        node = Machine(f"node{n}", (f"192.0.2.{n}", f"2001:db8::{n}"))
        self.nodes.append(node)
        node.namespace.sysctl(_FORWARDING)
        self._add_to_wire(node)
        if self.wiring == "bridged":
            node.namespace.ip(
                "link add cni0 type bridge",
                f"addr add 10.1.{n}.1/24 dev cni0",
                f"addr add fd00:1:{n}::1/64 dev cni0 nodad",
                "link set cni0 up",
            )
            node.namespace.sysctl({f"net.bridge.bridge-nf-call-{t}": 1 for t in ("iptables", "ip6tables")})

    def _add_to_wire(self, machine: Machine) -> Machine:
        port = f"w{machine.name[-4:]}"
        wire = self._wire.namespace
        wire.ip(
            f"link add {port} type veth peer name eth0 netns {machine.namespace.path}", f"link set {port} master br0 up"
        )
        machine.namespace.ip(
            f"addr add {machine.ips[0]}/24 dev eth0", f"addr add {machine.ips[1]}/64 dev eth0 nodad", "link set eth0 up"
        )
        return machine

    def _connect(self, n: int, other: int) -> None:
        """Routes from node n to the pods of another node."""
        here, there = self.node(n), self.node(other)
        if self.between == "host-gw":
            ways = [f"via {address}" for address in there.ips]
        else:
            device = f"vx{other}"
            here.namespace.ip(
                f"link add {device} type vxlan id 1{min(n, other)}{max(n, other)} dstport 8472 dev eth0"
                f" local {here.ips[0]} remote {there.ips[0]}",
                f"addr add 10.1.{n}.0/32 dev {device}",
                f"addr add fd00:1:{n}::ff/128 dev {device} nodad",
                f"link set {device} up",
            )
            ways = [f"via 10.1.{other}.0 dev {device} onlink", f"via fd00:1:{other}::ff dev {device} onlink"]
        here.namespace.ip(f"route add 10.1.{other}.0/24 {ways[0]}", f"route add fd00:1:{other}::/64 {ways[1]}")


def bridge_netfilter() -> bool:
    """Whether the kernel shows bridged packets to iptables and nft's inet tables."""
    return Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists()


def talks(client: socket.socket, server: socket.socket, patience: float = ALLOWED_WITHIN) -> bool:
    """Whether bytes go both ways over an established connection; accepts it at the server."""
    if not _ready(server, select.POLLIN, patience):
        return False
    accepted, _ = server.accept()
    with accepted:
        return exchange(client, accepted, patience)


def exchange(one: socket.socket, other: socket.socket, patience: float = ALLOWED_WITHIN) -> bool:
    """Whether bytes arrive in both directions between two connected sockets."""
    for sender, receiver in ((one, other), (other, one)):
        word = os.urandom(8)
        sender.send(word)
        if not _ready(receiver, select.POLLIN, patience) or receiver.recv(64) != word:
            return False
    return True


def asks(client: Machine, address: str, port: int, server: socket.socket, patience: float) -> bool:
    """UDP: whether a question arrives at the server and its answer at the client."""
    asking = client.client(address, socket.SOCK_DGRAM)
    with asking:
        question = os.urandom(8)
        asking.sendto(question, (address, port))
        end = time.monotonic() + patience
        while _ready(server, select.POLLIN, end - time.monotonic()):
            data, where = server.recvfrom(64)
            server.sendto(b"re:" + data, where)
            if data == question:
                return _ready(asking, select.POLLIN, patience) and asking.recv(64) == b"re:" + question
    return False


def _ready(one: socket.socket, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(one, event)
    return bool(poll.poll(max(0.0, seconds) * 1000))
