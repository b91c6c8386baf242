"""A cluster's network on one machine: nodes, pods and the world outside as network namespaces.

Any addresses will do; every one is a host route. Nodes hang on one wire, and so does `outside`, which is their way to
everything that is nobody's:

    pod eth0 ---- p3 [node] eth0 ----.
    pod eth0 ---- p4 [node]          |---- wire ---- eth0 [outside]
    pod eth0 ---- p5 [node] eth0 ----'

- `wiring` of the pods on a node: "routed" (a veth pair each, as ptp and Calico do) or "bridged" (all on `cni0`, as
  bridge and flannel do: pods of one node meet on it without being routed);
- `between` nodes: "host-gw" (plain routes), "vxlan" (the kernel's overlay) or "tun" (an overlay in user space: packets
  of the device `tun0` in datagrams, as flannel's udp does).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType

from tests.cluster.overlay import Relay
from tests.kernel.machines import Machine

#: IPv4, IPv6.
OUTSIDE = ("198.51.100.254", "2001:db8:ffff::254")
#: What every pod takes for its router, as Calico has it.
_GATEWAY = ("169.254.1.1", "fe80::1")
_PORT = 8472
_BRIDGED = {f"net.bridge.bridge-nf-call-{tool}": 1 for tool in ("iptables", "ip6tables")}
_NO_DAD = {"net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0}
_FORWARDING = {
    **_NO_DAD,
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
}


@dataclass(slots=True)
class Place:
    """Where a pod is: its machine, its node, and the name of the node's end of its cable."""

    machine: Machine
    node: str
    port: str


