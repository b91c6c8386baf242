"""How often rules match when nothing was counted: an estimate from what they ask.

It knows no network. It takes traffic for what traffic mostly is (docs/OPTIMIZE.md has the reasons): most packets belong
to connections that exist, most are of TCP, most go to few ports. Of two blocks the broader one gets more, but a single
host or port that somebody wrote a rule about gets far more than its share of all numbers: every four bits of an IPv4
prefix halve what it gets, and so do sixteen of an IPv6 prefix. What a rule asks is taken for independent, and what
rules in front of it take is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from math import log2, prod

from compiler.optimizing.chains import Asked, Chain, Listing
from compiler.ordering.dimensions import DESTINATION, EVERYTHING, FROM, PROTOCOL, SOURCE, STATE, TO, VERSION
from compiler.ordering.overlap import Box
from compiler.ordering.prices import Kind

#: Packets that are taken to enter each chain that no rule leads to.
PACKETS = 1_000_000
#: Bits of a number that halve the share of those that begin alike.
_HALVED_BY = {32: 4, 128: 16, 16: 4, 8: 4}
#: In the order of `dimensions.STATES`: invalid, new, related, established; nothing of the others.
_STATES = {0: 0.01, 1: 0.08, 2: 0.01, 3: 0.90}
_PROTOCOLS = {6: 0.80, 17: 0.15, 1: 0.02, 58: 0.02}
_PORTS = {443: 0.50, 80: 0.15, 53: 0.10, 22: 0.02, 123: 0.02, 25: 0.01}
_VERSIONS = {4: 0.80, 6: 0.20}
_INTERFACE = 0.5
#: Of a question that no dimension stands for.
_OTHERS = {Kind.SET: 0.25, Kind.MARK: 0.5, Kind.ADDRESS_TYPE: 0.5}
#: What is taken off behind a rule is what it takes of at least this much, and of no more rules than these.
_BROAD, _MOST = 1 / 1024, 64


def estimated(listing: Listing) -> Listing:
    """The listing with weights by the estimate."""
    chains: list[Chain] = []
    for block in listing.blocks().values():
        chains += _block(block)
    found = {(chain.block, chain.name): chain for chain in chains}
    return replace(listing, chains=tuple(found[chain.block, chain.name] for chain in listing.chains))


def share(asked: Asked) -> float:
    """Of all packets, those that such a rule matches."""
    whole = _boxed(asked.box)
    return (min(whole, sum(map(_boxed, asked.parts))) if asked.parts else whole) * _others(asked)


def _block(chains: list[Chain]) -> Iterator[Chain]:
    """Chains of one table: those that rules lead to when it is known how many packets enter them. In a circle, or where
    no rule leads, as many as enter a hook."""
    waiting = {chain.name: chain for chain in chains}
    entered = dict.fromkeys(waiting, 0.0)
    ahead = dict.fromkeys(waiting, 0)
    for name in _targets(chains):
        if name in ahead:
            ahead[name] += 1
    first = {name for name, count in ahead.items() if not count}
    ready = [name for name in waiting if name in first]
    while waiting:
        name = ready.pop() if ready else next(iter(waiting))
        chain = waiting.pop(name)
        packets = _packets(chain, PACKETS if name in first or not entered[name] else entered[name])
        for rule, many in zip(chain.rules, packets, strict=True):
            for to in rule.asked.to:
                if to in waiting:
                    ahead[to] -= 1
                    entered[to] += many / len(rule.asked.to)
                    ready += [to] * (not ahead[to])
        new = (replace(rule, weight=round(many)) for rule, many in zip(chain.rules, packets, strict=True))
        yield replace(chain, rules=tuple(new))


def _targets(chains: Iterable[Chain]) -> Iterator[str]:
    return (to for chain in chains for rule in chain.rules for to in rule.asked.to)


def _packets(chain: Chain, entering: float) -> list[float]:
    """Of so many packets, those that each rule of the chain matches."""
    found: list[float] = []
    broad: list[Asked] = []
    for rule in chain.rules:
        own = share(rule.asked)
        found.append(entering * own * prod(1 - _of(rule.asked, other) for other in broad))
        if rule.asked.ends and own >= _BROAD and len(broad) < _MOST:
            broad.append(rule.asked)
    return found


def _of(one: Asked, other: Asked) -> float:
    """Of the packets that one rule matches, those that the other one matches."""
    if not one.parts and not other.parts:
        return _inside(one.box, other.box) * _others(other)
    parts = [(box, _boxed(box)) for box in one.parts or (one.box,)]
    shares = [many * min(sum(_inside(box, cut) for cut in other.parts or (other.box,)), 1.0) for box, many in parts]
    return sum(shares) / (sum(many for _, many in parts) or 1) * _others(other)


def _boxed(box: Box) -> float:
    """Of all packets, those in a box."""
    return prod(map(_share, range(len(box)), box))


def _inside(one: Box, other: Box) -> float:
    """Of the packets in one box, those in the other."""
    found = 1.0
    for dimension, (inner, outer) in enumerate(zip(one, other, strict=True)):
        if inner[1] < outer[0] or outer[1] < inner[0]:
            return 0.0
        if not (outer[0] <= inner[0] and inner[1] <= outer[1]):
            found *= _share(dimension, outer)
    return found


def _others(asked: Asked) -> float:
    return prod(_OTHERS.get(kind, 1.0) for kind in asked.kinds)


@cache
def _share(dimension: int, interval: tuple[int, int]) -> float:
    """Of all packets, those with a number in the interval."""
    if interval == EVERYTHING[dimension]:
        return 1.0
    match dimension:
        case _ if dimension in (SOURCE, DESTINATION):
            return _alike(interval[1] - interval[0] + 1, 32 if interval[1] < 1 << 32 else 128)
        case _ if dimension == PROTOCOL:
            return _listed(interval, _PROTOCOLS, 8)
        case _ if dimension in (FROM, TO):
            return _listed(interval, _PORTS, 16)
        case _ if dimension in (STATE, VERSION):
            known = _STATES if dimension == STATE else _VERSIONS
            return sum(part for number, part in known.items() if interval[0] <= number <= interval[1])
        case _:
            return _INTERFACE


def _listed(interval: tuple[int, int], known: Mapping[int, float], bits: int) -> float:
    """What the numbers that are known get, and of what is left for all others these ones' part."""
    inside = [part for number, part in known.items() if interval[0] <= number <= interval[1]]
    others = interval[1] - interval[0] + 1 - len(inside)
    return sum(inside) + ((1 - sum(known.values())) * _alike(others, bits) if others else 0.0)


def _alike(many: int, bits: int) -> float:
    """Of all numbers of so many bits, so many."""
    return float(2 ** (-(bits - log2(many)) / _HALVED_BY[bits]))
