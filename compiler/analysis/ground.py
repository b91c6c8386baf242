"""What the policies say of any two addresses, tabulated: the ground under `reach` and `diff`.

Glossary: an *atom* is all that policies can tell of an address: the classes that its pod is in (none outside pods),
and a *column*, the ports that each class allows towards it. Two addresses of one atom are alike to every policy, so
what one atom may open to another is a function of the two.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from compiler.net import ALL_PORTS, Family, PortSet, parse_address
from compiler.policy import Direction, Policy
from compiler.resolve.blocks import flatten, nested_blocks
from compiler.resolve.classes import PodClass, classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reach, Reacher
from compiler.resources.cluster import TERMINAL_PHASES, Pod
from compiler.snapshot import Snapshot


class Atom(NamedTuple):
    """`egress` and `ingress` are numbers of classes, None where no policy has the address as its subject; `column`
    has a number of a port set for each class."""

    egress: int | None
    ingress: int | None
    column: tuple[int, ...]


class Ground:
    """Policies, in evaluation order, on a snapshot."""

    def __init__(self, policies: Sequence[Policy], snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._inventory = inventory = Inventory(snapshot)
        self._classes: tuple[PodClass, ...] = classes(inventory, policies, None)
        reacher = Reacher(inventory)
        self._reaches: dict[Family, list[Reach]] = {
            family: [reacher.reach(found, family) for found in self._classes] for family in Family
        }
        self._groups = {id(pod): group.number for group in inventory.groups for pod in group.pods}
        self._subject: dict[tuple[Direction, int], int] = {
            (found.direction, self._groups[id(pod)]): n for n, found in enumerate(self._classes) for pod in found.pods
        }
        self._ports: list[PortSet] = [ALL_PORTS]
        self._numbers: dict[PortSet, int] = {ALL_PORTS: 0}
        self._both: dict[tuple[int, int], PortSet] = {}
        self._cuts = {family: self._edges(family) for family in Family}

    def cuts(self, family: Family) -> Sequence[int]:
        """The first addresses of stretches that lie in the same blocks, 0 first: policies tell no two addresses of a
        stretch apart unless pods hold them."""
        return self._cuts[family]

    def atoms(self, family: Family, pods: Iterable[tuple[Pod, int]], others: Iterable[int]) -> Atoms:
        """The atoms of addresses: those that pods hold, and those that none holds."""
        # Pods of a group in one stretch are alike, so one of them is asked for all.
        asked: dict[tuple[int, int], int] = {}
        for pod, address in pods:
            asked.setdefault((self._groups[id(pod)], self._stretch(family, address)), address)
        free = dict.fromkeys(others)
        ordered = sorted({*asked.values(), *free})
        columns = self._columns(family, ordered)
        at = {address: columns[n] for n, address in enumerate(ordered)}
        egress, ingress = Direction.EGRESS, Direction.INGRESS
        of_pods = {
            key: Atom(self._subject.get((egress, key[0])), self._subject.get((ingress, key[0])), at[address])
            for key, address in asked.items()
        }
        return Atoms(self, family, of_pods, {address: Atom(None, None, at[address]) for address in free})

    def opens(self, source: Atom, target: Atom) -> PortSet:
        """What the policies let addresses of one atom open to those of another: source egress and target ingress."""
        sent = 0 if source.egress is None else target.column[source.egress]
        received = 0 if target.ingress is None else source.column[target.ingress]
        found = self._both.get((sent, received))
        if found is None:
            found = self._both[sent, received] = self._ports[sent] & self._ports[received]
        return found

    def place(self, family: Family, pod: Pod, address: int) -> tuple[int, int]:
        """Group and stretch of a pod's address."""
        return self._groups[id(pod)], self._stretch(family, address)

    def _stretch(self, family: Family, address: int) -> int:
        return bisect_right(self._cuts[family], address) - 1

    def _edges(self, family: Family) -> list[int]:
        # Not those of the reaches: a block may change nothing for addresses outside pods and much for some pods.
        edges = {0}
        for found in self._classes:
            for prefix, _ in nested_blocks(self._inventory, found.clauses, family):
                edges |= {prefix.base, prefix.base + (1 << family.bits - prefix.length)}
        return sorted(edges - {1 << family.bits})

    def _columns(self, family: Family, addresses: Sequence[int]) -> Sequence[tuple[int, ...]]:
        """What every class allows towards each of these sorted addresses."""
        rows = [self._row(reach, family, addresses) for reach in self._reaches[family]]
        return list(zip(*rows, strict=True)) if rows else [()] * len(addresses)

    def _row(self, reach: Reach, family: Family, addresses: Sequence[int]) -> list[int]:
        """What one class allows: of prefixes the longest, over that shared sets, over these exact addresses."""
        spans = flatten(reach.nets, family)
        row: list[int] = []
        for n, (_, ports) in enumerate(spans):
            end = bisect_left(addresses, spans[n + 1][0]) if n + 1 < len(spans) else len(addresses)
            row += [self._number(ports)] * (end - len(row))
        index = {address: n for n, address in enumerate(addresses)} if reach.exact or reach.shared else {}
        for shared, ports in reversed(reach.shared):
            for address in filter(index.__contains__, shared.addresses):
                row[index[address]] = self._number(ports)
        for address, ports in reach.exact:
            if address in index:
                row[index[address]] = self._number(ports)
        return row

    def _number(self, ports: PortSet) -> int:
        found = self._numbers.get(ports)
        if found is None:
            found = self._numbers[ports] = len(self._ports)
            self._ports.append(ports)
        return found


class Atoms:
    """The atoms of the addresses of one family that were asked for."""

    def __init__(
        self, ground: Ground, family: Family, of_pods: Mapping[tuple[int, int], Atom], others: Mapping[int, Atom]
    ) -> None:
        self._ground, self._family = ground, family
        self._of_pods, self._others = of_pods, others

    def pod(self, pod: Pod, address: int) -> Atom:
        return self._of_pods[self._ground.place(self._family, pod, address)]

    def other(self, address: int) -> Atom:
        return self._others[address]


def node_addresses(snapshot: Snapshot) -> dict[str, dict[Family, tuple[int, ...]]]:
    """Node -> its own addresses, sorted: the InternalIPs and those of its living host-network pods."""
    texts: dict[str, set[str]] = {name: set(node.own_ips) for name, node in snapshot.nodes.items()}
    for pod in snapshot.pods:
        if pod.host_network and pod.node and pod.phase not in TERMINAL_PHASES:
            texts.setdefault(pod.node, set()).update(pod.ips)
    found: dict[str, dict[Family, tuple[int, ...]]] = {}
    for name, known in sorted(texts.items()):
        parsed = sorted((family.value, address) for family, address in map(parse_address, known))
        found[name] = {family: tuple(a for value, a in parsed if value == family.value) for family in Family}
    return found
