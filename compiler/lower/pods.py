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


class Layout:
    """Where everything of one ruleset stands, and what it is called. `namer`: for names that are to stay the same in
    several rulesets. Without `notes`, nothing is said for the reader of a script."""

    def __init__(self, target: Target, namer: Namer | None = None, notes: bool = True) -> None:
        self._target = target
        self._namer = Namer()
        self._lasting = self._namer if namer is None else namer
        self._notes = notes
        self._ports = PortChains(self._lasting, target.capabilities)
        self._maps: list[PrefixMap] = []
        self._sets: dict[str, Set] = {}

    def ruleset(
        self, lowered: Sequence[Lowered], known: Mapping[Family, Sequence[Pair]], denials: Denials = NONE_BESIDES
    ) -> Ruleset:
        """The ruleset of these classes, all of a family in a row, and of these pairs, sorted."""
        families = self._target.families
        front = [rule for family in families for rule in self._known(known.get(family, ()), family, lowered)]
        class_chains = tuple(self._class_chain(one) for one in lowered if one.chain != DENY)
        egress, ingress = (tuple(self._dispatch(lowered, d)) for d in (Direction.EGRESS, Direction.INGRESS))
        deny = Deny(
            [one.pods for one in lowered],
            families,
            self._target.capabilities,
            denials=denials,
            log_group=self._target.log_group,
        )
        return Ruleset(
            chains=(*hook_chains(front, egress, ingress), *class_chains, *self._ports.chains, *deny.chains),
            sets=(*self._sets.values(), *self._ports.sets, *deny.sets),
            maps=tuple(self._maps),
            families=families,
        )

    def _known(self, elements: Sequence[Pair], family: Family, lowered: Sequence[Lowered]) -> Iterator[Rule]:
        if elements:
            name = f"pairs{family.value}"
            classes = [one.pods for one in lowered if one.family is family]
            note = "connections that every policy concerned allows: source, destination, protocol, port"
            self._sets[name] = Set(name, family, PAIR_KEY, tuple(elements), (note,))
            yield Rule((InSet(PAIR_KEY, name),), Accept(), family, _origins(classes))

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
                for one in here if self._notes else ():
                    if one.chain == DENY:
                        title, *details = class_notes(one.pods, family)
                        why = "pairs hold all that is allowed for" if one.pods.policies else "several pods'"
                        notes += (f"{why} {title}", *(f"  {line}" for line in details))
                hosts = tuple((Prefix(family.value, address, family.bits), verdict) for address, verdict in elements)
                self._maps.append(PrefixMap(name, family, hosts, tuple(notes)))
                yield Lookup(subject, name, family, _origins([one.pods for one in here]))

    # One class

    def shared_name(self, chosen: PodSelector, family: Family) -> str:
        """The set of the addresses that a selector means."""
        return self._lasting.name(f"s{family.value}", str(chosen.pods), repr(chosen))

    def verdict(self, ports: PortSet) -> Verdict:
        """What the ruleset does with other ends that may use these ports, as some class of it has them."""
        return self._ports.known(ports)

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
        notes = class_notes(one.pods, one.family) if self._notes else ()
        return Chain(one.chain, tuple(rules), family=one.family, notes=notes)

    def _lookup(self, suffix: str, one: Lowered, found: Sequence[tuple[Prefix, PortSet]], what: str) -> Lookup:
        name = f"{one.chain}-{suffix}"
        elements = tuple((prefix, self._verdict(ports, one)) for prefix, ports in sorted(found, key=lambda e: e[0]))
        self._maps.append(PrefixMap(name, one.family, elements, set_notes(what, one.pods) if self._notes else ()))
        return Lookup(_ENDS[one.pods.direction][1], name, one.family, _origins([one.pods]))

    def _verdict(self, ports: PortSet, one: Lowered) -> Verdict:
        return self._ports.verdict(ports, one.chain, _origins([one.pods]))

    def _shared_set(self, shared: SharedSet) -> str:
        """The name of its set, which is asked for sources and for destinations."""
        chosen = shared.selector
        name = self.shared_name(chosen, shared.family)
        if name not in self._sets:
            elements = tuple((address,) for address in shared.addresses)
            self._sets[name] = Set(name, shared.family, (Field.SOURCE,), elements, (str(chosen),))
        return name


def _origins(classes: Sequence[PodClass]) -> tuple[Origin, ...]:
    """Every policy behind these classes, once."""
    return tuple(dict.fromkeys(policy.origin for pods in classes for policy in pods.policies))
