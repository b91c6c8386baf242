"""Whether rules cover another one: for everybody whom it can ever mean, not only for the pods of the input.

Selectors are compared by what they require, blocks and ports exactly. What is said to be covered is covered in every
cluster with these namespaces; a selector that covers another one for reasons of its own may be missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from compiler.net import ALL_PORTS, EVERY_PORT, PROTOCOL_NAMES, PortSet, Prefix, port_set, without
from compiler.policy import (
    Anyone,
    Block,
    Direction,
    NamedPort,
    NodeSelector,
    Peer,
    PodSelector,
    Ports,
    Requirement,
    Rule,
    Selector,
)
from compiler.resources.cluster import Namespace
from compiler.snapshot import NAME_LABEL

_EVERYTHING = (Prefix(4, 0, 0), Prefix(6, 0, 0))


@dataclass(frozen=True, slots=True)
class Reach:
    """Ports by number and by name; names are looked up on the destination."""

    ports: PortSet
    named: frozenset[NamedPort] = frozenset()

    def __sub__(self, less: Reach) -> Reach:
        return Reach(self.ports - less.ports, frozenset(n for n in self.named if not less._has(n)))

    def __bool__(self) -> bool:
        return bool(self.ports or self.named)

    def _has(self, wanted: NamedPort) -> bool:
        if wanted in self.named or NamedPort(wanted.name) in self.named:
            return True
        numbers = PROTOCOL_NAMES if wanted.protocol is None else (wanted.protocol,)
        return all(getattr(self.ports, PROTOCOL_NAMES[number]) == EVERY_PORT for number in numbers)


@lru_cache(maxsize=1 << 12)  # each rule is held against many
def reach_of(ports: Ports, named: bool = True) -> Reach:
    """What a port list says; without names where they mean nothing."""
    if ports.everything:
        return Reach(ALL_PORTS)
    return Reach(port_set(ports.spans), frozenset(ports.named) if named else frozenset())


def implies(one: Selector, two: Selector) -> bool:
    """Whether everything that the first selects is selected by the second."""
    return all(any(_stronger(a, b) for a in one.requirements) for b in two.requirements)


def _stronger(one: Requirement, two: Requirement) -> bool:
    if one.key != two.key:
        return False
    mine, theirs = set(one.values), set(two.values)
    match one.operator, two.operator:
        case "In", "In":
            return mine <= theirs
        case "In", "NotIn":
            return not mine & theirs
        case "In", "Exists":
            return True
        case "NotIn", "NotIn":
            return theirs <= mine
        case "DoesNotExist", "NotIn":
            return True
        case _:
            return one.operator == two.operator and mine == theirs


def pods_within(one: PodSelector, two: PodSelector, namespaces: Mapping[str, Namespace]) -> bool:
    """Whether every pod of the first is one of the second."""
    if not implies(one.pods, two.pods):
        return False
    if isinstance(two.namespaces, str):
        wanted = Selector((Requirement(NAME_LABEL, "In", (two.namespaces,)),))
        return one.namespaces == two.namespaces or (
            isinstance(one.namespaces, Selector) and implies(one.namespaces, wanted)
        )
    if isinstance(one.namespaces, str):
        known = namespaces.get(one.namespaces)
        return known is not None and two.namespaces.matches(known.labels)
    return implies(one.namespaces, two.namespaces)


#: (version, first, last) of each block, and whether there are other peers.
Extent = tuple[tuple[tuple[int, int, int], ...], bool]


def extent(rule: Rule) -> Extent:
    """Where a rule's peers are, roughly: enough to see that two rules have nothing to do with each other."""
    blocks = [peer.prefix for peer in rule.peers if isinstance(peer, Block)]
    ranges = ((p.version, p.base, p.base + (1 << p.family.bits - p.length) - 1) for p in blocks)
    return tuple(ranges), len(blocks) < len(rule.peers)


def meet(one: Extent, two: Extent) -> bool:
    """Whether two rules may have an end in common: False is certain."""
    if two[1] or one[1]:
        return True
    return any(v == w and a <= d and c <= b for v, a, b in one[0] for w, c, d in two[0])


def is_covered(rule: Rule, others: Sequence[Rule], direction: Direction, namespaces: Mapping[str, Namespace]) -> bool:
    """Whether every connection that a rule matches is matched by one of the others, for a subject of all of them."""
    return all(_peer_covered(peer, rule, others, direction, namespaces) for peer in rule.peers)


def _peer_covered(
    peer: Peer, rule: Rule, others: Sequence[Rule], direction: Direction, namespaces: Mapping[str, Namespace]
) -> bool:
    inward = direction is Direction.INGRESS  # names are then the subject's, whoever the other end is
    if isinstance(peer, Block):
        left = reach_of(rule.ports, inward)
        covers = [(_prefixes(one), reach_of(one.ports, inward)) for one in others]
        return not any(_is_left(part, left, covers) for part in without(peer.prefix, peer.excepts))
    left = reach_of(rule.ports)
    for one in others:
        if any(_same_end(peer, two, namespaces) for two in one.peers):
            left = left - reach_of(one.ports)
    if isinstance(peer, Anyone) and left and not left.named:
        covers = [(_prefixes(one), Reach(reach_of(one.ports).ports)) for one in others]
        return not any(_is_left(part, left, covers) for part in _EVERYTHING)
    return not left


def _same_end(one: Peer, two: Peer, namespaces: Mapping[str, Namespace]) -> bool:
    if isinstance(two, Anyone):
        return True
    if isinstance(one, PodSelector) and isinstance(two, PodSelector):
        return pods_within(one, two, namespaces)
    if isinstance(one, NodeSelector) and isinstance(two, NodeSelector):
        return implies(one.nodes, two.nodes)
    return False


def _prefixes(rule: Rule) -> tuple[Prefix, ...]:
    """The addresses that a rule matches whoever holds them."""
    found: list[Prefix] = []
    for peer in rule.peers:
        if isinstance(peer, Anyone):
            return _EVERYTHING
        if isinstance(peer, Block):
            found += without(peer.prefix, peer.excepts)
    return tuple(found)


def _is_left(part: Prefix, left: Reach, covers: Sequence[tuple[tuple[Prefix, ...], Reach]]) -> bool:
    """Whether some address of a block keeps some port that no cover has."""
    if not left:
        return False
    for n, (prefixes, reach) in enumerate(covers):
        near = [one for one in prefixes if one.covers(part) or part.covers(one)]
        if not near or left - reach == left:
            continue
        rest = covers[n + 1 :]
        if any(_is_left(outside, left, rest) for outside in without(part, near)):
            return True
        inner = [part] if any(one.covers(part) for one in near) else near
        return any(_is_left(inside, left - reach, rest) for inside in inner)
    return True
