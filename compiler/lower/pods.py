"""Classes and their reaches -> the ruleset that enforces them.

A first packet passes: replies, the pairs that both ends allow (`fastpath`), the egress map with its source, the
ingress map with its destination. A class's chain looks the other end up and ends in Return (allowed here), a port
chain or `deny`; a class that the pairs answer leads to `deny` at once. However many policies, pods and rules there
are, the number of lookups stays the same.

`deny` lets a pod reach itself: the check costs only packets that are about to be dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from compiler.backends.target import Target
from compiler.ir.match import Field, InPrefix, InSet, Match
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
from compiler.policy import Direction, Origin, PodSelector
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
    layout = Layout(target)
    lowered: list[Lowered] = []
    known: dict[Family, Sequence[Pair]] = {}
    for family in target.families:
        found = [
            (pods, reach)
            for pods in classes
            if pods.addresses(family) and not (reach := reacher.reach(pods, family)).is_open
        ]
        answers = pairs(found, family)
        known[family] = answers.elements
        for n, (pods, reach) in enumerate(found):
            chain = DENY if n in answers.answered else layout.chain_name(pods, family)
            lowered.append(Lowered(pods, family, reach, chain))
    return layout.ruleset(lowered, known, denials)


class Part(NamedTuple):
    """What a class with a chain of its own brings into a ruleset, and what it asks besides: verdicts for these ports,
    in this order, and shared sets."""

    chain: Chain
    maps: tuple[PrefixMap, ...]
    ports: tuple[PortSet, ...]
    shared: tuple[SharedSet, ...]


class Layout:
    """Where everything of one ruleset stands, and what it is called. `namer`: whoever makes several rulesets of one
    node gives them all the same. Then chains are to stay what they are as long as nothing they do changes: they say
    nothing to the reader of a script, and those that many classes ask do not say for whom."""

    def __init__(self, target: Target, namer: Namer | None = None) -> None:
        self._target = target
        self._lasts = namer is not None
        self._namer = Namer() if namer is None else namer
        self._ports = PortChains(self._namer, target.capabilities)
        self._maps: list[PrefixMap] = []
        self._sets: dict[str, Set] = {}

    def ruleset(
        self,
        lowered: Sequence[Lowered],
        known: Mapping[Family, Sequence[Pair]],
        denials: Denials = NONE_BESIDES,
        parts: Sequence[Part] | None = None,
    ) -> Ruleset:
        """The ruleset of these classes, all of a family in a row, and of these pairs, sorted. `parts`: of the classes
        with a chain, when they are known."""
        families = self._target.families
        front = [rule for family in families for rule in self._known(known.get(family, ()), family, lowered)]
        if parts is None:
            parts = [self.part(one) for one in lowered if one.chain != DENY]
        for part in parts:
            self._take(part)
        egress, ingress = (tuple(self._dispatch(lowered, d)) for d in (Direction.EGRESS, Direction.INGRESS))
        deny = Deny(
            [one.pods for one in lowered],
            families,
            self._target.capabilities,
            denials=denials,
            log_group=self._target.log_group,
        )
        chains = (part.chain for part in parts)
        return Ruleset(
            chains=(*hook_chains(front, egress, ingress), *chains, *self._ports.chains, *deny.chains),
            sets=(*self._sets.values(), *self._ports.sets, *deny.sets),
            maps=tuple(self._maps),
            families=families,
        )

    def _take(self, part: Part) -> None:
        origins = () if self._lasts else part.chain.rules[-1].origins
        for ports in part.ports:
            self._ports.verdict(ports, part.chain.name, origins)
        for shared in part.shared:
            name = self.shared_name(shared.selector, shared.family)
            if name not in self._sets:  # source and destination are looked up in the same set
                elements = tuple((address,) for address in shared.addresses)
                self._sets[name] = Set(name, shared.family, (Field.SOURCE,), elements, (str(shared.selector),))
        self._maps += part.maps

    def _origins_of(self, lowered: Sequence[Lowered]) -> tuple[Origin, ...]:
        return () if self._lasts else _origins([one.pods for one in lowered])

    def _known(self, elements: Sequence[Pair], family: Family, lowered: Sequence[Lowered]) -> Iterator[Rule]:
        if elements:
            name = f"pairs{family.value}"
            here = [one for one in lowered if one.family is family]
            note = "connections that every policy concerned allows: source, destination, protocol, port"
            self._sets[name] = Set(name, family, PAIR_KEY, tuple(elements), (note,))
            yield Rule((InSet(PAIR_KEY, name),), Accept(), family, self._origins_of(here))

    def chain_name(self, pods: PodClass, family: Family) -> str:
        """The chain of a class. The stem is the name of its first NetworkPolicy, which says more than an admin
        policy's."""
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
                for one in here if not self._lasts else ():
                    if one.chain == DENY:
                        title, *details = class_notes(one.pods, family)
                        why = "pairs hold all that is allowed for" if one.pods.policies else "several pods'"
                        notes += (f"{why} {title}", *(f"  {line}" for line in details))
                hosts = tuple((Prefix(family.value, address, family.bits), verdict) for address, verdict in elements)
                self._maps.append(PrefixMap(name, family, hosts, tuple(notes)))
                yield Lookup(subject, name, family, self._origins_of(here))

    # One class

    def shared_name(self, chosen: PodSelector, family: Family) -> str:
        """The set of the addresses that a selector means."""
        return self._namer.name(f"s{family.value}", str(chosen.pods), repr(chosen))

    def verdict(self, ports: PortSet) -> Verdict:
        """What the ruleset does with other ends that may use these ports, as some class of it has them."""
        return self._ports.known(ports)

    def part(self, one: Lowered) -> Part:
        """What a class needs that has a chain."""
        origins = _origins([one.pods])
        return _PartOf(one, origins, self).part(() if self._lasts else class_notes(one.pods, one.family))

    def ask(self, ports: PortSet, chain: str, origins: tuple[Origin, ...]) -> Verdict:
        """The verdict for other ends that may use these ports; that chain asks it."""
        return self._ports.verdict(ports, chain, () if self._lasts else origins)

    def is_inline(self, prefixes: int) -> bool:
        """Whether so many prefixes are rules in a row."""
        return prefixes <= self._target.capabilities.inline_prefixes


