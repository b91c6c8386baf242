"""Rules that never decide, since other rules cover them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.analysis.lint.cover import Extent, extent, is_covered, meet, pods_within, reach_of
from compiler.analysis.lint.findings import Entry, Finding, Level, World
from compiler.policy import Block, Direction, Domains, Rule, Tier

#: A rule of an entry.
Place = tuple[Entry, int, Rule]


def redundant_rule(world: World) -> Iterator[Finding]:
    """A rule of a NetworkPolicy that other rules for the same pods cover. Of equal rules the last one is told."""
    entries = [e for e in world.entries if e.model.tier is Tier.APPLICATION]
    for direction in Direction:
        homes: dict[object, list[Place]] = {}
        for entry in entries:
            if direction in entry.model.isolates:
                own = homes.setdefault(entry.model.subject.namespaces, [])
                own += ((entry, n, rule) for n, rule in enumerate(entry.model.rules(direction)))
        for place in reversed([one for own in homes.values() for one in own]):
            places = homes[place[0].model.subject.namespaces]
            others = [one for one in places if one is not place and _same_subjects(place[0], one[0], world)]
            covering = _covering(place, others, direction, world)
            if covering:
                places.remove(place)
                entry, index, _ = place
                names = ", ".join(e.rule_title(direction, n) for e, n, _ in covering)
                text = f"this rule adds nothing: what it allows is allowed by {names}"
                yield entry.finding(Level.WARNING, "redundant-rule", text, ("spec", direction.value, index))


def shadowed_rule(world: World) -> Iterator[Finding]:
    """A rule of the admin or baseline tier that never matches first."""
    entries = sorted((e for e in world.entries if e.model.tier is not Tier.APPLICATION), key=lambda e: e.model.order)
    for direction in Direction:
        before: list[tuple[Place, Extent]] = []
        for entry in entries:
            wider = {id(e) for e in entries if e.model.tier is entry.model.tier and _same_subjects(entry, e, world)}
            for index, rule in enumerate(entry.model.rules(direction)):
                mine = extent(rule)
                others = [one for one, theirs in before if id(one[0]) in wider and meet(mine, theirs)]
                covering = _covering((entry, index, rule), others, direction, world)
                if covering:
                    names = ", ".join(e.rule_title(direction, n) for e, n, _ in covering)
                    text = f"this rule never decides: {names} match before it whatever it matches"
                    yield entry.finding(Level.ERROR, "shadowed-rule", text, ("spec", direction.value, index))
                else:
                    before.append(((entry, index, rule), mine))


def _same_subjects(entry: Entry, other: Entry, world: World) -> bool:
    """Whether every pod that a policy is about is one of the other's."""
    return entry is other or pods_within(entry.model.subject, other.model.subject, world.snapshot.namespaces)


def _covering(place: Place, others: Sequence[Place], direction: Direction, world: World) -> list[Place]:
    """Rules that cover a rule together, none of which could be left out; empty when all of them do not."""
    rule = place[2]
    if not _can_match(rule, direction):
        return []

    def covered(by: Sequence[Place]) -> bool:
        return is_covered(rule, [one for _, _, one in by], direction, world.snapshot.namespaces)

    if not covered(others):
        return []
    needed = list(others)
    for one in others:
        fewer = [other for other in needed if other is not one]
        if covered(fewer):
            needed = fewer
    return needed


def _can_match(rule: Rule, direction: Direction) -> bool:
    """Whether the rule has a peer and a port to match at all; other checks tell of those that have not."""
    inward = direction is Direction.INGRESS
    return any(
        not isinstance(peer, Domains) and bool(reach_of(rule.ports, inward or not isinstance(peer, Block)))
        for peer in rule.peers
    )
