"""Classes and their reaches -> the ruleset that enforces them.

A first packet passes: replies, the pairs that both ends allow (`fastpath`), the egress map with its source, the
ingress map with its destination. A class's chain looks the other end up and ends in Return (allowed here), a port
chain or `deny`. However many policies, pods and rules there are, the number of lookups stays the same.

`deny` lets a pod reach itself: the check costs only packets that are about to be dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.backends.target import Target
from compiler.ir.match import Field, InPrefix, InSet
from compiler.ir.names import Namer
from compiler.ir.ruleset import (
    Accept,
    Chain,
    Jump,
    Lookup,
    PrefixMap,
    Rule,
    Ruleset,
    Set,
    Verdict,
)
from compiler.lower.deny import Deny
from compiler.lower.fastpath import PAIR_KEY, pairs
from compiler.lower.hooks import hook_chains
from compiler.lower.notes import class_notes, set_notes
from compiler.lower.ports import PortChains
from compiler.net import Family, PortSet, Prefix
from compiler.policy import Direction, Origin
from compiler.resolve.classes import PodClass
from compiler.resolve.reach import Reach, Reacher, SharedSet

#: The field that holds the subject, and the one that holds the other end.
_ENDS = {
    Direction.INGRESS: (Field.DESTINATION, Field.SOURCE),
    Direction.EGRESS: (Field.SOURCE, Field.DESTINATION),
}
_SHORT = {Direction.INGRESS: "in", Direction.EGRESS: "eg"}


@dataclass(frozen=True, slots=True)
class Lowered:
    """One class in one family, with the name of its chain."""

    pods: PodClass
    family: Family
    reach: Reach
    chain: str


def lower(classes: Sequence[PodClass], reacher: Reacher, target: Target) -> Ruleset:
    """The ruleset of one node, before any pass."""
    return _Lowering(reacher, target).ruleset(classes)


class _Lowering:
    def __init__(self, reacher: Reacher, target: Target) -> None:
        self._reacher = reacher
        self._target = target
        self._namer = Namer()
        self._ports = PortChains(self._namer, target.capabilities)
        self._maps: list[PrefixMap] = []
        self._sets: dict[str, Set] = {}

    def ruleset(self, classes: Sequence[PodClass]) -> Ruleset:
        lowered = tuple(
            Lowered(pods, family, reach, self._chain_name(pods, family))
            for family in self._target.families
            for pods in classes
            if pods.addresses(family) and not (reach := self._reacher.reach(pods, family)).is_open
        )
        class_chains = tuple(self._class_chain(one) for one in lowered)
        egress, ingress = (tuple(self._dispatch(lowered, d)) for d in (Direction.EGRESS, Direction.INGRESS))
        allowed_pairs = tuple(self._pairs(lowered))
        deny = Deny([one.pods for one in lowered], self._target.families, self._target.capabilities)
        return Ruleset(
            chains=(
                *hook_chains(allowed_pairs, egress, ingress),
                *class_chains,
                *self._ports.chains,
                *deny.chains,
            ),
            sets=(*self._sets.values(), *self._ports.sets, *deny.sets),
            maps=tuple(self._maps),
            families=self._target.families,
        )

    def _chain_name(self, pods: PodClass, family: Family) -> str:
        """The stem is the name of the first NetworkPolicy of the class, which says more than an admin policy's."""
        stem = next((p.origin.name for p in pods.policies if p.isolates), pods.policies[0].origin.name)
        return self._namer.name(f"{_SHORT[pods.direction]}{family.value}", stem, pods.key)

    def _dispatch(self, lowered: Sequence[Lowered], direction: Direction) -> Iterator[Lookup]:
        """One stage: the subject's address leads to the chain of its class."""
        subject, _ = _ENDS[direction]
        for family in self._target.families:
            here = [one for one in lowered if one.family is family and one.pods.direction is direction]
            elements = sorted(
                (Prefix(family.value, address, family.bits), Jump(one.chain))
                for one in here
                for address in one.pods.addresses(family)
            )
            if elements:
                name = f"{direction.value}{family.value}"
                note = f"pods of this node that {direction.value} policies select -> the chain of their class"
                self._maps.append(PrefixMap(name, family, tuple(elements), (note,)))
                yield Lookup(subject, name, family, _origins(here))

    def _pairs(self, lowered: Sequence[Lowered]) -> Iterator[Rule]:
        for family in self._target.families:
            here = [one for one in lowered if one.family is family]
            elements = pairs([(one.pods, one.reach) for one in here], family)
            if elements:
                name = f"pairs{family.value}"
                note = "connections that every policy concerned allows: source, destination, protocol, port"
                self._add_set(Set(name, family, PAIR_KEY, elements, (note,)))
                yield Rule((InSet(PAIR_KEY, name),), Accept(), family, _origins(here))

    # One class

    def _class_chain(self, one: Lowered) -> Chain:
        _, other = _ENDS[one.pods.direction]
        rules: list[Rule | Lookup] = []
        exact = [(Prefix(one.family.value, address, one.family.bits), ports) for address, ports in one.reach.exact]
        origins = _origins([one])
        if exact:
            rules.append(self._lookup("a", one, exact, "other ends by address"))
        for shared, ports in one.reach.shared:
            matches = (InSet((other,), self._shared_set(shared, other)),)
            rules.append(Rule(matches, self._verdict(ports, one), one.family, origins))
        nets = [(prefix, ports) for prefix, ports in one.reach.nets if prefix.length]
        if len(nets) > self._target.capabilities.inline_prefixes:
            rules.append(self._lookup("n", one, nets, "other ends by prefix, the longest decides"))
        else:
            for prefix, ports in sorted(nets, key=lambda net: -net[0].length):
                rules.append(Rule((InPrefix(other, prefix),), self._verdict(ports, one), one.family, origins))
        rules.append(Rule((), self._verdict(one.reach.nets[0][1], one), origins=origins))
        return Chain(one.chain, tuple(rules), family=one.family, notes=class_notes(one.pods, one.family))

    def _lookup(self, suffix: str, one: Lowered, found: Sequence[tuple[Prefix, PortSet]], what: str) -> Lookup:
        name = f"{one.chain}-{suffix}"
        elements = tuple((prefix, self._verdict(ports, one)) for prefix, ports in sorted(found, key=lambda e: e[0]))
        self._maps.append(PrefixMap(name, one.family, elements, set_notes(what, one.pods)))
        return Lookup(_ENDS[one.pods.direction][1], name, one.family, _origins([one]))

    def _verdict(self, ports: PortSet, one: Lowered) -> Verdict:
        return self._ports.verdict(ports, one.chain, _origins([one]))

    def _shared_set(self, shared: SharedSet, field: Field) -> str:
        chosen = shared.selector
        name = self._namer.name(f"s{shared.family.value}", str(chosen.pods), repr(chosen))
        if name not in self._sets:
            elements = tuple((address,) for address in shared.addresses)
            self._sets[name] = Set(name, shared.family, (field,), elements, (str(chosen),))
        return name

    def _add_set(self, new: Set) -> None:
        self._sets.setdefault(new.name, new)


def _origins(lowered: Sequence[Lowered]) -> tuple[Origin, ...]:
    """Every policy behind these classes, once."""
    return tuple(dict.fromkeys(policy.origin for one in lowered for policy in one.pods.policies))
