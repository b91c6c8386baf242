"""Exact connections that every policy of the node allows, for one lookup in front of everything else.

One large hash of (source, destination, protocol, port) stays in the cache better than many small ones: a first
packet that hits it costs 1.05-1.13 of a firewall without policies at any size (docs/DATAPATH.md). The pairs add
nothing to what the classes allow: they are an answer known in advance, and a packet that misses them is judged in
full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from compiler.ir.match import Field
from compiler.net import Family, PortSet
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


def pairs(lowered: Sequence[tuple[PodClass, Reach]], family: Family) -> tuple[Pair, ...]:
    """The pairs of one family, sorted. `lowered` holds every class of the family with a dispatch entry."""
    subjects: dict[Direction, dict[int, Callable[[int], PortSet]]] = {direction: {} for direction in Direction}
    for pods, reach in lowered:
        ask = asker(reach)
        subjects[pods.direction].update((address, ask) for address in pods.addresses(family))
    sized = sorted((_cost(pods, reach, family), n) for n, (pods, reach) in enumerate(lowered))
    found: set[Pair] = set()
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
    return tuple(sorted(found))


def _cost(pods: PodClass, reach: Reach, family: Family) -> int:
    return len(pods.addresses(family)) * sum(1 for _ in _single_ports(reach))


def _single_ports(reach: Reach) -> Iterator[tuple[int, int, int]]:
    """(address, protocol, port) of every exact address that allows nothing but a few single ports."""
    known: dict[PortSet, tuple[tuple[int, int], ...]] = {}
    for address, ports in reach.exact:
        points = known.get(ports)
        if points is None:
            items = () if ports.other else ports.items()
            few = len(items) <= _MOST_PORTS and all(low == high for _, low, high in items)
            points = known[ports] = tuple((protocol, low) for protocol, low, _ in items) if few else ()
        for protocol, port in points:
            yield address, protocol, port
