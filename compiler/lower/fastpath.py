"""Exact connections that every policy of the node allows, for one lookup in front of everything else.

One large hash of (source, destination, protocol, port) stays in the cache better than many small ones, and a first
packet that hits it passes one rule, whatever the size of the cluster (docs/DATAPATH.md). A packet that misses the
pairs is judged by the class of its end; a class that allows nothing but pairs is *answered*: what misses them there
is denied, and the class needs no chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from compiler.ir.match import Field
from compiler.net import NO_PORTS, Family, PortSet
from compiler.policy import Direction
from compiler.resolve.classes import PodClass
from compiler.resolve.reach import Reach, asker

PAIR_KEY = (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT)

#: At most so many pairs a family; classes with the fewest pairs come first. 262,144 elements take about 2 s to
#: load into nftables and 0.5 s into an ipset.
PAIR_BUDGET = 1 << 18

#: Port sets with more single ports than this are left to the class.
_MOST_PORTS = 8

Pair = tuple[int, int, int, int]


class Pairs(NamedTuple):
    """`elements` are sorted; `answered` are the positions of the classes that allow nothing else."""

    elements: tuple[Pair, ...]
    answered: frozenset[int]


def pairs(lowered: Sequence[tuple[PodClass, Reach]], family: Family) -> Pairs:
    """The pairs of one family. `lowered` holds every class of the family with a dispatch entry."""
    subjects: dict[Direction, dict[int, Callable[[int], PortSet]]] = {direction: {} for direction in Direction}
    for pods, reach in lowered:
        ask = asker(reach)
        subjects[pods.direction].update((address, ask) for address in pods.addresses(family))
    sized = sorted((_cost(pods, reach, family), n) for n, (pods, reach) in enumerate(lowered))
    found: set[Pair] = set()
    answered: set[int] = set()
    for cost, n in sized:
        if len(found) + cost > PAIR_BUDGET:
            break
        pods, reach = lowered[n]
        far = Direction.EGRESS if pods.direction is Direction.INGRESS else Direction.INGRESS
        others = subjects[far]
        for own in pods.addresses(family):
            for peer, protocol, port in _single_ports(reach):
                ask_peer = others.get(peer)
                if ask_peer is None or ask_peer(own).has(protocol, port):
                    ends = (peer, own) if pods.direction is Direction.INGRESS else (own, peer)
                    found.add((*ends, protocol, port))
        if _is_pairs_alone(reach):
            answered.add(n)
    return Pairs(tuple(sorted(found)), frozenset(answered))


def _cost(pods: PodClass, reach: Reach, family: Family) -> int:
    return len(pods.addresses(family)) * sum(1 for _ in _single_ports(reach))


def _is_pairs_alone(reach: Reach) -> bool:
    """Whether everything that the reach allows is in `_single_ports`."""
    nobody_else = not reach.shared and all(ports == NO_PORTS for _, ports in reach.nets)
    return nobody_else and all(_points(ports) is not None for ports in {ports for _, ports in reach.exact})


def _single_ports(reach: Reach) -> Iterator[tuple[int, int, int]]:
    """(address, protocol, port) of every exact address that allows nothing but a few single ports."""
    known = {ports: _points(ports) or () for ports in {ports for _, ports in reach.exact}}
    for address, ports in reach.exact:
        for protocol, port in known[ports]:
            yield address, protocol, port


def _points(ports: PortSet) -> tuple[tuple[int, int], ...] | None:
    """A port set as (protocol, port) points; None when it is more than a few."""
    items = ports.items()
    few = len(items) <= _MOST_PORTS and all(low == high for _, low, high in items)
    alone = few and not ports.other and not ports.apart
    return tuple((protocol, low) for protocol, low, _ in items) if alone else None
