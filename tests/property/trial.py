"""One scenario on trial: what the oracle says of its packets, and what the compiler's work makes of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import NamedTuple

from compiler.backends.target import Backend, Target
from compiler.ir.ruleset import Hook
from compiler.net import Family
from compiler.pipeline import Artifacts, Compiler
from compiler.resources.cluster import TERMINAL_PHASES
from compiler.semantics.boundaries import boundaries
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Boundaries, Packet, packets
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import load
from tests.compiler.ir_walk import Seen, Walker
from tests.kernel.rig import BACKEND
from tests.property.crossings import Crossing, Rigs, Wiring, kernel_verdicts


class Disagreement(NamedTuple):
    """`allowed` is what the oracle says, and the other side the opposite."""

    packet: Packet
    at: Crossing
    allowed: bool

    def __str__(self) -> str:
        say = "allows" if self.allowed else "denies"
        return f"{self.packet} at {self.at.hook.value} of {self.at.node}: the oracle {say} it"


class Trial:
    """`text` is what `netpolc compile` would read; `count` packets at most, the same for the same seed. `seen_as`:
    what becomes of the snapshot before anybody looks at it."""

    def __init__(
        self, text: bytes, count: int, seed: int = 0, seen_as: Callable[[Snapshot], Snapshot] = lambda same: same
    ) -> None:
        found = load([("scenario.json", text)])
        referred = {p.value.metadata.namespace or "default" for p in found.policies if p.value.kind == "NetworkPolicy"}
        self.located = found.policies
        self.snapshot = seen_as(build(found.pods, found.namespaces, found.nodes, referred))
        self.wiring = Wiring(self.snapshot)
        self.policies = values = tuple(policy.value for policy in found.policies)
        self.oracle = Oracle(values, self.snapshot)
        # What policies say of two addresses is asked again for every port: remembered here, not in the oracle.
        self.oracle.meeting = cache(self.oracle.meeting)  # type: ignore[method-assign]
        self.oracle.isolating = cache(self.oracle.isolating)  # type: ignore[method-assign]
        at = boundaries(values, self.snapshot)
        known = Boundaries(tuple(filter(is_forwarded, at.addresses)), at.points)
        pods = [
            address
            for pod in self.snapshot.pods
            if not pod.host_network
            for address in pod.ips
            if pod.phase not in TERMINAL_PHASES
        ]
        self.packets = packets(known, count, seed, pods) if pods else ()

    @cached_property
    def _compiler(self) -> Compiler:
        return Compiler(self.located, self.snapshot)

    def compiled(self, node: str | None, backend: Backend, families: tuple[Family, ...] = tuple(Family)) -> Artifacts:
        return self._compiler.compile(Target(backend, node, families))

    @cached_property
    def expected(self) -> Mapping[int, Mapping[Crossing, bool]]:
        """Packet number -> hook -> whether the oracle lets it pass there."""
        return {
            n: {at: self.oracle.at_node(packet, at.node).allowed for at in self.wiring.crossings(packet)}
            for n, packet in enumerate(self.packets)
        }

    def against_kernel(self, rigs: Rigs, flavour: str, before: Trial | None = None) -> Iterator[Disagreement]:
        """Where the emitted text in netfilter decides otherwise. `before`: the rules of an earlier state of the same
        nodes are there when ours are loaded."""
        backend = Backend(BACKEND[flavour])
        found = kernel_verdicts(
            rigs,
            self.wiring,
            lambda node: [trial.compiled(node, backend).files for trial in (before, self) if trial is not None],
            flavour,
            self.packets,
        )
        for n, hooks in self.expected.items():
            for at, allowed in hooks.items():
                if found[n][at] != allowed:
                    yield Disagreement(self.packets[n], at, allowed)

    def against_ruleset(self, backend: Backend, families: tuple[Family, ...] = tuple(Family)) -> Iterator[Disagreement]:
        """Where the ruleset, before it becomes text, decides otherwise. Packets of other families than those that it
        was compiled for must pass."""
        walkers = {node: Walker(self.compiled(node, backend, families).ruleset) for node in self.wiring.nodes}
        for n, hooks in self.expected.items():
            packet = self.packets[n]
            for at, allowed in hooks.items():
                local = packet.src in self.wiring.addresses(at.node)
                wanted = allowed or Family(packet.version) not in families
                if walkers[at.node].accepts(seen(packet, local), at.hook) != wanted:
                    yield Disagreement(packet, at, wanted)

    def against_one_ruleset(self, backend: Backend) -> Iterator[Disagreement]:
        """Where the ruleset for all pods, of whatever node, decides otherwise on a connection as a whole."""
        walker = Walker(self.compiled(None, backend).ruleset)
        for packet in self.packets:
            for at in self.wiring.crossings(packet)[-1:]:  # the hook at its destination, if that is a node's or pod's
                allowed = self.oracle.connection(packet).allowed
                if walker.accepts(seen(packet, at.hook is Hook.OUTPUT), at.hook) != allowed:
                    yield Disagreement(packet, at, allowed)

    def torn(self) -> Iterator[Packet]:
        """Connections of which the oracle says one thing as a whole and another node by node."""
        for n, hooks in self.expected.items():
            if all(hooks.values()) != self.oracle.connection(self.packets[n]).allowed:
                yield self.packets[n]


def seen(packet: Packet, local: bool) -> Seen:
    """The packet as the walk through a ruleset takes it."""
    return Seen(
        Family(packet.version),
        int(ipaddress.ip_address(packet.src)),
        int(ipaddress.ip_address(packet.dst)),
        packet.proto,
        packet.dport,
        local=local,
        icmp_type=packet.icmp_type,
        hop_limit=packet.hop_limit,
    )


def is_forwarded(address: str) -> bool:
    """Whether a kernel forwards packets from and to it at all."""
    found = ipaddress.ip_address(address)
    if found.is_multicast or found.is_loopback or found.is_unspecified:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return 0 < int(found) >> 24 < 240
    return not found.is_link_local
