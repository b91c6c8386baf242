"""Exact connections that every policy of the node allows, for one lookup in front of everything else.

One large hash of (source, destination, protocol, port) stays in the cache better than many small ones, and a first
packet that hits it passes one rule, whatever the size of the cluster (docs/DATAPATH.md). A packet that misses the
pairs is judged by the class of its end; a class that allows nothing but pairs is *answered*: what misses them there
is denied, and the class needs no chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from compiler.ir.match import Field
from compiler.net import NO_PORTS, Family, PortSet, Prefix
from compiler.policy import Direction
from compiler.resolve.classes import PodClass
from compiler.resolve.reach import Reach, asker

PAIR_KEY = (Field.SOURCE, Field.DESTINATION, Field.PROTOCOL, Field.PORT)

#: At most so many pairs a family; classes that ask for the fewest come first. 262,144 elements take about 2 s to
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
    tallies = [Counter(ports for _, ports in reach.exact) for _, reach in lowered]
    sized = ((pods, cost(pods.addresses(family), tally)) for (pods, _), tally in zip(lowered, tallies, strict=True))
    found: set[Pair] = set()
    answered: set[int] = set()
    for n in within_budget(list(sized)):
        pods, reach = lowered[n]
        others = subjects[opposite(pods.direction)]
        for own in pods.addresses(family):
            for peer, protocol, port in _single_ports(reach):
                ask_peer = others.get(peer)
                if ask_peer is None or ask_peer(own).has(protocol, port):
                    found.add((*ends(pods.direction, own, peer), protocol, port))
        if not reach.shared and is_pairs_alone(tallies[n], reach.nets):
            answered.add(n)
    return Pairs(tuple(sorted(found)), frozenset(answered))


def cost(own: Sequence[int], tally: Mapping[PortSet, int]) -> int:
    """How many pairs a class asks for: with its addresses, and so many exact other ends by their ports."""
    return len(own) * sum(len(points(ports) or ()) * count for ports, count in tally.items())


def within_budget(sized: Sequence[tuple[PodClass, int]]) -> Iterator[int]:
    """The positions of the classes whose costs (of one family) are within the budget together, the lowest first."""
    first = {n: (pods.pods[0].namespace, pods.pods[0].name) for n, (pods, _) in enumerate(sized)}
    order = sorted((cost, pods.direction.value, first[n], n) for n, (pods, cost) in enumerate(sized))
    spent = 0
    for more, _, _, n in order:
        spent += more
        if spent > PAIR_BUDGET:
            break
        yield n


def opposite(direction: Direction) -> Direction:
    """The direction in which the other end is the subject."""
    return Direction.EGRESS if direction is Direction.INGRESS else Direction.INGRESS


def ends(direction: Direction, own: int, peer: int) -> tuple[int, int]:
    """Source and destination of what a subject lets through in a direction."""
    return (peer, own) if direction is Direction.INGRESS else (own, peer)


def is_pairs_alone(exact: Iterable[PortSet], nets: Iterable[tuple[Prefix, PortSet]]) -> bool:
    """Whether a class that asks no shared set allows nothing but pairs: by the ports that its exact addresses have,
    and by its prefixes."""
    return all(ports == NO_PORTS for _, ports in nets) and all(points(ports) is not None for ports in exact)


def _single_ports(reach: Reach) -> Iterator[tuple[int, int, int]]:
    """(address, protocol, port) of every exact address that allows nothing but a few single ports."""
    for address, ports in reach.exact:
        for protocol, port in points(ports) or ():
            yield address, protocol, port


@lru_cache(maxsize=1 << 10)
def points(ports: PortSet) -> tuple[tuple[int, int], ...] | None:
    """A port set as (protocol, port) points; None when it is more than a few."""
    items = ports.items()
    few = len(items) <= _MOST_PORTS and all(low == high for _, low, high in items)
    alone = few and not ports.other and not ports.apart
    return tuple((protocol, low) for protocol, low, _ in items) if alone else None
