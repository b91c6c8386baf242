"""What a text of rules does to every packet on its whole way through the machine, translation included.

A way is the hooks that a packet passes: PREROUTING, then INPUT, or FORWARD and POSTROUTING, as routing decides by its
destination; OUTPUT and POSTROUTING for packets of the machine's own. At each hook the base chains of all tables follow
by priority. Diagrams ask for the packet as it arrives or is sent; what a chain changes, translation above all, is put
into the diagrams of what comes behind.

| connection | what the diagrams say |
|---|---|
| its first packet (NEW; RELATED of what a helper expects) | nat chains decide, of each end the first one that does |
| known (ESTABLISHED, RELATED) | conntrack translates as for the first packet, which is not in the text: any way |
| UNTRACKED, INVALID | nobody translates |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from enum import Enum
from functools import partial

from compiler.semantics.diagrams.chain_diagram import ChainDiagrams, Left
from compiler.semantics.diagrams.diagram import IN, NOTHING
from compiler.semantics.diagrams.match_diagram import Matches
from compiler.semantics.diagrams.odds import probability
from compiler.semantics.diagrams.space import Level, Space
from compiler.semantics.diagrams.spots import Spot, refuse_moving_sets, spot, targets
from compiler.semantics.diagrams.substitution import Substitution
from compiler.semantics.diagrams.variables import Choice, Variables
from compiler.semantics.rules.effects import AS_IT_CAME, FIELDS, ROUTED, Asked, Change, Effect, Outcome, Unknown
from compiler.semantics.rules.netfilter import (
    CONNTRACK,
    TRANSLATES,
    AddressType,
    Barrier,
    Chain,
    End,
    Field,
    Hook,
    In,
    Rule,
    Ruleset,
    State,
    Table,
    Unmodelled,
)

#: Packets to such addresses are for the machine itself, too, or not, and no rule can ask.
_MAYBE_HERE = (AddressType.BROADCAST, AddressType.ANYCAST, AddressType.MULTICAST)
DELIVERED = Choice("a broadcast, anycast or multicast that the node itself takes")
#: Routing decides once more behind OUTPUT when something that it looks at has changed.
REROUTED = Unknown("the interface by which it leaves, routed anew", 0, Field.OUTPUT.top)
_DESTINATION = (Hook.PREROUTING, Hook.OUTPUT)
_FIRST = (State.NEW, State.RELATED)
#: States of packets that conntrack translates by itself.
KNOWN = (State.ESTABLISHED, State.RELATED)
#: Base chains in their order.
Bases = Sequence[tuple[Table, Chain]]


class Way(Enum):
    """The value is for people."""

    ARRIVES = "arrives"
    SENT = "is sent by the node"


_FIRST_HOOK = {Way.ARRIVES: Hook.PREROUTING, Way.SENT: Hook.OUTPUT}


class WayDiagrams:
    """Of one text. Diagrams say an `Outcome` of each packet. `shared`: what texts that are compared have in common."""

    def __init__(self, ruleset: Ruleset, over: Space, shared: tuple[Matches, Variables, Places]) -> None:
        refuse_moving_sets(ruleset)
        matches, variables, places = shared
        self._ruleset, self._over, self._made, self._variables = ruleset, over, over.made, variables
        parts = [part for rule in rules_met(ruleset, over.version) for part in rule.parts]
        whole = any(isinstance(part, Unmodelled) for part in parts)
        self._chains = ChainDiagrams(over, matches, variables, IN, places.of(ruleset, over.version), not whole)
        self._substitution = Substitution(over, matches, variables)
        self._bases: dict[tuple[Hook, int, str], int] = {}

    def whole(self, way: Way, known: bool = False) -> int:
        """To the end; `known`: of connections that conntrack knows and may have translated."""
        behind = self._through(Hook.POSTROUTING, NOTHING, known)
        if way is Way.SENT:
            own = self._through(Hook.OUTPUT, NOTHING, known)
            return self.ended(self._chains.then_by(own, self._behind_output(behind)))
        there = self._chains.after(Effect(ROUTED), self._through(Hook.FORWARD, behind, known))
        here = self._through(Hook.INPUT, NOTHING, known)
        return self.ended(self._through(Hook.PREROUTING, self._routed(here, there), known))

    def routing(self, way: Way, known: bool = False) -> int:
        """As far as routing: what it decides by."""
        return self.ended(self._through(_FIRST_HOOK[way], NOTHING, known))

    def segments(self) -> Iterator[int]:
        """Each hook as far as conntrack translates, then the rest of it, for whatever has become of a packet: where
        two texts agree in all of these, they do so for known connections, too."""
        for hook in Hook:
            early, late = self._around_translation(hook)
            yield self.ended(self._in_order(hook, early, NOTHING))
            yield self.ended(self._in_order(hook, late, NOTHING))

    def at(self, hook: Hook, nat: bool) -> int:
        """What base chains of a hook do to whatever comes there: those of nat, to first packets, or all others."""
        return self.ended(self._translated(hook) if nat else self._in_order(hook, self._others(hook), NOTHING))

    # Hooks

    def _through(self, hook: Hook, rest: int, known: bool) -> int:
        """The base chains of the hook, then the rest."""
        early, late = self._around_translation(hook)
        rest = self._in_order(hook, late, rest)
        if hook in TRANSLATES:
            rest = self._chains.then(self._given_back(hook) if known else self._translated(hook), rest)
        return self._in_order(hook, early, rest)

    def _around_translation(self, hook: Hook) -> tuple[Bases, Bases]:
        bases = self._others(hook)
        turn = TRANSLATES.get(hook, CONNTRACK)
        early = [one for one in bases if one[1].base and one[1].base.priority < turn]
        return early, bases[len(early) :]

    def _others(self, hook: Hook) -> list[tuple[Table, Chain]]:
        return [one for one in self._ruleset.at(hook, self._over.version) if not _is_nat(one[1])]

    def _in_order(self, hook: Hook, bases: Bases, rest: int) -> int:
        for table, chain in reversed(bases):
            rest = self._chains.then(self._base(hook, table, chain), rest)
        return rest

    def _translated(self, hook: Hook) -> int:
        """nat chains: one that translates is the last one."""
        end = End.DESTINATION if hook in _DESTINATION else End.SOURCE
        whole = NOTHING
        for table, chain in reversed(self._ruleset.at(hook, self._over.version)):
            if _is_nat(chain):
                behind = partial(_unless_translated, end, whole)
                whole = self._chains.then_by(self._base(hook, table, chain), behind)
        return self._made.where(self._made.inside(Level.STATE, [(state, state) for state in _FIRST]), whole)

    def _given_back(self, hook: Hook) -> int:
        """What conntrack does to a packet of a connection that it knows: whatever it did to the first one."""
        fields = FIELDS[End.DESTINATION if hook in _DESTINATION else End.SOURCE]
        size = self._made.sizes
        given = [
            (field, Unknown(f"the {field.value} that conntrack gives", 0, size[self._over.level(field)] - 1))
            for field in fields
        ]
        known = self._made.inside(Level.STATE, [(state, state) for state in KNOWN])
        return self._made.where(known, self._chains.left("next", Effect(Change(given=tuple(given)))))

    def _base(self, hook: Hook, table: Table, chain: Chain) -> int:
        """How a packet leaves a base chain: "next", or it is gone."""
        key = (hook, id(table), chain.name)
        if key in self._bases:
            return self._bases[key]
        base = chain.base
        assert base is not None, "a base chain"
        ways = {"accept": "next", "return": "next" if base.accepts else "drop"}
        found = self._chains.renamed(self._chains.chain(table, chain.name), ways)
        fixed = {int(level): 0 for level in NOT_KNOWN.get(hook, ())}
        early = base.place[0] <= CONNTRACK and hook in _DESTINATION
        if early:
            fixed[Level.STATE] = int(State.INVALID)
        found = self._chains.everywhere(found, lambda diagram: self._made.restrict(diagram, fixed))
        found = self._chains.asks_at(found, f"{hook.value}{' before conntrack' * early}")
        self._bases[key] = found
        return found

    def _routed(self, here: int, there: int) -> int:
        """For the machine itself, or onward."""
        made = self._made
        local = made.inside(Level.DESTINATION_TYPE, [(int(AddressType.LOCAL),) * 2])
        maybe = made.inside(Level.DESTINATION_TYPE, [(int(kind),) * 2 for kind in _MAYBE_HERE])
        taken = made.inside(self._variables.level(DELIVERED), [(1, 1)])
        own = made.first([local, made.where(maybe, taken)])
        going = self._chains.total
        return made.first([made.where(own, going(here)), going(there)])

    def _behind_output(self, behind: int) -> Callable[[Change], int]:
        """POSTROUTING, for what OUTPUT has made of a packet, which has no input interface."""
        fixed = {int(Level.INPUT): 0}
        as_it_was = self._chains.everywhere(behind, lambda diagram: self._made.restrict(diagram, fixed))
        anew = self._chains.everywhere(
            as_it_was, lambda diagram: self._substitution.moved(diagram, int(Level.OUTPUT), REROUTED)
        )
        # ip_route_me_harder: iptable_mangle.c, nft_chain_route.c, nf_nat_core.c ask what it looks at.
        return lambda change: (
            as_it_was if change._replace(untracked=False, hops=AS_IT_CAME.hops) == AS_IT_CAME else anew
        )

    def ended(self, diagram: int) -> int:
        """Outcomes in place of ways out. What became of a packet that is gone does not matter."""
        made = self._made

        def end(left: Left) -> int:
            how, (change, events), then = left
            if how == "next":
                how = "accept"
            kept = change if how == "accept" or then else AS_IT_CAME
            return made.outcome(Outcome(how, kept, events, tuple(map(self.ended, then))))

        ended = self._chains.mapped(diagram, end)
        return made.relabel(ended, {NOTHING: made.outcome(Outcome("accept"))})


#: The interfaces that packets do not have yet, or no more, at a hook.
NOT_KNOWN = {
    Hook.PREROUTING: (Level.OUTPUT,),
    Hook.INPUT: (Level.OUTPUT,),
    Hook.OUTPUT: (Level.INPUT,),
}


def _unless_translated(end: End, rest: int, change: Change) -> int:
    return NOTHING if end in change.translated else rest


def _is_nat(chain: Chain) -> bool:
    return chain.base is not None and chain.base.nat


def rules_met(ruleset: Ruleset, version: int) -> Iterator[Rule]:
    """Those that packets of the family can come to, once each, in the order in which they may; not what is about the
    other family alone."""
    return (rule for _, rule in _met(ruleset, version))


def _met(ruleset: Ruleset, version: int) -> Iterator[tuple[tuple[str, str], Rule]]:
    """The same, with the names of table and chain."""
    seen: set[tuple[int, str]] = set()

    def chain(table: Table, name: str) -> Iterator[tuple[tuple[str, str], Rule]]:
        if (id(table), name) in seen:
            return
        seen.add((id(table), name))
        for rule in table.chains[name].rules:
            if not _is_of(rule, version):
                continue
            yield (table.name, name), rule
            for part in rule.parts:
                for target in targets(table, part):
                    yield from chain(table, target)

    for hook in Hook:
        for table, base in ruleset.at(hook, version):
            yield from chain(table, base.name)


def _is_of(rule: Rule, version: int) -> bool:
    """Whether it is not about the other family alone."""
    asked = (part for part in rule.parts if isinstance(part, In) and part.field is Field.FAMILY)
    return all(any(low <= version <= high for low, high in part.intervals) for part in asked)


class Alike(Enum):
    """Which stateful matches of two texts stand for each other: the n-th of those, in the order in which packets may
    come by, that are alike in this."""

    RULES = "in all of the rule"
    CHAINS = "in all of the rule, and in the name of its chain"
    MATCHES = "in the match"
    ANY = "in the match, the n-th or not"


class Places:
    """Numbers places of stateful matches, so that those of several texts that stand for each other have one number.
    Chance remembers nothing, so a throw is as good at one place as at another. With `Alike.ANY` nor do the other
    matches, so that only how often a packet asks the same counts."""

    def __init__(self, alike: Alike = Alike.RULES) -> None:
        self._alike = alike
        self._numbers: dict[Hashable, int] = {}

    def of(self, ruleset: Ruleset, version: int) -> dict[Spot, Asked]:
        """The stateful matches that packets can come to, by where they stand."""
        found: dict[Spot, Asked] = {}
        times: Counter[Hashable] = Counter()
        for chain, rule in _met(ruleset, version):
            for at, part in enumerate(rule.parts):
                if isinstance(part, Barrier) and spot(rule, at) not in found:
                    like = self._like(part.text, rule, chain)
                    if self._alike is Alike.ANY or probability(part.text) is not None:
                        like = "anywhere", part.text
                    else:
                        times[like] += 1
                    number = self._numbers.setdefault((like, times[like]), len(self._numbers) + 1)
                    found[spot(rule, at)] = Asked(part.text, number)
        return found

    def _like(self, text: str, rule: Rule, chain: tuple[str, str]) -> Hashable:
        match self._alike:
            case Alike.RULES:
                return text, rule.parts
            case Alike.CHAINS:
                return text, rule.parts, chain
            case _:
                return text
