"""The exact difference in who reaches whom between two states of policies, and the rules that make it.

Both sides are asked about the same ends: pods by namespace and name, nodes by name, and the addresses that are no
pod's or node's on either side. What only one side has, nobody reaches on the other. The result is boxes, in which
every source gained (or lost) the same ports towards every target; as in a reach, a pod towards itself and a node
towards its own pods are never meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from compiler.analysis.boxes import boxes
from compiler.analysis.ground import Ground, node_addresses
from compiler.analysis.reasons import Answer, Reasons
from compiler.analysis.survey import Kind, Member, Spot, Survey
from compiler.net import NO_PORTS, Family, PortSet, address_text, parse_address
from compiler.semantics.boundaries import boundaries
from compiler.semantics.packet import ICMP, PORTED, Packet, connection
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located
from compiler.translate import translate

#: Connections of one box that are looked into for the rules behind them.
LOOKED_INTO = 64


@dataclass(frozen=True, slots=True)
class Side:
    """One state of the policies, and the cluster that they are asked about."""

    policies: Sequence[Located]
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Witness:
    """One connection, as each side sees it: a packet and what decides it; None where an end is missing."""

    old: tuple[Packet, Answer] | None
    new: tuple[Packet, Answer] | None


@dataclass(frozen=True, slots=True)
class Change:
    """`ports` that every source gained or lost towards every target. `witnesses` have different rules behind them;
    `whole`: they are all there are, and not those of the first connections only."""

    sources: tuple[Member, ...]
    targets: tuple[Member, ...]
    families: tuple[Family, ...]
    ports: PortSet
    witnesses: tuple[Witness, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Diff:
    """What opened and what closed, in the order of sources and targets; `members` are all ends there are."""

    members: tuple[Member, ...]
    opened: tuple[Change, ...]
    closed: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Addresses of one family that are alike on both sides: members, each with the number of its address."""

    kind: Kind
    spot: Spot
    seats: tuple[tuple[Member, int], ...]

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(dict.fromkeys(member for member, _ in self.seats))


def diff(old: Side, new: Side) -> Diff:
    """What changes from `old` to `new`."""
    grounds = [Ground(translate(side.policies), side.snapshot) for side in (old, new)]
    members = Survey(grounds).members
    order = {member: n for n, member in enumerate(members)}
    witnesses = _Witnesses((old, new), members)
    found: tuple[dict[object, Change], dict[object, Change]] = ({}, {})
    for family in Family:
        crowds = _crowds(members, family)
        for cells, changes in zip(_cells(grounds, crowds), found, strict=True):
            for box in boxes(cells):
                ends = [[crowds[n] for n in sorted(numbers)] for numbers in (box.rows, box.columns)]
                sources, targets = (
                    tuple(sorted((m for crowd in end for m in crowd.members), key=order.__getitem__)) for end in ends
                )
                if _is_given(sources, targets):
                    continue
                before = changes.get(key := (sources, targets, box.ports))
                if before is not None:  # the same in the other family
                    families = (*before.families, family)
                    changes[key] = Change(sources, targets, families, box.ports, before.witnesses, before.whole)
                else:
                    seen, whole = witnesses.of(ends[0], ends[1], family, box.ports)
                    changes[key] = Change(sources, targets, (family,), box.ports, seen, whole)

    def place(change: Change) -> tuple[list[int], list[int], str]:
        return [order[m] for m in change.sources], [order[m] for m in change.targets], str(change.ports)

    opened, closed = (tuple(sorted(changes.values(), key=place)) for changes in found)
    return Diff(members, opened, closed)


def _crowds(members: Sequence[Member], family: Family) -> list[_Crowd]:
    seats: dict[tuple[Kind, Spot], list[tuple[Member, int]]] = {}
    for member in members:
        for n, spot in enumerate(member.spots.get(family, ())):
            seats.setdefault((member.kind, spot), []).append((member, n))
    return [_Crowd(kind, spot, tuple(found)) for (kind, spot), found in seats.items()]


