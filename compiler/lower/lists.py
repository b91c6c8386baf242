"""Policies without pods -> ordered lists of rules over named sets that somebody fills by hand.

Where no pod of the input holds an address, nothing can be evaluated beforehand: which sets an address will be in is
unknown, and it may be in several. So each direction is a stage of chains that say what the policies say, first
match wins: the admin tier, then the NetworkPolicies and the isolation of who they select, then the baseline tier.
Every selector is a set; the comment on it says who belongs there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import assert_never

from compiler.backends.target import Target
from compiler.ir.match import Field, InPrefix, InSet, Match, ToPorts
from compiler.ir.names import Namer
from compiler.ir.ruleset import Chain, Goto, Jump, Return, Ruleset, Set, Verdict
from compiler.ir.ruleset import Rule as Line
from compiler.lower.deny import DENY, NONE_BESIDES, Denials, Deny
from compiler.lower.hooks import hook_chains
from compiler.net import Family, without
from compiler.policy import (
    Action,
    Anyone,
    Block,
    Direction,
    Domains,
    NamedPort,
    NodeSelector,
    Peer,
    PodSelector,
    Policy,
    Resolved,
    Tier,
)
from compiler.policy import Rule as PolicyRule
from compiler.resolve.inventory import Inventory

#: The field that holds the subject, and the one that holds the other end.
_ENDS = {
    Direction.INGRESS: (Field.DESTINATION, Field.SOURCE),
    Direction.EGRESS: (Field.SOURCE, Field.DESTINATION),
}


def lower_lists(
    policies: Sequence[Policy], inventory: Inventory, target: Target, denials: Denials = NONE_BESIDES
) -> Ruleset:
    """The ruleset for these policies, in evaluation order, with every set that names pods still empty."""
    return _Lists(inventory, target).ruleset(policies, denials)


class _Lists:
    def __init__(self, inventory: Inventory, target: Target) -> None:
        self._inventory = inventory
        self._families = target.families
        self._log_group = target.log_group
        self._capabilities = target.capabilities
        self._namer = Namer()
        self._sets: dict[str, Set] = {}

    def ruleset(self, policies: Sequence[Policy], denials: Denials) -> Ruleset:
        stages = {direction: self._stage(policies, direction) for direction in Direction}
        deny = Deny((), self._families, self._capabilities, True, denials, self._log_group)
        jumps = {d: [Line((), Jump(d.value))] if stages[d] else [] for d in Direction}
        return Ruleset(
            chains=(
                *hook_chains((), jumps[Direction.EGRESS], jumps[Direction.INGRESS]),
                *(chain for chains in stages.values() for chain in chains),
                *deny.chains,
            ),
            sets=(*self._sets.values(), *deny.sets),
            families=self._families,
        )

    def _stage(self, policies: Sequence[Policy], direction: Direction) -> tuple[Chain, ...]:
        """The chains of one direction: the admin tier, and behind it what Pass leads to."""
        tiers = {tier: [p for p in policies if p.tier is tier] for tier in Tier}
        application = tiers[Tier.APPLICATION]
        behind = [
            *self._rules(application, direction),
            *self._isolation(application, direction),
            *self._rules(tiers[Tier.BASELINE], direction),
        ]
        front = list(self._rules(tiers[Tier.ADMIN], direction))
        ends = "what pods may send" if direction is Direction.EGRESS else "what pods may receive"
        below = _below(direction)
        if front:
            chains = [
                Chain(direction.value, (*front, Line((), Goto(below))), notes=(f"{ends}: admin tier",)),
                Chain(below, tuple(behind), notes=(f"{ends}: NetworkPolicies, then baseline tier",)),
            ]
        elif behind:
            chains = [Chain(direction.value, tuple(behind), notes=(ends,))]
        else:
            chains = []
        return tuple(chains)

    # Lines

    def _rules(self, policies: Sequence[Policy], direction: Direction) -> Iterator[Line]:
        for policy in policies:
            if policy.tier is Tier.APPLICATION and direction not in policy.isolates:
                continue
            for rule in policy.rules(direction):
                verdict = _verdict(policy.tier, rule.action, direction)
                for family in self._families:
                    for matches in self._matches(policy.subject, rule, direction, family):
                        yield Line(matches, verdict, family, (rule.origin,), rule.weight, _note(rule))

    def _isolation(self, policies: Sequence[Policy], direction: Direction) -> Iterator[Line]:
        """Whom a NetworkPolicy selects may do nothing else in its direction."""
        subjects: dict[PodSelector, list[Policy]] = {}
        for policy in policies:
            if direction in policy.isolates:
                subjects.setdefault(policy.subject, []).append(policy)
        own, _ = _ENDS[direction]
        for subject, of in subjects.items():
            origins = tuple(policy.origin for policy in of)
            for family in self._families:
                matches = (InSet((own,), self._pods(subject, family)),)
                note = f"isolated by {', '.join(map(str, origins))}"
                yield Line(matches, Goto(DENY), family, origins, note=note)

    def _matches(
        self, subject: PodSelector, rule: PolicyRule, direction: Direction, family: Family
    ) -> Iterator[tuple[Match, ...]]:
        """One conjunction for every way in which a rule can match."""
        own, other = _ENDS[direction]
        numbers: list[tuple[Match, ...]] = [()] if rule.ports.everything else []
        numbers += [(ToPorts(*span),) for span in rule.ports.spans]
        for peer in rule.peers:
            # A named port is the destination pod's: towards a block or a node there is none.
            has_names = direction is Direction.INGRESS or isinstance(peer, PodSelector | Anyone)
            names = [(self._named(named, family),) for named in rule.ports.named if has_names]
            for found, ports in product(self._peer(peer, other, family), [*numbers, *names]):
                yield (InSet((own,), self._pods(subject, family)), *found, *ports)

    def _peer(self, peer: Peer, field: Field, family: Family) -> Iterator[tuple[Match, ...]]:
        match peer:
            case PodSelector():
                yield (InSet((field,), self._pods(peer, family)),)
            case Block(prefix, excepts):
                if prefix.family is family:
                    yield from ((InPrefix(field, part),) for part in without(prefix, excepts))
            case NodeSelector() if self._inventory.snapshot.nodes:
                yield from ((InPrefix(field, host),) for host in self._inventory.nodes(peer, family))
            case NodeSelector() | Domains():
                yield (InSet((field,), self._by_hand(peer, str(peer), str(peer), (Field.SOURCE,), family)),)
            case Anyone():
                yield ()
            case Resolved():
                raise AssertionError("blocks of programs need pods")
            case _:
                assert_never(peer)

    # Sets

    def _pods(self, chosen: PodSelector, family: Family) -> str:
        """The set of the pods that a selector means; the workloads of the input that it selects help to find them."""
        known = [f"{w.template_of} {w.namespace}/{w.name}" for w in self._inventory.workloads(chosen)]
        more = f" ({', '.join(known)})" if known else ""
        return self._by_hand(chosen, str(chosen.pods), f"{chosen}{more}", (Field.SOURCE,), family)

    def _named(self, named: NamedPort, family: Family) -> Match:
        key = (Field.DESTINATION, Field.PROTOCOL, Field.PORT)
        who = f"pods that serve {named}, with protocol and port"
        return InSet(key, self._by_hand(named, str(named), who, key, family))

    def _by_hand(self, what: object, stem: str, who: str, fields: tuple[Field, ...], family: Family) -> str:
        name = self._namer.name(f"s{family.value}", stem, repr(what))
        self._sets.setdefault(name, Set(name, family, fields, (), (f"to be filled: {who}",), by_hand=True))
        return name


def _verdict(tier: Tier, action: Action, direction: Direction) -> Verdict:
    """Return leaves the stage without objection. Behind the baseline tier Pass finds the default, which allows."""
    if action is Action.DENY:
        return Goto(DENY)
    return Goto(_below(direction)) if action is Action.PASS and tier is Tier.ADMIN else Return()


def _below(direction: Direction) -> str:
    return f"{direction.value}-below"


def _note(rule: PolicyRule) -> str:
    return f"{rule.action.value}: {rule.origin}"