class Network:
    """`with Network() as network:`; nodes and pods come and go, names are the callers'."""

    def __init__(self, wiring: str = "routed", between: str = "host-gw", bridge_netfilter: bool = True) -> None:
        assert wiring in ("routed", "bridged"), wiring
        assert between in ("host-gw", "vxlan", "tun"), between
        self.wiring, self.between, self._bridge_netfilter = wiring, between, bridge_netfilter
        self.nodes: dict[str, Machine] = {}
        self.pods: dict[str, Place] = {}
        self._numbers = count(1)
        self._number_of: dict[str, int] = {}
        self._elsewhere: set[str] = set()
        self._wire = Machine("wire", ())
        self.outside = Machine("outside", OUTSIDE)
        self._relay: Relay | None = None
        try:
            self._wire.namespace.sysctl(_NO_DAD)
            self._wire.namespace.ip("link add br0 type bridge", "link set br0 up")
            self.outside.namespace.sysctl(_FORWARDING)
            self._plug_in(self.outside)
            self._relay = Relay(self._node_of) if between == "tun" else None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Network:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._relay is not None:
            self._relay.close()
        for machine in (*(p.machine for p in self.pods.values()), *self.nodes.values(), self.outside, self._wire):
            machine.close()

    def machine(self, name: str) -> Machine:
        """A pod by `namespace/name`, a node by its name."""
        return self.pods[name].machine if name in self.pods else self.nodes[name]

    def holder(self, address: str) -> Machine:
        """Who has the address: a pod, a node, else `outside`, which is given it."""
        for machine in (*(p.machine for p in self.pods.values()), *self.nodes.values()):
            if address in machine.ips:
                return machine
        if address not in {*OUTSIDE, *self._elsewhere}:
            self._elsewhere.add(address)
            self.outside.namespace.ip(f"addr add {address} dev lo" + (" nodad" if ":" in address else ""))
        return self.outside

    # Nodes

    def add_node(self, name: str, ips: Sequence[str]) -> Machine:
        """The first address of each family is what it sends from."""
        number = self._number_of[name] = next(self._numbers)
        node = Machine(name, tuple(ips))
        others = list(self.nodes.values())
        self.nodes[name] = node
        node.namespace.sysctl(
            {**_FORWARDING, **(_BRIDGED if self.wiring == "bridged" and self._bridge_netfilter else {})}
        )
        self._plug_in(node)
        lines = [f"route add {'::/0' if ':' in via else 'default'} via {via} dev eth0 onlink" for via in OUTSIDE]
        if self.wiring == "bridged":
            lines += ["link add cni0 type bridge", "link set cni0 up", *_own(_GATEWAY, "cni0")]
        if self.between == "vxlan":
            lines += [
                f"link add vx0 address {_hardware(number)} type vxlan id 7 dstport {_PORT} dev eth0 local {node.ips[0]}"
                " nolearning",
                "link set vx0 up",
                *_own(_transfer(number), "vx0"),
            ]
        elif self._relay is not None:
            self._relay.add(name, node.namespace, node.ips[0])
            lines.append("link set tun0 up mtu 1400")
        node.namespace.ip(*lines)
        for other in others:
            self._acquaint(node, other)
            self._acquaint(other, node)
        for place in self.pods.values():
            node.namespace.ip(*self._ways(name, place))
        return node

    def _plug_in(self, machine: Machine) -> None:
        port = f"w{self._number_of.get(machine.name, 0)}"
        self._wire.namespace.ip(
            f"link add {port} type veth peer name eth0 netns {machine.namespace.path}",
            f"link set {port} up master br0",
        )
        machine.namespace.ip(*_own(machine.ips, "eth0"), "link set eth0 up")
        if machine is not self.outside:
            self.outside.namespace.ip(*(f"route add {address} dev eth0" for address in machine.ips))
            machine.namespace.ip(*(f"route add {address} dev eth0" for address in OUTSIDE))

    def _acquaint(self, node: Machine, other: Machine) -> None:
        lines = [f"route add {address} dev eth0{_from(node, address)}" for address in other.ips]
        node.namespace.ip(*lines)
        if self.between == "vxlan":
            number = self._number_of[other.name]
            hardware, local = _hardware(number), other.ips[0]
            node.namespace.ip(*(f"neigh add {a} lladdr {hardware} dev vx0 nud permanent" for a in _transfer(number)))
            node.namespace.run("bridge", "fdb", "append", hardware, "dev", "vx0", "dst", local)

    # Pods

    def add_pod(self, name: str, node: str, ips: Sequence[str]) -> Machine:
        """`name`: namespace/name."""
        machine = Machine(name, tuple(ips))
        place = self.pods[name] = Place(machine, node, f"p{next(self._numbers)}")
        host = self.nodes[node]
        machine.namespace.sysctl(_NO_DAD)
        host.namespace.ip(
            f"link add {place.port} type veth peer name eth0 netns {machine.namespace.path}",
            f"link set {place.port} up",
            *(
                [f"link set {place.port} master cni0", f"link set {place.port} type bridge_slave hairpin on"]
                if self.wiring == "bridged"
                else _own(_GATEWAY, place.port)
            ),
            *self._ways(node, place),
        )
        machine.namespace.ip(
            "link set eth0 up",
            *_own(machine.ips, "eth0"),
            f"route add {_GATEWAY[0]} dev eth0",
            *(f"route add {_any(address)} via {_GATEWAY[':' in address]} dev eth0" for address in _firsts(ips)),
        )
        if self.wiring == "bridged":
            self._meet_neighbours(name)
        for other in {*self.nodes} - {node}:
            self.nodes[other].namespace.ip(*self._ways(other, place))
        self.outside.namespace.ip(
            *(f"route replace {address} via {_same(host.ips, address)} dev eth0 onlink" for address in ips)
        )
        return machine

    def delete_pod(self, name: str) -> None:
        """Its machine is gone with its connections, and every way to it."""
        place = self.pods.pop(name)
        self.nodes[place.node].namespace.ip(f"link del {place.port}")
        for other in {*self.nodes} - {place.node}:
            self.nodes[other].namespace.ip(*(f"route del {address}" for address in place.machine.ips))
        self.outside.namespace.ip(*(f"route del {address}" for address in place.machine.ips))
        place.machine.close()

    def _ways(self, node: str, place: Place) -> list[str]:
        """Routes of a node to a pod, wherever it is."""
        here, addresses = self.nodes[node], place.machine.ips
        if place.node == node:
            device = "cni0" if self.wiring == "bridged" else place.port
            return [f"route replace {address} dev {device}{_from(here, address)}" for address in addresses]
        there = self.nodes[place.node]
        found = []
        for address in addresses:
            match self.between:
                case "host-gw":
                    way = f"via {_same(there.ips, address)} dev eth0 onlink"
                case "vxlan":
                    way = f"via {_transfer(self._number_of[place.node])[':' in address]} dev vx0 onlink"
                case _:
                    way = "dev tun0"
            found.append(f"route replace {address} {way}{_from(here, address)}")
        return found

    def _meet_neighbours(self, name: str) -> None:
        """On a bridge pods of one node talk without a router."""
        new = self.pods[name]
        for other in [p for n, p in self.pods.items() if p.node == new.node and n != name]:
            new.machine.namespace.ip(*(f"route replace {address} dev eth0" for address in other.machine.ips))
            other.machine.namespace.ip(*(f"route replace {address} dev eth0" for address in new.machine.ips))

    def _node_of(self, address: str) -> str | None:
        """Whose pod has it."""
        return next((p.node for p in self.pods.values() if address in p.machine.ips), None)


def _own(addresses: Iterable[str], device: str) -> list[str]:
    return [f"addr add {a}/{128 if ':' in a else 32} dev {device}{' nodad' if ':' in a else ''}" for a in addresses]


def _any(address: str) -> str:
    return "::/0" if ":" in address else "default"


def _firsts(addresses: Iterable[str]) -> list[str]:
    """The first of each family."""
    return list({":" in address: address for address in reversed(list(addresses))}.values())


def _same(addresses: Iterable[str], like: str) -> str:
    """The first of the same family; a cluster that routes a family has it on its nodes."""
    return next(address for address in addresses if (":" in address) == (":" in like))


def _from(machine: Machine, like: str) -> str:
    own = [address for address in machine.ips if (":" in address) == (":" in like)]
    return f" src {own[0]}" if own else ""


def _transfer(number: int) -> tuple[str, str]:
    """A node's addresses on the overlay."""
    return f"198.18.0.{number}", f"fd00:198:18::{number:x}"


def _hardware(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"