def _cells(
    grounds: Sequence[Ground], crowds: Sequence[_Crowd]
) -> tuple[dict[tuple[int, int], PortSet], dict[tuple[int, int], PortSet]]:
    """What crowds gained and what they lost towards each other."""
    gained: dict[tuple[int, int], PortSet] = {}
    lost: dict[tuple[int, int], PortSet] = {}
    for (row, source), (column, target) in product(enumerate(crowds), enumerate(crowds)):
        if Kind.PODS in (source.kind, target.kind):
            before, after = (
                NO_PORTS if one is None or two is None else ground.opens(one, two)
                for ground, one, two in zip(grounds, source.spot, target.spot, strict=True)
            )
            if before != after:
                if more := after - before:
                    gained[row, column] = more
                if less := before - after:
                    lost[row, column] = less
    return gained, lost


def _is_given(sources: Sequence[Member], targets: Sequence[Member]) -> bool:
    """Whether all that is meant is a pod and itself, or a node and pods on it."""
    if len(sources) != 1:
        return False
    (source,) = sources
    if source.kind is Kind.NODES:
        return all(target.kind is Kind.PODS and target.node == source.name for target in targets)
    return tuple(targets) == (source,)


class _Witnesses:
    """Finds connections and asks both sides about them."""

    def __init__(self, sides: Sequence[Side], members: Sequence[Member]) -> None:
        self._reasons = [Reasons(side.policies, side.snapshot) for side in sides]
        self._known = [_addresses(side.snapshot) for side in sides]
        self._taken = {at for member in members for at in member.addresses}
        # Between two neighbours of these no policy tells ports apart.
        at = (boundaries([one.value for one in side.policies], side.snapshot).points for side in sides)
        self._points = sorted({(protocol, port) for points in at for protocol, port in points if protocol in PORTED})

    def of(
        self, sources: Sequence[_Crowd], targets: Sequence[_Crowd], family: Family, ports: PortSet
    ) -> tuple[tuple[Witness, ...], bool]:
        """Witnesses for these ports between these crowds, and whether every connection was looked into, up to those
        that no policy tells apart."""
        points = [(protocol, low) for protocol, low, _ in ports.items()] + ([(ICMP, 0)] if ports.other else [])
        points += [point for point in self._points if ports.has(*point) and point not in points]
        found: dict[object, Witness] = {}
        left = LOOKED_INTO
        for source, target, (protocol, port) in product(sources, targets, points):
            pair = _pair(source, target)
            if pair is None:
                continue
            if not left:
                return tuple(found.values()), False
            left -= 1
            one = Witness(*(self._asked(n, *pair, family, protocol, port) for n in range(len(self._reasons))))
            found.setdefault(tuple(side and side[1] for side in (one.old, one.new)), one)
        return tuple(found.values()), True

    def _asked(
        self,
        side: int,
        source: tuple[Member, int],
        target: tuple[Member, int],
        family: Family,
        protocol: int,
        port: int,
    ) -> tuple[Packet, Answer] | None:
        sender, receiver = (self._address(side, *seat, family) for seat in (source, target))
        if sender is None or receiver is None:
            return None
        packet = connection(sender, receiver, protocol, port, 0)
        return packet, self._reasons[side].of(packet)

    def _address(self, side: int, member: Member, number: int, family: Family) -> str | None:
        if member.kind is Kind.OUTSIDE:
            at = next(first for kind, first, _ in member.ranges if kind is family)
            while (family, at) in self._taken:
                at += 1
            return address_text(family, at)
        known = self._known[side].get((member.kind, member.title), {}).get(family, ())
        return address_text(family, known[number]) if number < len(known) else None


def _pair(source: _Crowd, target: _Crowd) -> tuple[tuple[Member, int], tuple[Member, int]] | None:
    """Two ends between which policies decide."""
    pairs = product(source.seats, target.seats)
    return next((pair for pair in pairs if not _is_given([pair[0][0]], [pair[1][0]])), None)


def _addresses(snapshot: Snapshot) -> Mapping[tuple[Kind, str], Mapping[Family, tuple[int, ...]]]:
    """The addresses of pods and nodes in the order that a survey numbers them."""
    found: dict[tuple[Kind, str], Mapping[Family, tuple[int, ...]]] = {
        (Kind.NODES, name): known for name, known in node_addresses(snapshot).items()
    }
    for pod in snapshot.pods:
        if pod.holds_addresses:
            parsed = sorted((f.value, a) for f, a in map(parse_address, pod.ips))
            known = {family: tuple(a for value, a in parsed if value == family.value) for family in Family}
            found[Kind.PODS, f"{pod.namespace}/{pod.name}"] = known
    return found
