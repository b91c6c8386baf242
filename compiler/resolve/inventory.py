"""Who a selector means: pods in groups that no policy can tell apart, found by namespace and label.

Pods of one namespace with equal labels and equal ports form a *group*: 150,000 pods are a few thousand groups,
and selectors are matched against groups. Where the input names no pod with an address (policies alone, or
policies and workloads), every workload and every selector that no workload answers to stands as a *symbolic*
group: without addresses, to be filled later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from compiler.net import PROTOCOLS, Family, Prefix, parse_address
from compiler.policy import NamedPort, NodeSelector, PodSelector, Policy
from compiler.resources.cluster import ContainerPort, Pod
from compiler.snapshot import Snapshot


@dataclass(slots=True, eq=False)
class Group:
    """`number` is the position in `Inventory.groups`. `symbol` says who a symbolic group stands for, else empty."""

    number: int
    namespace: str
    labels: Mapping[str, str]
    ports: tuple[ContainerPort, ...]
    pods: list[Pod]
    symbol: str = ""
    _addresses: dict[Family, tuple[int, ...]] | None = field(default=None, repr=False)

    def addresses(self, family: Family) -> tuple[int, ...]:
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
        """The (protocol, port, port) spans that a named port means on these pods; protocol must agree."""
        found = []
        for port in self.ports:
            protocol = PROTOCOLS[port.protocol]
            if port.name == wanted.name and wanted.protocol in (None, protocol):
                found.append((protocol, port.port, port.port))
        return found


class Inventory:
    """Groups of a snapshot, and the answers to selectors, remembered."""

    def __init__(self, snapshot: Snapshot, policies: Iterable[Policy]) -> None:
        self.snapshot = snapshot
        self.groups: list[Group] = []
        self._by_namespace: dict[str, list[Group]] = {}
        self._serving: dict[str, list[Group]] = {}
        self._members: dict[PodSelector, tuple[Group, ...]] = {}
        self._numbers: dict[PodSelector, frozenset[int]] = {}
        held = [pod for pod in snapshot.pods if pod.holds_addresses]
        self.symbolic = not held
        self._collect(held or [pod for pod in snapshot.pods if pod.template_of])
        if self.symbolic:
            self._stand_in(policies)

    def _collect(self, pods: Iterable[Pod]) -> None:
        found: dict[object, Group] = {}
        for pod in pods:
            key = (
                pod.namespace,
                frozenset(pod.labels.items()),
                pod.ports,
                pod.name if pod.template_of else "",
            )
            group = found.get(key)
            if group is None:
                symbol = f"pods of {pod.template_of} {pod.namespace}/{pod.name}" if pod.template_of else ""
                found[key] = group = self._add(pod.namespace, pod.labels, pod.ports, symbol)
            group.pods.append(pod)

    def _add(self, namespace: str, labels: Mapping[str, str], ports: tuple[ContainerPort, ...], symbol: str) -> Group:
        group = Group(len(self.groups), namespace, labels, ports, [], symbol)
        self.groups.append(group)
        self._by_namespace.setdefault(namespace, []).append(group)
        for name in {p.name for p in ports if p.name}:
            self._serving.setdefault(name, []).append(group)
        return group

    def _stand_in(self, policies: Iterable[Policy]) -> None:
        """A symbolic group for every selector of the policies that no workload answers to."""
        wanted: dict[PodSelector, None] = {}
        for policy in policies:
            wanted[policy.subject] = None
            for rule in (*policy.ingress, *policy.egress):
                wanted.update((peer, None) for peer in rule.peers if isinstance(peer, PodSelector))
        for chosen in wanted:
            if not self.members(chosen):
                place = chosen.namespaces if isinstance(chosen.namespaces, str) else ""
                group = Group(len(self.groups), place, {}, (), [], str(chosen))
                self.groups.append(group)
                self._members[chosen] = (group,)

    def members(self, chosen: PodSelector) -> tuple[Group, ...]:
        """The groups that a selector means, in inventory order."""
        found = self._members.get(chosen)
        if found is None:
            if isinstance(chosen.namespaces, str):
                names: Iterable[str] = (chosen.namespaces,)
            else:
                matches = chosen.namespaces.matches
                names = [n for n, space in self.snapshot.namespaces.items() if matches(space.labels)]
            matches = chosen.pods.matches
            found = tuple(g for n in names for g in self._by_namespace.get(n, ()) if matches(g.labels))
            self._members[chosen] = found
        return found

    def numbers(self, chosen: PodSelector) -> frozenset[int]:
        """`members` as group numbers."""
        found = self._numbers.get(chosen)
        if found is None:
            found = self._numbers[chosen] = frozenset(g.number for g in self.members(chosen))
        return found

    def size(self, chosen: PodSelector) -> int:
        """How many pods a selector means."""
        return sum(len(g.pods) for g in self.members(chosen))

    def serving(self, name: str) -> tuple[Group, ...]:
        """The groups with a container port of that name."""
        return tuple(self._serving.get(name, ()))

    def nodes(self, chosen: NodeSelector, family: Family) -> tuple[Prefix, ...]:
        """The addresses of the nodes that a selector means, as full-length blocks."""
        found = []
        for node in self.snapshot.nodes.values():
            if chosen.nodes.matches(node.labels):
                for text in node.ips:
                    kind, value = parse_address(text)
                    if kind is family:
                        found.append(Prefix(family.value, value, family.bits))
        return tuple(found)
