"""Classes and their reaches -> the ruleset that enforces them.

A first packet passes: replies, the pairs that both ends allow (`fastpath`), the egress map with its source, the
ingress map with its destination. A class's chain looks the other end up and ends in Return (allowed here), a port
chain or `deny`; a class that the pairs answer leads to `deny` at once. However many policies, pods and rules there
are, the number of lookups stays the same.

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
from compiler.lower.deny import DENY, NONE_BESIDES, Denials, Deny
from compiler.lower.fastpath import PAIR_KEY, Pair, pairs
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
    """One class in one family, with the chain that its pods' packets are sent to: its own, or `deny` when the pairs
    hold all that it allows."""

    pods: PodClass
    family: Family
    reach: Reach
    chain: str


def lower(classes: Sequence[PodClass], reacher: Reacher, target: Target, denials: Denials = NONE_BESIDES) -> Ruleset:
    """The ruleset of one node, before any pass."""
    return _Lowering(reacher, target).ruleset(classes, denials)


class _Lowering:
    def __init__(self, reacher: Reacher, target: Target) -> None:
        self._reacher = reacher
        self._target = target
        self._namer = Namer()
        self._ports = PortChains(self._namer, target.capabilities)
        self._maps: list[PrefixMap] = []
        self._sets: dict[str, Set] = {}

    def ruleset(self, classes: Sequence[PodClass], denials: Denials) -> Ruleset:
        known: list[Rule] = []
        lowered: list[Lowered] = []
        for family in self._target.families:
            found = [
                (pods, reach)
                for pods in classes
                if pods.addresses(family) and not (reach := self._reacher.reach(pods, family)).is_open
            ]
            answers = pairs(found, family)
            for n, (pods, reach) in enumerate(found):
                chain = DENY if n in answers.answered else self._chain_name(pods, family)
                lowered.append(Lowered(pods, family, reach, chain))
            known += self._known(answers.elements, family, [pods for pods, _ in found])
        class_chains = tuple(self._class_chain(one) for one in lowered if one.chain != DENY)
        egress, ingress = (tuple(self._dispatch(lowered, d)) for d in (Direction.EGRESS, Direction.INGRESS))
        concerned = [one.pods for one in lowered]
        deny = Deny(
            concerned,
            self._target.families,
            self._target.capabilities,
            denials=denials,
            log_group=self._target.log_group,
        )
        return Ruleset(
            chains=(*hook_chains(known, egress, ingress), *class_chains, *self._ports.chains, *deny.chains),
            sets=(*self._sets.values(), *self._ports.sets, *deny.sets),
            maps=tuple(self._maps),
            families=self._target.families,
        )

    def _known(self, elements: Sequence[Pair], family: Family, classes: Sequence[PodClass]) -> Iterator[Rule]:
        if elements:
            name = f"pairs{family.value}"
            note = "connections that every policy concerned allows: source, destination, protocol, port"
            self._sets[name] = Set(name, family, PAIR_KEY, tuple(elements), (note,))
            yield Rule((InSet(PAIR_KEY, name),), Accept(), family, _origins(classes))

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
                ((address, Jump(one.chain)) for one in here for address in one.pods.addresses(family)),
                key=lambda element: element[0],
            )
            if elements:
                name = f"{direction.value}{family.value}"
                notes = [f"pods of this node that {direction.value} policies select -> the chain of their class"]
                for one in here:
                    if one.chain == DENY:
                        title, *details = class_notes(one.pods, family)
                        why = "pairs hold all that is allowed for" if one.pods.policies else "several pods'"
                        notes += (f"{why} {title}", *(f"  {line}" for line in details))
                hosts = tuple((Prefix(family.value, address, family.bits), verdict) for address, verdict in elements)
                self._maps.append(PrefixMap(name, family, hosts, tuple(notes)))
                yield Lookup(subject, name, family, _origins([one.pods for one in here]))

    # One class

    def _class_chain(self, one: Lowered) -> Chain:
        _, other = _ENDS[one.pods.direction]
        rules: list[Rule | Lookup] = []
        exact = [(Prefix(one.family.value, address, one.family.bits), ports) for address, ports in one.reach.exact]
        origins = _origins([one.pods])
        if exact:
            rules.append(self._lookup("a", one, exact, "other ends by address"))
        for shared, ports in one.reach.shared:
            matches = (InSet((other,), self._shared_set(shared)),)
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
        return Lookup(_ENDS[one.pods.direction][1], name, one.family, _origins([one.pods]))

    def _verdict(self, ports: PortSet, one: Lowered) -> Verdict:
        return self._ports.verdict(ports, one.chain, _origins([one.pods]))

    def _shared_set(self, shared: SharedSet) -> str:
        """The name of its set, which is asked for sources and for destinations."""
        chosen = shared.selector
        name = self._namer.name(f"s{shared.family.value}", str(chosen.pods), repr(chosen))
        if name not in self._sets:
            elements = tuple((address,) for address in shared.addresses)
            self._sets[name] = Set(name, shared.family, (Field.SOURCE,), elements, (str(chosen),))
        return name


def _origins(classes: Sequence[PodClass]) -> tuple[Origin, ...]:
    """Every policy behind these classes, once."""
    return tuple(dict.fromkeys(policy.origin for pods in classes for policy in pods.policies))
