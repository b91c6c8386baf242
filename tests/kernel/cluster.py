"""Nodes and pods as network namespaces.

Nodes hang on one wire, and so does a machine outside the cluster, which is their way to the rest of the world:
- `wiring` of the pods on a node: "routed" (a veth pair and a host route each) or "bridged" (all on the bridge `cni0`,
  whose packets netfilter sees because of br_netfilter);
- `between` nodes: "host-gw" (plain routes) or "vxlan" (an overlay).
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from tests.kernel.machines import Machine

_NO_DAD = {"net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0}
_FORWARDING = {
    **_NO_DAD,
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
}


def bridge_netfilter() -> bool:
    """Whether the kernel can show bridged packets to iptables and to nft's inet tables."""
    return Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists()


class Cluster:
    """Node n (from 1) has the addresses 192.0.2.n and 2001:db8::n; pods on it have 10.1.n.* and fd00:1:n::*."""

    def __init__(self, nodes: int = 1, wiring: str = "routed", between: str = "host-gw") -> None:
        self.wiring, self.between = wiring, between
        self.nodes: list[Machine] = []
        self.pods: dict[str, Machine] = {}
        self._homes: dict[str, int] = {}
        self._wire = Machine("wire", ("", ""))
        self.outside = Machine("outside", ("192.0.2.99", "2001:db8::99"))
        try:
            self._wire.namespace.sysctl(_NO_DAD)
            self._wire.namespace.ip("link add br0 type bridge", "link set br0 up")
            self._add_to_wire(self.outside)
            for n in range(1, nodes + 1):
                self._add_node(n)
            for n in range(1, nodes + 1):
                for other in {*range(1, nodes + 1)} - {n}:
                    self._connect(n, other)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for machine in (*self.pods.values(), *self.nodes, self.outside, self._wire):
            machine.close()

    def node(self, number: int = 1) -> Machine:
        return self.nodes[number - 1]

    def node_of(self, pod: str) -> str:
        """The name of a pod's node."""
        return self.node(self._homes[pod]).name

    def add_pod(self, name: str, node: int = 1) -> Machine:
        """`name` is namespace/name. Addresses are given out in order."""
        number = len(self.pods) + 11
        pod = self.pods[name] = Machine(name, (f"10.1.{node}.{number}", f"fd00:1:{node}::{number}"))
        self._homes[name] = node
        pod.namespace.sysctl(_NO_DAD)
        host, port = self.node(node).namespace, f"v{number}"
        host.ip(f"link add {port} type veth peer name eth0 netns {pod.namespace.path}", f"link set {port} up")
        gateways = (f"10.1.{node}.1", f"fd00:1:{node}::1")
        if self.wiring == "bridged":
            host.ip(f"link set {port} master cni0", f"link set {port} type bridge_slave hairpin on")
            lengths, ways = ("/24", "/64"), []
        else:
            host.ip(
                f"addr add {gateways[0]} dev {port}",
                f"addr add {gateways[1]} dev {port} nodad",
                *(f"route add {address} dev {port}" for address in pod.ips),
            )
            lengths, ways = ("", ""), [f"route add {gateway} dev eth0" for gateway in gateways]
        pod.namespace.ip(
            "link set eth0 up",
            f"addr add {pod.ips[0]}{lengths[0]} dev eth0",
            f"addr add {pod.ips[1]}{lengths[1]} dev eth0 nodad",
            *ways,
            *_default(gateways),
        )
        return pod

    def _add_node(self, n: int) -> None:
        node = Machine(f"node{n}", (f"192.0.2.{n}", f"2001:db8::{n}"))
        self.nodes.append(node)
        node.namespace.sysctl(_FORWARDING)
        self._add_to_wire(node)
        node.namespace.ip(*_default(self.outside.ips))
        self.outside.namespace.ip(*_to_pods(n, node.ips))
        if self.wiring == "bridged":
            node.namespace.ip(
                "link add cni0 type bridge",
                f"addr add 10.1.{n}.1/24 dev cni0",
                f"addr add fd00:1:{n}::1/64 dev cni0 nodad",
                "link set cni0 up",
            )
            node.namespace.sysctl({f"net.bridge.bridge-nf-call-{tool}": 1 for tool in ("iptables", "ip6tables")})

    def _add_to_wire(self, machine: Machine) -> None:
        port = f"w-{machine.name}"
        self._wire.namespace.ip(
            f"link add {port} type veth peer name eth0 netns {machine.namespace.path}",
            f"link set {port} up master br0",
        )
        machine.namespace.ip(
            f"addr add {machine.ips[0]}/24 dev eth0",
            f"addr add {machine.ips[1]}/64 dev eth0 nodad",
            "link set eth0 up",
        )

    def _connect(self, n: int, other: int) -> None:
        """Routes from node n to the pods of another node."""
        here, there = self.node(n), self.node(other)
        if self.between == "host-gw":
            here.namespace.ip(*_to_pods(other, there.ips))
            return
        device = f"vx{other}"
        here.namespace.ip(
            f"link add {device} type vxlan id 1{min(n, other)}{max(n, other)} dstport 8472 dev eth0"
            f" local {here.ips[0]} remote {there.ips[0]}",
            f"addr add 10.1.{n}.0/32 dev {device}",
            f"addr add fd00:1:{n}::ff/128 dev {device} nodad",
            f"link set {device} up",
            *_to_pods(other, (f"10.1.{other}.0 dev {device} onlink", f"fd00:1:{other}::ff dev {device} onlink")),
        )


def _to_pods(node: int, ways: tuple[str, ...]) -> tuple[str, str]:
    return f"route add 10.1.{node}.0/24 via {ways[0]}", f"route add fd00:1:{node}::/64 via {ways[1]}"


def _default(gateways: tuple[str, ...]) -> tuple[str, str]:
    return f"route add default via {gateways[0]}", f"route add ::/0 via {gateways[1]}"
