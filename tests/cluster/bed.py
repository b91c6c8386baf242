"""A cluster that runs: objects on one side, a network and rules on the other, changed together.

`put` and `delete` do what a cluster does: a pod has its network before the API tells its address, and loses its object
before its network. Whoever brings the rules (`Agents`) sees the objects by the store alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from compiler.resources.cluster import TERMINAL_PHASES
from tests.cluster.agents import Agents
from tests.cluster.network import Network
from tests.cluster.probes import Probe, Servers, untrue
from tests.cluster.store import Key, Object, Store, key_of
from tests.kernel.machines import Machine

#: Seconds until what was changed has to be in force everywhere, on a machine that has other things to do.
SETTLES_WITHIN = 60.0


class Bed:
    """`with Bed(...) as bed:`. Owns the network, the store and the agents: all are closed with it."""

    def __init__(
        self,
        store: Store,
        agents: Agents,
        wiring: str = "routed",
        between: str = "host-gw",
        bridge_netfilter: bool = True,
    ) -> None:
        self.store, self.agents = store, agents
        self.objects: dict[Key, Object] = {}
        self.network = Network(wiring, between, bridge_netfilter)
        self.servers = Servers()

    def __enter__(self) -> Bed:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.agents.close()
        self.servers.close()
        self.network.close()
        self.store.close()

    # Objects

    def put(self, *items: Object) -> None:
        """Creates them or replaces those of the same keys, in this order."""
        for item in items:
            key = key_of(item)
            self.objects[key] = item
            match item["kind"]:
                case "Node":
                    self._node(item)
                case "Pod":
                    self._pod(item)
            self.store.put(item)
        self.agents.changed(self.objects.values())

    def delete(self, *keys: Key) -> None:
        """A namespace goes with everything in it."""
        for key in keys:
            for inside in [k for k in self.objects if key[0] == "Namespace" and k[1] == key[2]]:
                self._forget(inside)
            self._forget(key)
        self.agents.changed(self.objects.values())

    def become(self, objects: Mapping[Key, Object]) -> None:
        """Changes whatever differs from these, nodes apart, which stay once they are there. What goes goes first:
        somebody may have its address next."""
        gone = [key for key in self.objects if key not in objects and key[0] != "Node"]
        moved = [k for k, item in objects.items() if k[0] == "Pod" and k in self.objects and self._moves(item)]
        for key in sorted([*gone, *moved], key=_last_first):
            if key in self.objects:
                self._forget(key)
        new = [item for key, item in objects.items() if self.objects.get(key) != item]
        self.put(*sorted(new, key=lambda item: _ORDER.index(_rank(item["kind"]))))

    def _moves(self, item: Object) -> bool:
        known = self.objects[key_of(item)]
        return known != item and _home(known) != _home(item)

    def _forget(self, key: Key) -> None:
        del self.objects[key]
        self.store.delete(key)
        if key[0] == "Pod":
            self._unplug("/".join(key[1:]))

    def _unplug(self, name: str) -> None:
        if name in self.network.pods:
            self.servers.forget(self.network.machine(name))
            self.network.delete_pod(name)

    def _node(self, item: Object) -> None:
        name = item["metadata"]["name"]
        if name not in self.network.nodes:
            ips = [one["address"] for one in item["status"]["addresses"] if one["type"] == "InternalIP"]
            self.agents.start(self.network.add_node(name, ips))

    def _pod(self, item: Object) -> None:
        _, space, name = key_of(item)
        known = self.network.pods.get(f"{space}/{name}")
        node, ips = _home(item)
        if known is not None and (known.node, known.machine.ips) != (node, ips):
            self._unplug(f"{space}/{name}")
            known = None
        if known is None and node and ips:
            self.network.add_pod(f"{space}/{name}", node, ips)

    # Ends

    def machine(self, end: str) -> Machine:
        """Who that is: `namespace/name` of a pod, `node:NAME`, or `ip:ADDRESS`."""
        if end.startswith("node:"):
            return self.network.nodes[end[5:]]
        if end.startswith("ip:"):
            return self.network.holder(end[3:])
        if end in self.network.pods:
            return self.network.machine(end)
        space, name = end.split("/")
        item = self.objects["Pod", space, name]
        assert item["spec"].get("hostNetwork"), f"{end} has no network"
        return self.network.nodes[item["spec"]["nodeName"]]

    # What is in force

    def untrue(self, probes: Iterable[Probe]) -> list[str]:
        """Which of these expectations do not hold, tried all at once."""
        return untrue(self.servers, list(probes))

    def settle(self, probes: Iterable[Probe], within: float = SETTLES_WITHIN) -> float:
        """Waits until all of them hold; how many seconds that took. AssertionError when they don't in time, or when
        an enforcer ends."""
        wanted = list(probes)
        begun = time.monotonic()
        while wrong := self.untrue(wanted):
            dead = self.agents.dead()
            assert not dead, "\n".join(dead)
            assert time.monotonic() - begun < within, "\n".join([*wrong, *self.agents.said()])
        return time.monotonic() - begun


#: Policies go before what they are about, and come behind it.
_ORDER = ("Node", "Namespace", "Pod", "Policy")


def _rank(kind: str) -> str:
    return "Policy" if kind.endswith("Policy") else kind


def _last_first(key: Key) -> int:
    return -_ORDER.index(_rank(key[0]))


def _home(item: Object) -> tuple[str, tuple[str, ...]]:
    """The node and the addresses of a pod that has a network of its own, else nothing."""
    spec, status = item["spec"], item.get("status", {})
    if spec.get("hostNetwork") or status.get("phase") in TERMINAL_PHASES:
        return "", ()
    return spec.get("nodeName", ""), tuple(one["ip"] for one in status.get("podIPs", ()))
