"""Who is at the ends of connections: the addresses of pods, nodes and blocks as integers, and which of them a peer
of a rule reaches. One family at a time; everything as in `oracle`, for all addresses at once.
"""

from __future__ import annotations

import socket
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from compiler.resources import clusterpolicy, networkpolicy
from compiler.resources.cluster import Pod
from compiler.resources.labels import LabelSelector
from compiler.semantics.diagrams.ranges import Range, merged, runs
from compiler.semantics.diagrams.space import block_range
from compiler.semantics.reading import EgressPeer, IngressPeer, selects
from compiler.snapshot import Snapshot

_TERMINAL = ("Succeeded", "Failed")
#: An address with the pod that holds it.
Held = tuple[int, Pod]


@dataclass(frozen=True)
class Reached:
    """What the peers of a rule reach: pods by selectors, addresses whoever holds them, or `anyone`."""

    held: tuple[Held, ...] = ()
    ranges: tuple[Range, ...] = ()
    anyone: bool = False

    @cached_property
    def pods(self) -> tuple[Range, ...]:
        """The addresses that the pods hold."""
        return tuple(runs(address for address, _ in self.held))


class Ends:
    """The addresses of one family (4 or 6) in a cluster."""

    def __init__(self, snapshot: Snapshot, version: int) -> None:
        self._snapshot = snapshot
        self.version = version
        alive = [pod for pod in snapshot.pods if pod.phase not in _TERMINAL]
        #: Address -> the pod whose own it is.
        self.holders: dict[int, Pod] = {}
        #: Address -> the pods that claim it, if they are several: it is nobody's.
        self.contested: dict[int, list[Pod]] = {}
        for pod in (pod for pod in alive if not pod.host_network):
            for address in set(self.addresses(pod.ips)):
                if address in self.contested:
                    self.contested[address].append(pod)
                elif address in self.holders:
                    self.contested[address] = [self.holders.pop(address), pod]
                else:
                    self.holders[address] = pod
        #: Node -> its own addresses, those of its host-network pods among them.
        self.of_node: dict[str, set[int]] = {
            name: set(self.addresses(node.own_ips)) for name, node in snapshot.nodes.items()
        }
        for pod in alive:
            if pod.host_network and pod.node:
                self.of_node.setdefault(pod.node, set()).update(self.addresses(pod.ips))
        self._crowds: dict[str, list[tuple[Mapping[str, str], list[Held]]]] = {}
        by_labels: dict[Hashable, list[Held]] = {}
        for address, pod in self.holders.items():
            key = (pod.namespace, frozenset(pod.labels.items()))
            crowd = by_labels.get(key)
            if crowd is None:
                crowd = by_labels[key] = []
                self._crowds.setdefault(pod.namespace, []).append((pod.labels, crowd))
            crowd.append((address, pod))
        self._selected: dict[Hashable, Reached] = {}

    @cached_property
    def pods(self) -> Reached:
        """Every pod that has an address."""
        return Reached(tuple(self.holders.items()))

    @cached_property
    def pods_alone(self) -> tuple[Range, ...]:
        """The addresses of pods that are no node's."""
        nodes = {address for own in self.of_node.values() for address in own}
        return tuple(runs(address for address in self.holders if address not in nodes))

    def unknown(self, node: str | None) -> tuple[Range, ...]:
        """The addresses of a node's pod ranges that nobody has, where nothing may use them."""
        found = self._snapshot.nodes.get(node or "")
        if found is None or not self._snapshot.closed:
            return ()
        whole = [span for text in found.pod_cidrs for version, span in [block_range(text)] if version == self.version]
        nodes = (address for one in self._snapshot.nodes.values() for address in self.addresses(one.ips))
        known = {*self.holders, *self.contested, *nodes, *(a for own in self.of_node.values() for a in own)}
        return tuple(span for low, high in merged(whole) for span in _besides(low, high, known))

    def addresses(self, texts: Iterable[str]) -> Iterator[int]:
        """Those of our family."""
        kind = socket.AF_INET6 if self.version == 6 else socket.AF_INET
        for text in texts:
            if (":" in text) == (self.version == 6):
                yield int.from_bytes(socket.inet_pton(kind, text), "big")

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """The API server labels every namespace with its name (KEP-2161)."""
        found = self._snapshot.namespaces.get(namespace)
        return {**(found.labels if found else {}), "kubernetes.io/metadata.name": namespace}

    # Peers

    def of_network_peer(self, peer: networkpolicy.Peer, namespace: str) -> Reached:
        """A peer of a NetworkPolicy in that namespace."""
        if peer.ip_block is not None:
            return Reached(ranges=tuple(self._block(peer.ip_block.cidr, peer.ip_block.except_ or ())))
        if peer.namespace_selector is None:  # "the pods matching podSelector in the policy's own namespace"
            return self._among((namespace,), peer.pod_selector, True)
        return self._among(self._namespaces(peer.namespace_selector, False), peer.pod_selector, True)

    def of_cluster_peer(self, peer: IngressPeer | EgressPeer) -> Reached:
        """A peer of the admin and baseline tiers. domainNames reach nobody: resources know no DNS answer."""
        if peer.namespaces is not None or peer.pods is not None:
            return self.pods_of(peer)
        assert isinstance(peer, EgressPeer), "known: an ingress peer is pods or namespaces"
        if peer.nodes is not None:
            nodes = [node for node in self._snapshot.nodes.values() if selects(peer.nodes, node.labels)]
            return Reached(ranges=tuple((a, a) for node in nodes for a in self.addresses(node.ips)))
        if peer.networks is not None:
            return Reached(ranges=tuple(span for text in peer.networks for span in self._block(text, ())))
        return Reached()

    def pods_of(self, chosen: clusterpolicy.Subject | IngressPeer | EgressPeer) -> Reached:
        """The pods of a subject or peer of the cluster's tiers."""
        if chosen.namespaces is not None:
            return self._among(self._namespaces(chosen.namespaces, False), None, True)
        assert chosen.pods is not None, "exactly one of namespaces and pods"
        # v1alpha2's namespaceSelector is no pointer: absent, it is empty, which "selects all Namespaces".
        spaces = self._namespaces(chosen.pods.namespace_selector, True)
        return self._among(spaces, chosen.pods.pod_selector, False)

    def _namespaces(self, selector: LabelSelector | None, absent: bool) -> tuple[str, ...]:
        return tuple(name for name in self._crowds if selects(selector, self.namespace_labels(name), absent))

    def _among(self, namespaces: tuple[str, ...], selector: LabelSelector | None, absent: bool) -> Reached:
        key = (namespaces, _key(selector), absent)
        found = self._selected.get(key)
        if found is None:
            crowds = (crowd for name in namespaces for crowd in self._crowds.get(name, ()))
            held = (held for labels, crowd in crowds if selects(selector, labels, absent) for held in crowd)
            found = self._selected[key] = Reached(tuple(held))
        return found

    def _block(self, cidr: str, cuts: Iterable[str]) -> Iterator[Range]:
        version, (low, last) = block_range(cidr)
        if version != self.version:
            return
        for cut_version, (first, end) in sorted(map(block_range, cuts)):
            if cut_version == version and end >= low and first <= last:
                if first > low:
                    yield low, first - 1
                low = max(low, end + 1)
        if low <= last:
            yield low, last


def _besides(low: int, high: int, cut: Iterable[int]) -> Iterator[Range]:
    """The range without these numbers."""
    for number in sorted(number for number in cut if low <= number <= high):
        if number > low:
            yield low, number - 1
        low = number + 1
    if low <= high:
        yield low, high


def _key(selector: LabelSelector | None) -> Hashable:
    if selector is None:
        return None
    wanted = tuple((one.key, one.operator, one.values) for one in selector.match_expressions or ())
    return frozenset((selector.match_labels or {}).items()), wanted