class _PartOf:
    """The work of `Layout.part`."""

    def __init__(self, one: Lowered, origins: tuple[Origin, ...], layout: Layout) -> None:
        self._one = one
        self._origins = origins
        self._layout = layout
        self._other = _ENDS[one.pods.direction][1]
        self._maps: list[PrefixMap] = []
        self._verdicts: dict[PortSet, Verdict] = {}

    def part(self, notes: tuple[str, ...]) -> Part:
        one, family, reach = self._one, self._one.family, self._one.reach
        rules: list[Rule | Lookup] = []
        exact = [(Prefix(family.value, address, family.bits), ports) for address, ports in reach.exact]
        if exact:
            rules.append(self._lookup("a", exact, "other ends by address", bool(notes)))
        for shared, ports in reach.shared:
            matches = (InSet((self._other,), self._layout.shared_name(shared.selector, family)),)
            rules.append(self._rule(matches, ports, family))
        nets = [(prefix, ports) for prefix, ports in reach.nets if prefix.length]
        if not self._layout.is_inline(len(nets)):
            rules.append(self._lookup("n", nets, "other ends by prefix, the longest decides", bool(notes)))
        else:
            for prefix, ports in sorted(nets, key=lambda net: -net[0].length):
                rules.append(self._rule((InPrefix(self._other, prefix),), ports, family))
        rules.append(self._rule((), reach.nets[0][1], None))
        chain = Chain(one.chain, tuple(rules), family=family, notes=notes)
        return Part(chain, tuple(self._maps), tuple(self._verdicts), tuple(shared for shared, _ in reach.shared))

    def _rule(self, matches: tuple[Match, ...], ports: PortSet, family: Family | None) -> Rule:
        return Rule(matches, self._verdict(ports), family, self._origins)

    def _lookup(self, suffix: str, found: Sequence[tuple[Prefix, PortSet]], what: str, noted: bool) -> Lookup:
        name, family = f"{self._one.chain}-{suffix}", self._one.family
        elements = tuple((prefix, self._verdict(ports)) for prefix, ports in sorted(found, key=itemgetter(0)))
        self._maps.append(PrefixMap(name, family, elements, set_notes(what, self._one.pods) if noted else ()))
        return Lookup(self._other, name, family, self._origins)

    def _verdict(self, ports: PortSet) -> Verdict:
        found = self._verdicts.get(ports)
        if found is None:
            found = self._verdicts[ports] = self._layout.ask(ports, self._one.chain, self._origins)
        return found


def _origins(classes: Sequence[PodClass]) -> tuple[Origin, ...]:
    """Every policy behind these classes, once."""
    return tuple(dict.fromkeys(policy.origin for pods in classes for policy in pods.policies))
