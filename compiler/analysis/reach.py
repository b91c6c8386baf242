"""Who can open what to whom: every connection that policies allow, between pods, nodes and the addresses outside.

A connection needs the egress side of its source and the ingress side of its destination. The result is complete (what
is not in it is denied) and canonical (equal meanings give equal results, in one order). Three things are no question
of policies and not listed: a pod always reaches itself, a node always reaches its own pods, and what happens between
two ends of which neither is a pod is not policies' to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from compiler.analysis.ground import Ground
from compiler.analysis.outside import title
from compiler.analysis.survey import Extent, Kind, Member, Party, Survey, party
from compiler.analysis.workloads import workloads
from compiler.net import Family, PortSet
from compiler.policy import Policy
from compiler.snapshot import Snapshot


class By(Enum):
    """What an end of a connection is; the values are those of the option."""

    WORKLOAD = "workload"
    POD = "pod"


@dataclass(frozen=True, slots=True)
class Connection:
    """`ports` that every member of the source can open to every member of the target, and what `partly` is open: from
    or to some of them only. Never both empty. `families`: those in which this is so."""

    source: Party
    target: Party
    families: tuple[Family, ...]
    ports: PortSet
    partly: PortSet


@dataclass(frozen=True, slots=True)
class Reach:
    """`parties`: pods by namespace and name, nodes, those outside. `connections` in the order of parties, twice."""

    by: By
    parties: tuple[Party, ...]
    connections: tuple[Connection, ...]


def reach(policies: Sequence[Policy], snapshot: Snapshot, by: By = By.WORKLOAD) -> Reach:
    """All connections under these policies, given in evaluation order."""
    survey = Survey([Ground(policies, snapshot)])
    everyone = tuple(parties(survey.members, snapshot, by))
    return Reach(by, everyone, tuple(_connections(survey, everyone)))


def narrowed(found: Reach, sources: Callable[[Party], bool], targets: Callable[[Party], bool]) -> Reach:
    """The part of it that is from some and to some."""
    kept = tuple(one for one in found.connections if sources(one.source) and targets(one.target))
    at_ends = {id(end) for one in kept for end in (one.source, one.target)}
    at_ends |= {id(end) for end in found.parties if sources(end) or targets(end)}
    return Reach(found.by, tuple(end for end in found.parties if id(end) in at_ends), kept)


def parties(members: Sequence[Member], snapshot: Snapshot, by: By) -> Iterator[Party]:
    """Everyone, each under a name. By workload, nodes that no policy tells apart are one party."""
    pods = {(one.namespace, one.name): one for one in members if one.kind is Kind.PODS}
    if by is By.POD:
        yield from (party(one.title, [one]) for _, one in sorted(pods.items()))
    else:
        held = [pod for pod in snapshot.pods if pod.holds_addresses]
        templates = [pod for pod in snapshot.pods if pod.template_of]
        for load in workloads(held, templates):
            yield party(load.title, [pods[pod.namespace, pod.name] for pod in load.pods])
    yield from _nodes([one for one in members if one.kind is Kind.NODES and one.addresses], by)
    outside = [one for one in members if one.kind is Kind.OUTSIDE]
    yield from (party(title(one.ranges), [one]) for one in sorted(outside, key=_size))


def _size(outside: Member) -> tuple[int, object]:
    """The most addresses first, as a share of the family's space."""
    shares = sum((last - first + 1) << 128 - family.bits for family, first, last in outside.ranges)
    return -shares, [(family.value, first) for family, first, _ in outside.ranges]


def _nodes(nodes: Sequence[Member], by: By) -> Iterator[Party]:
    alike: dict[object, list[Member]] = {}
    for node in sorted(nodes, key=lambda node: node.name):
        alike.setdefault(node.name if by is By.POD else node.signature, []).append(node)
    for group in alike.values():
        names = ", ".join(node.name for node in group[:4]) + (f" and {len(group) - 4} more" if len(group) > 4 else "")
        every = len(group) == len(nodes) > 1
        yield party("all nodes" if every else f"{'node' if len(group) == 1 else 'nodes'} {names}", group)


def _connections(survey: Survey, everyone: Sequence[Party]) -> Iterator[Connection]:
    known: dict[tuple[int, int], _Found] = {}
    numbers: dict[object, int] = {}
    alike = [numbers.setdefault(_likeness(one), len(numbers)) for one in everyone]
    for source, row in zip(everyone, alike, strict=True):
        for target, column in zip(everyone, alike, strict=True):
            # What two parties may is the same for all that are like them, but for what is given.
            if source is target or source.kind is Kind.NODES:
                found = _between(survey, source, target)
            elif (before := known.get((row, column))) is not None:
                found = before
            else:
                found = known[row, column] = _between(survey, source, target)
            for extent, families in found:
                partly = extent.some if not extent.every else extent.some - extent.every
                yield Connection(source, target, families, extent.every, partly)


_Found = tuple[tuple[Extent, tuple[Family, ...]], ...]


def _likeness(one: Party) -> object:
    return one.members[0].signature if len(one.members) == 1 else id(one)


def _between(survey: Survey, source: Party, target: Party) -> _Found:
    """What the source may open to the target, and in which families."""
    found: dict[Extent, tuple[Family, ...]] = {}
    for family in Family:
        extent = survey.extent(source, target, family)
        if extent is not None and extent.some:
            found[extent] = (*found.get(extent, ()), family)
    return tuple(found.items())
