"""Everyone who can be at an end of a connection, and what they can open to each other under one or more grounds.

Glossary: a *member* is a pod, a node or the addresses outside that are of one kind; its *spots* are its addresses as
atoms, one for each ground. A *party* is members that one line of a report stands for: the pods of a workload, say.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest

from compiler.analysis.ground import Atom, Atoms, Ground, node_addresses
from compiler.analysis.outside import Range, joined, stretches
from compiler.net import NO_PORTS, Family, PortSet, parse_address
from compiler.resources.cluster import Pod

#: The atom of an address in each ground; None where there is no such address.
Spot = tuple[Atom | None, ...]


class Kind(Enum):
    """What is at an end; the values print."""

    PODS = "pods"
    NODES = "nodes"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """`name` is a pod's or node's; `node` where a pod is; `addresses` of pods and nodes, `ranges` of those outside.
    Within a family, spots are in the order of `own_addresses`."""

    kind: Kind
    namespace: str
    name: str
    node: str
    addresses: tuple[tuple[Family, int], ...]
    ranges: tuple[Range, ...]
    spots: Mapping[Family, tuple[Spot, ...]]

    @property
    def signature(self) -> Hashable:
        """Equal for members that no policy tells apart."""
        return self.kind, tuple((family, self.spots.get(family, ())) for family in Family)

    @property
    def title(self) -> str:
        return f"{self.namespace}/{self.name}" if self.kind is Kind.PODS else self.name


@dataclass(slots=True)
class Standing:
    """The members of a party that are alike in one family, by title, and the nodes that pods are on."""

    spot: Spot
    members: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class Party:
    """Members of one kind, under one name."""

    kind: Kind
    namespace: str
    name: str
    members: tuple[Member, ...]
    standings: Mapping[Family, tuple[Standing, ...]]


def party(name: str, members: Sequence[Member]) -> Party:
    """The members, one at least, as a party; their namespace is that of the first."""
    found: dict[Family, dict[Spot, Standing]] = {}
    for member in members:
        for family, spots in member.spots.items():
            for spot in spots:
                standing = found.setdefault(family, {}).setdefault(spot, Standing(spot))
                standing.members.add(member.title)
                standing.nodes.add(member.node)
    standings = {family: tuple(known.values()) for family, known in found.items()}
    return Party(members[0].kind, members[0].namespace, name, tuple(members), standings)


@dataclass(frozen=True, slots=True)
class Extent:
    """What a party can open to another: `every` member to every one, `some` to some."""

    every: PortSet
    some: PortSet


class Survey:
    """The members of these grounds. A pod or node is the same one in all of them by its name."""

    def __init__(self, grounds: Sequence[Ground]) -> None:
        self._grounds = tuple(grounds)
        self.members: tuple[Member, ...] = tuple(self._members())

    def extent(self, source: Party, target: Party, family: Family, number: int = 0) -> Extent | None:
        """In the ground of that number; None where it is no question of policies: no connection has two ends outside
        pods, a pod always reaches itself and a node its own pods."""
        if Kind.PODS not in (source.kind, target.kind):
            return None
        ground = self._grounds[number]
        every, some = None, NO_PORTS
        for sender in source.standings.get(family, ()):
            for receiver in target.standings.get(family, ()):
                if _is_given(source.kind, sender, receiver):
                    continue
                one, two = sender.spot[number], receiver.spot[number]
                found = NO_PORTS if one is None or two is None else ground.opens(one, two)
                every = found if every is None or every == found else every & found
                some = found if not some or some == found else some | found
        return None if every is None else Extent(every, some)

    def _members(self) -> Iterator[Member]:
        pods: dict[tuple[str, str], list[Pod | None]] = {}
        nodes: dict[str, list[dict[Family, tuple[int, ...]]]] = {}
        count = len(self._grounds)
        for n, ground in enumerate(self._grounds):
            for pod in ground.snapshot.pods:
                if pod.holds_addresses:
                    pods.setdefault((pod.namespace, pod.name), [None] * count)[n] = pod
            for name, addresses in node_addresses(ground.snapshot).items():
                nodes.setdefault(name, [{} for _ in self._grounds])[n] = addresses
        held = [_held(found) for found in zip(*pods.values(), strict=True)] if pods else [[] for _ in self._grounds]
        taken = {(family, address) for known in held for _, family, address in known}
        for listed in nodes.values():
            for one in listed:
                for family in one:
                    one[family] = tuple(a for a in one[family] if (family, a) not in taken)
        taken |= {(family, a) for listed in nodes.values() for one in listed for family in one for a in one[family]}
        free = {
            family: tuple(
                stretches(
                    family, [ground.cuts(family) for ground in self._grounds], {a for f, a in taken if f is family}
                )
            )
            for family in Family
        }
        atoms: dict[Family, list[Atoms]] = {}
        for family in Family:
            others = [stretch.free for stretch in free[family] if stretch.free is not None]
            atoms[family] = [
                ground.atoms(
                    family,
                    [(pod, address) for pod, kind, address in held[n] if kind is family],
                    [*others, *(a for listed in nodes.values() for a in listed[n].get(family, ()))],
                )
                for n, ground in enumerate(self._grounds)
            ]
        for (namespace, name), found in pods.items():
            last = next(pod for pod in reversed(found) if pod is not None)
            yield _pod(namespace, name, found, last, atoms)
        for name, listed in nodes.items():
            yield _node(name, listed, atoms)
        kinds = (
            (
                family,
                stretch,
                tuple(one.other(stretch.free) for one in atoms[family]) if stretch.free is not None else (),
            )
            for family in Family
            for stretch in free[family]
        )
        for spot, ranges in joined(kinds).items():
            assert isinstance(spot, tuple)
            spots = dict.fromkeys((family for family, _, _ in ranges), (spot,))
            yield Member(Kind.OUTSIDE, "", "", "", (), ranges, spots)


def _is_given(kind: Kind, sender: Standing, receiver: Standing) -> bool:
    """Whether every pair of theirs is a pod and itself, or a node and a pod on it."""
    if len(sender.members) != 1:
        return False
    return sender.members == (receiver.nodes if kind is Kind.NODES else receiver.members)


def _addresses(pod: Pod | None) -> dict[Family, tuple[int, ...]]:
    found = sorted((family.value, address) for family, address in map(parse_address, pod.ips if pod else ()))
    return {family: tuple(a for value, a in found if value == family.value) for family in Family}


def _held(pods: Iterable[Pod | None]) -> list[tuple[Pod, Family, int]]:
    known = [pod for pod in pods if pod is not None]
    return [(pod, family, address) for pod in known for family, address in map(parse_address, pod.ips)]


def _pod(
    namespace: str, name: str, found: Sequence[Pod | None], last: Pod, atoms: Mapping[Family, Sequence[Atoms]]
) -> Member:
    """The pod of each ground as one member."""
    spots: dict[Family, tuple[Spot, ...]] = {}
    known = [_addresses(pod) for pod in found]
    for family in Family:
        rows = []
        for together in zip_longest(*(one[family] for one in known)):
            row: list[Atom | None] = []
            for n, (pod, address) in enumerate(zip(found, together, strict=True)):
                row.append(None if pod is None or address is None else atoms[family][n].pod(pod, address))
            rows.append(tuple(row))
        if rows:
            spots[family] = tuple(rows)
    every = dict.fromkeys((family, a) for one in reversed(known) for family in Family for a in one[family])
    return Member(Kind.PODS, namespace, name, last.node, tuple(every), (), spots)


def _node(
    name: str, listed: Sequence[Mapping[Family, tuple[int, ...]]], atoms: Mapping[Family, Sequence[Atoms]]
) -> Member:
    spots: dict[Family, tuple[Spot, ...]] = {}
    for family in Family:
        rows = [
            tuple(None if a is None else atoms[family][n].other(a) for n, a in enumerate(together))
            for together in zip_longest(*(one.get(family, ()) for one in listed))
        ]
        if rows:
            spots[family] = tuple(rows)
    every = dict.fromkeys((f, a) for one in reversed(listed) for f in Family for a in one.get(f, ()))
    return Member(Kind.NODES, "", name, name, tuple(every), (), spots)
