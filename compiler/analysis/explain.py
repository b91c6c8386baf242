"""Why a connection is allowed or denied: the oracle's account of every pair of addresses that the ends stand for.

Ends may stand for many addresses (the pods of a workload, both families). Pairs that no policy can tell apart are
asked about once; groups with the same account are told together. So the answer is complete, not a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from compiler.analysis.ends import End, Place, Wanted
from compiler.errors import Unreadable
from compiler.resources import NetworkPolicy, networkpolicy
from compiler.semantics.account import Account, account, rules_of
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet, connection
from compiler.semantics.reading import EgressPeer, EgressRule, peers_of, within
from compiler.semantics.verdict import AnyPolicy, Direction
from compiler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Alike:
    """Pairs of places that policies cannot tell apart: of a pod with itself (`itself`), or all others."""

    sources: tuple[Place, ...]
    destinations: tuple[Place, ...]
    itself: bool

    def pairs(self) -> Iterator[tuple[Place, Place]]:
        """One at least."""
        if self.itself:
            return _same(self.sources, self.destinations)
        return ((a, b) for a in self.sources for b in self.destinations if not _is_same(a, b))


@dataclass(frozen=True, slots=True)
class Answer:
    """`count` connections like that of `packet`, from `source` to `destination`: the first pair of `alike`."""

    packet: Packet
    source: Place
    destination: Place
    count: int
    egress: Account
    ingress: Account
    alike: tuple[Alike, ...]

    @property
    def allowed(self) -> bool:
        return self.egress.ruling.allowed and self.ingress.ruling.allowed


@dataclass(frozen=True, slots=True)
class Explanation:
    """`answers` differ in their accounts; the first one is about most connections."""

    source: End
    destination: End
    wanted: Wanted
    answers: tuple[Answer, ...]

    @property
    def allowed(self) -> bool:
        """Whether every connection between the ends comes about."""
        return all(answer.allowed for answer in self.answers)


def explain(
    policies: Sequence[AnyPolicy], snapshot: Snapshot, source: End, destination: End, wanted: Wanted
) -> Explanation:
    """Asks about every pair of addresses of one family. Raises Unreadable where there is none."""
    oracle = Oracle(policies, snapshot)
    found: dict[Hashable, Answer] = {}
    for alike, count in _pairs(policies, snapshot, source, destination):
        one, two = next(alike.pairs())
        protocol, port = wanted.of(two)
        packet = connection(one.address, two.address, protocol, port, 0)
        egress, ingress = account(oracle, packet)
        key = (_shape(egress), _shape(ingress))
        before = found.get(key)
        if before is None:
            found[key] = Answer(packet, one, two, count, egress, ingress, (alike,))
        else:
            found[key] = replace(before, count=before.count + count, alike=(*before.alike, alike))
    if not found:
        raise Unreadable(f"{source.name} and {destination.name} have no address of the same family")
    return Explanation(source, destination, wanted, tuple(sorted(found.values(), key=lambda a: -a.count)))


def _shape(told: Account) -> Hashable:
    """What makes two accounts the same: the verdict and what became of every rule."""
    tiers = tuple(
        (tier.asked, tuple((id(p.policy), tuple((r.outcome, len(r.peers)) for r in p.rules)) for p in tier.policies))
        for tier in told.tiers
    )
    return told.ruling.allowed, told.ruling.because, told.ruling.rule, tiers


def _pairs(
    policies: Sequence[AnyPolicy], snapshot: Snapshot, source: End, destination: End
) -> Iterator[tuple[Alike, int]]:
    """All pairs of places of one family, those together that policies cannot tell apart, with their number. A pod and
    itself are told from a pod and its fellow."""
    blocks = tuple(dict.fromkeys(_blocks(policies))) if len(source.places) + len(destination.places) > 2 else ()
    nodes = frozenset(ip for node in snapshot.nodes.values() for ip in node.ips)

    def kind(place: Place, wired: bool) -> Hashable:
        pod = place.holder
        if pod is None:
            return place.address
        met = tuple(within(place.address, block) for block in blocks)
        place_of_node = pod.node if wired else ""
        labels = frozenset(pod.labels.items())
        return ":" in place.address, pod.namespace, labels, pod.ports, met, place.address in nodes, place_of_node

    # Only addresses of nodes make a difference to which node a pod is on.
    wired = any(place.holder is None for place in source.places)
    for ones in _classes(source.places, lambda place: kind(place, False)):
        for twos in _classes(destination.places, lambda place: kind(place, wired)):
            if (":" in ones[0].address) != (":" in twos[0].address):
                continue
            itself = sum(1 for _ in _same(ones, twos))
            others = len(ones) * len(twos) - itself
            if itself:
                yield Alike(ones, twos, True), itself
            if others:
                yield Alike(ones, twos, False), others


def _classes(places: Iterable[Place], kind: Callable[[Place], Hashable]) -> list[tuple[Place, ...]]:
    found: dict[Hashable, list[Place]] = {}
    for place in places:
        found.setdefault(kind(place), []).append(place)
    return [tuple(alike) for alike in found.values()]


def _is_same(one: Place, two: Place) -> bool:
    return one.holder is not None and one.holder is two.holder


def _same(ones: Sequence[Place], twos: Sequence[Place]) -> Iterator[tuple[Place, Place]]:
    by_pod: dict[int, list[Place]] = {}
    for two in twos:
        by_pod.setdefault(id(two.holder), []).append(two)
    for one in ones:
        if one.holder is not None:
            yield from ((one, two) for two in by_pod.get(id(one.holder), ()))


def _blocks(policies: Iterable[AnyPolicy]) -> Iterator[str]:
    """Every block that a policy names."""
    for policy in policies:
        for direction in Direction:
            for rule in rules_of(policy, direction):
                if isinstance(rule, networkpolicy.IngressRule | networkpolicy.EgressRule):
                    assert isinstance(policy, NetworkPolicy)
                    peers = rule.from_ if isinstance(rule, networkpolicy.IngressRule) else rule.to
                    for peer in peers or ():
                        if peer.ip_block is not None:
                            yield peer.ip_block.cidr
                            yield from peer.ip_block.except_ or ()
                elif isinstance(rule, EgressRule):
                    for one in peers_of(rule):
                        if isinstance(one, EgressPeer):
                            yield from one.networks or ()
