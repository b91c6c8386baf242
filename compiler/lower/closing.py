"""Addresses of a node's pod ranges that nobody known has: nothing may come from or go to them.

A pod has its address before anybody hears of it, and may keep it when its object is gone. So each stage is a chain: the
map of the stage knows every address of the ranges that somebody has, subjects with the chain of their class, the others
with Return; what it does not know and is in a range is denied. An address is in one place of one map: whoever changes
that element lets a pod in with its rules or not at all.

The node's own addresses may be of its pods' range, as a bridge's is: in INPUT they are let go, and what the node sends
passes OUTPUT as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from compiler.ir.match import Field, InPrefix, LocalSource
from compiler.ir.ruleset import Chain, Goto, Hook, Jump, Lookup, PrefixMap, Return, Rule, Ruleset, Verdict
from compiler.lower.deny import DENY
from compiler.net import Family, Prefix
from compiler.policy import Direction
from compiler.resolve.unknown import Ranges

#: What each hook asks, in order (`lower.hooks`), and by which address.
_STAGES = {
    Hook.FORWARD: (Direction.EGRESS, Direction.INGRESS),
    Hook.INPUT: (Direction.EGRESS,),
    Hook.OUTPUT: (Direction.EGRESS, Direction.INGRESS),
}
_SUBJECT = {Direction.EGRESS: Field.SOURCE, Direction.INGRESS: Field.DESTINATION}
_SHORT = {Direction.EGRESS: "eg", Direction.INGRESS: "in"}


def closing(ruleset: Ruleset, closed: Mapping[Family, Ranges]) -> Ruleset:
    """What `lower.pods` made, with these ranges closed to whoever is not known."""
    if not closed:
        return ruleset
    maps, chains = {found.name: found for found in ruleset.maps}, list[Chain]()
    for direction in Direction:
        for family, own in closed.items():
            name = f"{direction.value}{family.value}"
            found = maps.get(name, PrefixMap(name, family, ()))
            origins = next((rule.origins for rule in _lookups(ruleset) if rule.map == name), ())
            if full := _with_known(found, own):
                maps[name] = full
            chains += _stage(direction, family, own, Lookup(_SUBJECT[direction], name, family, origins), full)
    hooks = (_hooked(chain, closed) if chain.hook in _STAGES else chain for chain in ruleset.chains)
    return replace(ruleset, chains=(*hooks, *chains), maps=tuple(maps.values()))


def _lookups(ruleset: Ruleset) -> Iterator[Lookup]:
    for chain in ruleset.chains:
        yield from (rule for rule in chain.rules if chain.hook and isinstance(rule, Lookup))


def _with_known(found: PrefixMap, own: Ranges) -> PrefixMap | None:
    """The map of a stage with everybody of the ranges; None when it is empty."""
    subjects = {prefix: Goto(verdict.chain) for prefix, verdict in found.elements if isinstance(verdict, Jump)}
    assert len(subjects) == len(found.elements), f"{found.name}: leads to the chains of classes"
    family = found.family
    others = (Prefix(family.value, address, family.bits) for address in own.known)
    every: dict[Prefix, Verdict] = {**{prefix: Return() for prefix in others}, **subjects}
    note = "others that have an address of this node's pod ranges: nothing to ask"
    elements = tuple(sorted(every.items(), key=lambda element: element[0]))
    return replace(found, elements=elements, notes=(*found.notes, note), subjects=True) if every else None


def _stage(
    direction: Direction, family: Family, own: Ranges, lookup: Lookup, full: PrefixMap | None
) -> Iterator[Chain]:
    """The chain of a stage, and what becomes of addresses that its map does not know."""
    rest = f"unknown-{_SHORT[direction]}{family.value}"
    asked = (lookup,) if full is not None else ()
    note = f"{direction.value} of whoever has an address of this node's pod ranges"
    yield Chain(_name(direction, family), (*asked, Rule((), Goto(rest))), family=family, notes=(note,))
    rules = list[Rule]()
    for block in own.blocks:
        inside = InPrefix(_SUBJECT[direction], block)
        if direction is Direction.EGRESS:
            rules.append(Rule((inside, LocalSource()), Return(), family))
        rules.append(Rule((inside,), Goto(DENY), family))
    yield Chain(rest, tuple(rules), family=family, notes=("nobody known has the address: nothing may use it",))


def _name(direction: Direction, family: Family) -> str:
    return f"pods-{_SHORT[direction]}{family.value}"


def _hooked(chain: Chain, closed: Mapping[Family, Ranges]) -> Chain:
    """The base chain with jumps to stages in place of their lookups."""
    assert chain.hook is not None
    by_map = {rule.map: rule for rule in chain.rules if isinstance(rule, Lookup)}
    rules: list[Rule | Lookup] = [rule for rule in chain.rules if isinstance(rule, Rule)]
    for direction in _STAGES[chain.hook]:
        for family in Family:
            if family in closed:
                rules.append(Rule((), Jump(_name(direction, family)), family))
            elif (lookup := by_map.get(f"{direction.value}{family.value}")) is not None:
                rules.append(lookup)
    return replace(chain, rules=tuple(rules))
