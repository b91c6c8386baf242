"""Who a selector means: pods in groups that no policy can tell apart, found by namespace and label.

Pods of one namespace with equal labels and equal ports form a *group*: 150,000 pods are a few thousand groups,
and selectors are matched against groups. Where the input names no pod with an address (policies alone, or
policies and workloads) there is no group, and the inventory is *symbolic*. Addresses that several pods hold are
nobody's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Protocol

from compiler.net import PROTOCOLS, Family, Prefix, parse_address
from compiler.policy import NamedPort, NodeSelector, PodSelector, Policy, Selector
from compiler.resources.cluster import ContainerPort, Node, Pod
from compiler.snapshot import Snapshot


@dataclass(slots=True, eq=False)
class Group:
    """`number` is the position in `Inventory.groups`."""

    number: int
    namespace: str
    labels: Mapping[str, str]
    ports: tuple[ContainerPort, ...]
    pods: list[Pod]
    _addresses: dict[Family, tuple[int, ...]] | None = field(default=None, repr=False)

    def addresses(self, family: Family) -> Sequence[int]:
        """Addresses of all its pods in one family, sorted."""
        if self._addresses is None:
            found: dict[Family, set[int]] = {Family.IPV4: set(), Family.IPV6: set()}
            for pod in self.pods:
                for text in pod.ips:
                    kind, value = parse_address(text)
                    found[kind].add(value)
            self._addresses = {kind: tuple(sorted(values)) for kind, values in found.items()}
        return self._addresses[family]

    def resolve(self, wanted: NamedPort) -> list[tuple[int, int, int]]:
        """The (protocol, port, port) spans that a named port means on these pods; protocol must agree. Ports without
        a name are never meant, not by an empty name either, which schemas of custom resources take."""
        found = []
        for port in self.ports:
            protocol = PROTOCOLS[port.protocol]
            if port.name and port.name == wanted.name and wanted.protocol in (None, protocol):
                found.append((protocol, port.port, port.port))
        return found


class Census(Protocol):
    """Whoever knows the groups of a cluster, by number, and answers selectors: what classes and reaches are made of."""

    @property
    def contested(self) -> Mapping[str, Sequence[Pod]]:
        """Addresses of several pods, sorted: no group has them (docs/SEMANTICS.md)."""

    def group(self, number: int) -> Group: ...

    def local(self, node: str | None) -> Collection[Group]:
        """The groups with pods on a node (None: all), in a stable order."""

    def selecting(self, policies: Sequence[Policy], groups: Collection[Group]) -> Mapping[int, Sequence[Policy]]:
        """Of these groups, by number, the policies whose subjects they are among, in the order of the policies."""

    def holding(self, family: Family) -> AbstractSet[int]:
        """The numbers of the groups with addresses of a family."""

    def numbers(self, chosen: PodSelector) -> AbstractSet[int]:
        """The numbers of the groups that a selector means."""

    def size(self, chosen: PodSelector) -> int:
        """How many pods a selector means."""

    def addresses(self, chosen: PodSelector, family: Family) -> Sequence[int]:
        """The addresses of all pods that a selector means, sorted."""

    def stretches(self, chosen: PodSelector, family: Family, starts: Sequence[int]) -> AbstractSet[int]:
        """Which of the stretches that begin at these addresses (sorted, from 0 on) the addresses of a selector lie
        in, by position."""

    def serving(self, name: str) -> Iterable[Group]:
        """The groups with a container port of that name."""

    def nodes(self, chosen: NodeSelector, family: Family) -> tuple[Prefix, ...]:
        """The addresses of the nodes that a selector means, as full-length blocks."""


def stretches_of(addresses: Sequence[int], starts: Sequence[int]) -> frozenset[int]:
    """Which of the stretches that begin at `starts` these sorted addresses lie in, by position."""
    found, at = set(), 0
    while at < len(addresses):
        n = bisect_right(starts, addresses[at]) - 1
        found.add(n)
        at = bisect_left(addresses, starts[n + 1], at) if n + 1 < len(starts) else len(addresses)
    return frozenset(found)


class Inventory:
    """The census of a snapshot; answers are remembered."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.groups: list[Group] = []
        self._by_namespace: dict[str, list[Group]] = {}
        self._by_label: dict[tuple[str, str, str], list[Group]] = {}
        self._serving: dict[str, list[Group]] = {}
        self._members: dict[PodSelector, tuple[Group, ...]] = {}
        self._numbers: dict[PodSelector, frozenset[int]] = {}
        self._sizes: dict[PodSelector, int] = {}
        self._addresses: dict[tuple[PodSelector, Family], tuple[int, ...]] = {}
        self._holding: dict[Family, frozenset[int]] = {}
        held = [pod for pod in snapshot.pods if pod.holds_addresses]
        self.symbolic = not held
        #: Addresses of several pods: no group has them (docs/SEMANTICS.md).
        self.contested: Mapping[str, tuple[Pod, ...]] = snapshot.contested()
        self._collect(map(self._undisputed, held) if self.contested else held)

    def _undisputed(self, pod: Pod) -> Pod:
        return replace(pod, ips=tuple(address for address in pod.ips if address not in self.contested))

    def _collect(self, pods: Iterable[Pod]) -> None:
        found: dict[object, Group] = {}
        for pod in pods:
            if not pod.ips:
                continue
            key = (pod.namespace, frozenset(pod.labels.items()), pod.ports)
            group = found.get(key)
            if group is None:
                found[key] = group = self._add(pod)
            group.pods.append(pod)

    def _add(self, like: Pod) -> Group:
        group = Group(len(self.groups), like.namespace, like.labels, like.ports, [])
        self.groups.append(group)
        self._by_namespace.setdefault(like.namespace, []).append(group)
        for key, value in like.labels.items():
            self._by_label.setdefault((like.namespace, key, value), []).append(group)
        for name in {port.name for port in like.ports if port.name}:
            self._serving.setdefault(name, []).append(group)
        return group

    def group(self, number: int) -> Group:
        return self.groups[number]

    def local(self, node: str | None) -> Sequence[Group]:
        return [g for g in self.groups if node is None or any(pod.node == node for pod in g.pods)]

    def selecting(self, policies: Sequence[Policy], groups: Collection[Group]) -> Mapping[int, Sequence[Policy]]:
        spaces = {group.namespace for group in groups}
        numbers = {group.number for group in groups}
        found: dict[int, list[Policy]] = {}
        for policy in policies:
            place = policy.subject.namespaces
            if not isinstance(place, str) or place in spaces:  # of 10,000 policies these are few
                for number in self.numbers(policy.subject) & numbers:
                    found.setdefault(number, []).append(policy)
        return found

    def holding(self, family: Family) -> frozenset[int]:
        found = self._holding.get(family)
        if found is None:
            found = self._holding[family] = frozenset(g.number for g in self.groups if g.addresses(family))
        return found

    def members(self, chosen: PodSelector) -> tuple[Group, ...]:
        """The groups that a selector means, in inventory order."""
        found = self._members.get(chosen)
        if found is None:
            matches = chosen.pods.matches
            groups = (g for name in self._namespaces(chosen) for g in self._candidates(name, chosen.pods))
            found = self._members[chosen] = tuple(g for g in groups if matches(g.labels))
        return found

    def _candidates(self, namespace: str, wanted: Selector) -> Sequence[Group]:
        """Few groups of a namespace that contain all that a selector matches there."""
        for needed in wanted.requirements:
            if needed.operator == "In" and len(needed.values) == 1:
                return self._by_label.get((namespace, needed.key, needed.values[0]), ())
        return self._by_namespace.get(namespace, ())

    def _namespaces(self, chosen: PodSelector) -> Iterable[str]:
        if isinstance(chosen.namespaces, str):
            return (chosen.namespaces,)
        matches = chosen.namespaces.matches
        return (name for name, space in self.snapshot.namespaces.items() if matches(space.labels))

    def workloads(self, chosen: PodSelector) -> tuple[Pod, ...]:
        """The pod templates of the input that a selector means."""
        names = frozenset(self._namespaces(chosen))
        found = (pod for pod in self.snapshot.pods if pod.template_of and pod.namespace in names)
        return tuple(pod for pod in found if chosen.pods.matches(pod.labels))

    def numbers(self, chosen: PodSelector) -> frozenset[int]:
        found = self._numbers.get(chosen)
        if found is None:
            found = self._numbers[chosen] = frozenset(g.number for g in self.members(chosen))
        return found

    def size(self, chosen: PodSelector) -> int:
        found = self._sizes.get(chosen)
        if found is None:
            found = self._sizes[chosen] = sum(len(group.pods) for group in self.members(chosen))
        return found

    def addresses(self, chosen: PodSelector, family: Family) -> tuple[int, ...]:
        found = self._addresses.get((chosen, family))
        if found is None:
            every = sorted(a for group in self.members(chosen) for a in group.addresses(family))
            found = self._addresses[chosen, family] = tuple(every)
        return found

    def stretches(self, chosen: PodSelector, family: Family, starts: Sequence[int]) -> frozenset[int]:
        return stretches_of(self.addresses(chosen, family), starts)

    def serving(self, name: str) -> tuple[Group, ...]:
        return tuple(self._serving.get(name, ()))

    def nodes(self, chosen: NodeSelector, family: Family) -> tuple[Prefix, ...]:
        return node_addresses(self.snapshot.nodes.values(), chosen, family)


def node_addresses(nodes: Iterable[Node], chosen: NodeSelector, family: Family) -> tuple[Prefix, ...]:
    """The addresses of those of the nodes that a selector means, as full-length blocks."""
    found = []
    for node in nodes:
        if chosen.nodes.matches(node.labels):
            for text in node.ips:
                kind, value = parse_address(text)
                if kind is family:
                    found.append(Prefix(family.value, value, family.bits))
    return tuple(found)
