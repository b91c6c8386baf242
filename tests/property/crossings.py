"""Which hooks of which nodes a connection crosses, and what real kernels make of it there.

A node judges FORWARD for what passes through, INPUT for what is sent to it, OUTPUT for what it sends itself; a
host-network pod is its node. A connection comes about when every node that it crosses lets it through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from compiler.ir.ruleset import Hook
from compiler.resources.cluster import TERMINAL_PHASES
from compiler.semantics.packet import Packet
from compiler.snapshot import Snapshot
from tests.kernel.rig import Rig


class Crossing(NamedTuple):
    """A place where a connection is judged."""

    node: str
    hook: Hook


class Wiring:
    """Where the addresses of a cluster are."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.nodes = snapshot.node_names()
        self._own: dict[str, set[str]] = {name: set() for name in self.nodes}
        self._behind: dict[str, list[str]] = {}
        for node in snapshot.nodes.values():
            self._own[node.name].update(node.own_ips)
        for pod in snapshot.pods:
            if pod.node and pod.phase not in TERMINAL_PHASES:
                if pod.host_network:
                    self._own[pod.node].update(pod.ips)
                else:
                    for address in pod.ips:
                        self._behind.setdefault(address, []).append(pod.node)
        self._behind.update((address, [node]) for node, known in self._own.items() for address in known)

    def addresses(self, node: str) -> tuple[str, ...]:
        """The node's own."""
        return tuple(sorted(self._own[node]))

    def crossings(self, packet: Packet) -> tuple[Crossing, ...]:
        """The nodes of both ends, the source's first; of an end that several pods claim, all of theirs. None for
        ends that are outside, or the same node."""
        nodes = dict.fromkeys(node for end in (packet.src, packet.dst) for node in self._behind.get(end, ()))
        return tuple(Crossing(node, hook) for node in nodes if (hook := self._hook(packet, node)) is not None)

    def _hook(self, packet: Packet, node: str) -> Hook | None:
        own = self._own[node]
        if packet.src in own:
            return None if packet.dst in own else Hook.OUTPUT
        return Hook.INPUT if packet.dst in own else Hook.FORWARD


class Rigs:
    """One rig for every set of node addresses, kept: a ruleset is loaded into one that has none."""

    _MOST = 16

    def __init__(self) -> None:
        self._rigs: dict[tuple[str, ...], Rig] = {}

    def empty(self, addresses: tuple[str, ...]) -> Rig:
        """A rig of a node with these addresses, without rules."""
        rig = self._rigs.pop(addresses, None)
        if rig is None:
            if len(self._rigs) == self._MOST:
                self._rigs.pop(next(iter(self._rigs))).close()
            rig = Rig(addresses)
        else:
            rig.reset()
        self._rigs[addresses] = rig
        return rig

    def close(self) -> None:
        for rig in self._rigs.values():
            rig.close()
        self._rigs.clear()


def kernel_verdicts(
    rigs: Rigs,
    wiring: Wiring,
    loads: Callable[[str], Sequence[Mapping[str, str]]],
    flavour: str,
    packets: Sequence[Packet],
) -> dict[int, dict[Crossing, bool]]:
    """Packet number -> what each hook on its way does. `loads(node)` are the files that a node loads, one set over the
    other; then all its packets follow in one batch for each hook."""
    found: dict[int, dict[Crossing, bool]] = {n: {} for n in range(len(packets))}
    at: dict[str, dict[Hook, list[int]]] = {}
    for n, packet in enumerate(packets):
        for node, hook in wiring.crossings(packet):
            at.setdefault(node, {}).setdefault(hook, []).append(n)
    for node, hooks in at.items():
        rig = rigs.empty(wiring.addresses(node))
        for files in loads(node):
            rig.load(files, flavour)
        for hook, numbers in hooks.items():
            for n, passed in zip(numbers, _ask(rig, hook, [packets[n] for n in numbers]), strict=True):
                found[n][Crossing(node, hook)] = passed
    return found


def _ask(rig: Rig, hook: Hook, packets: Sequence[Packet]) -> Iterable[bool]:
    if hook is Hook.FORWARD:
        return rig.forwarded(packets)
    return rig.delivered(packets) if hook is Hook.INPUT else rig.sent(packets)
