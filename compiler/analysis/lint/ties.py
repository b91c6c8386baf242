"""Policies of which the API does not say which comes first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from compiler.analysis.lint.cover import reach_of
from compiler.analysis.lint.findings import Entry, Finding, Level, World
from compiler.net import Prefix, parse_address, without
from compiler.policy import Anyone, Block, Direction, Domains, NodeSelector, Peer, PodSelector, Rule, Tier


def priority_tie(world: World) -> Iterator[Finding]:
    """Two policies of one tier and priority that are both about some pod of the input, with rules of different
    actions for a connection: "can apply any of the matching policies", says v1alpha2."""
    ranked: dict[tuple[int, int], list[Entry]] = {}
    for entry in world.entries:
        if entry.model.tier is not Tier.APPLICATION and entry.model.origin.kind != "BaselineAdminNetworkPolicy":
            ranked.setdefault((entry.model.tier, entry.model.priority), []).append(entry)
    for equals in ranked.values():
        for one, two in combinations(equals, 2):
            if not set(map(id, world.members(one.model.subject))) & set(map(id, world.members(two.model.subject))):
                continue
            clash = next(_clashes(world, one, two), None)
            if clash is not None:
                direction, mine, theirs = clash
                text = (
                    f"priority {one.model.priority} twice: {one.rule_title(direction, mine)} and "
                    f"{two.rule_title(direction, theirs)} have different actions for the same connections"
                )
                yield two.finding(Level.ERROR, "priority-tie", text, ("spec", "priority"))


def _clashes(world: World, one: Entry, two: Entry) -> Iterator[tuple[Direction, int, int]]:
    for direction in Direction:
        for n, mine in enumerate(one.model.rules(direction)):
            for m, theirs in enumerate(two.model.rules(direction)):
                if mine.action is theirs.action or not _ports_meet(mine, theirs):
                    continue
                if any(_peers_meet(world, a, b) for a in mine.peers for b in theirs.peers):
                    yield direction, n, m


def _ports_meet(one: Rule, two: Rule) -> bool:
    """By number, or by a name in common."""
    mine, theirs = reach_of(one.ports), reach_of(two.ports)
    return bool(mine.ports & theirs.ports) or bool(mine.named & theirs.named)


def _peers_meet(world: World, one: Peer, two: Peer) -> bool:
    if isinstance(one, Domains) or isinstance(two, Domains):
        return False
    if isinstance(one, Anyone) or isinstance(two, Anyone):
        return True
    if isinstance(one, PodSelector) and isinstance(two, PodSelector):
        return bool(set(map(id, world.members(one))) & set(map(id, world.members(two))))
    return any(a.covers(b) or b.covers(a) for a in _addresses(world, one) for b in _addresses(world, two))


def _addresses(world: World, peer: Peer) -> Iterator[Prefix]:
    if isinstance(peer, Block):
        yield from without(peer.prefix, peer.excepts)
        return
    if isinstance(peer, PodSelector):
        spaces, ips = peer.namespaces, list[str]()
        for pod in world.pods:
            labels = world.snapshot.namespaces[pod.namespace].labels
            inside = spaces == pod.namespace if isinstance(spaces, str) else spaces.matches(labels)
            if inside and peer.pods.matches(pod.labels) and pod.holds_addresses:
                ips += pod.ips
    else:
        assert isinstance(peer, NodeSelector)
        ips = [ip for node in world.snapshot.nodes.values() if peer.nodes.matches(node.labels) for ip in node.ips]
    for text in ips:
        family, value = parse_address(text)
        yield Prefix(family.value, value, family.bits)
