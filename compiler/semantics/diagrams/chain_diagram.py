"""How packets leave the chains of a text, each chain one diagram.

Rules are executed symbolically: a chain is the diagram of how a packet leaves it, built from those of its rules and
of the chains it jumps to, each of which is executed once. What a rule does besides deciding is an *effect* of the
outcome: what comes behind is taken for the changed packet, by substitution.

There are two ways to look. For a *verdict* alone, nobody minds what is logged, a statement that is not modelled is an
outcome, and a stateful match may answer either way each time. To be *observed* in full:

- notices are events of the outcome, and so are questions to stateful matches (limit, recent, statistic), which
  remember them. Its answer is a Boolean for each place in the text and each time that the packet asks it;
- what a statement that is not modelled leaves of the packet nobody knows: the outcome has, as `then`, the diagrams of
  what the text does behind it to whatever packet goes on there, with the next rule and with the next chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from compiler.semantics.diagrams.diagram import IN, NOTHING
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.match_diagram import Matches, are_disjoint
from compiler.semantics.diagrams.space import Space
from compiler.semantics.diagrams.spots import Spot, spot
from compiler.semantics.diagrams.substitution import Substitution
from compiler.semantics.diagrams.variables import Variables
from compiler.semantics.rules.effects import (
    AS_IT_CAME,
    NO_EFFECT,
    Asked,
    Change,
    Effect,
    Event,
    change_of,
    followed,
    translation_of,
)
from compiler.semantics.rules.netfilter import (
    Accept,
    Barrier,
    Condition,
    Continue,
    Drop,
    Element,
    Field,
    Goto,
    In,
    InSet,
    Jump,
    Lookup,
    Notice,
    NoTrack,
    Opaque,
    Return,
    Rewrite,
    Rule,
    SetHops,
    SetMark,
    Table,
    Translate,
    Unmodelled,
    Verdict,
)

#: What packets have to be asked for to be fewer, and the widest diagram of those that are left.
_NARROWING = ([Field.SOURCE], [Field.DESTINATION])
_NARROW = 300
#: More outcomes than so many, of a diagram that has hardly more nodes, are replaced all at once (the endpoints of all
#: services), else one after the other: each way is slow for the other case.
_MANY, _SLIM = 32, 12
#: What leads to no other chain.
_LEADS_NOWHERE = (Accept, Drop, Return, Continue, Translate, SetMark, NoTrack, SetHops, Rewrite, Notice)
#: With no more outcomes than so many, all are looked at rather than those that a diagram has.
_FEW = 40


class Left(NamedTuple):
    """How a packet leaves a rule or chain: "next", "return", "accept", "drop", "reject KIND", or "unknown: TEXT" of a
    statement that is not modelled, with what may come `then`."""

    how: str
    effect: Effect = NO_EFFECT
    then: tuple[int, ...] = ()


class ChainDiagrams:
    """Of one text, for the packets of one space. `region`: the packets that count, by their addresses; of others the
    diagrams may say anything. `stateful`: the matches to be observed, by where they stand; None: see the module.
    `answers`: what a reject tells the sender counts for a verdict, too. `known`: stateful matches whose answers are
    unknowns by these names. Raises `Unprovable`.

    With `narrows`, chains are executed for the packets that count there, as far as the addresses asked on the way
    tell: else a chain that many others lead to would be told apart in each of them for all the others' packets. That
    takes for granted that nothing changes addresses before the base chain ends.
    """

    def __init__(
        self,
        over: Space,
        matches: Matches,
        variables: Variables,
        region: int = IN,
        stateful: Mapping[Spot, Asked] | None = None,
        narrows: bool = True,
        answers: bool = False,
        known: Mapping[Spot, str] | None = None,
    ) -> None:
        self._known = known or {}
        self._made, self._region, self._stateful, self._narrows = over.made, region, stateful, narrows
        self._answers = answers or stateful is not None
        self._matches, self._variables = matches, variables
        self._substitution = Substitution(over, matches, variables)
        self._chains: dict[tuple[int, str, int], int] = {}
        self._open: list[tuple[int, str]] = []
        #: Whether some way out has what comes behind, and whether some packets go on changed.
        self._opened = self._changes = False
        self._ways: dict[int, tuple[Left, ...]] = {}

    def chain(self, table: Table, name: str) -> int:
        """How packets leave the chain: always a `Left`; its end is a return."""
        return self._chain(table, name, self._region)

    def rule(self, table: Table, rule: Rule) -> int:
        """How packets leave a rule; nothing of those that go on as they are."""
        return self._parts(table, rule, 0, self._region)

    # Chains and rules

    def _chain(self, table: Table, name: str, here: int) -> int:
        """How the packets that are in `here` leave the chain."""
        key = (id(table), name)
        if (*key, here) in self._chains:
            return self._chains[*key, here]
        if key in self._open:
            raise Unprovable(f"table {table.name}: chain {name} leads back to itself")
        self._open.append(key)
        before = self._matches.barriers
        groups, plain = list[int](), [self.left("return")]
        for rule in reversed(table.chains[name].rules):
            found = self._parts(table, rule, 0, here)
            if self._goes_on_changed(found):
                groups += (self._made.first(reversed(plain)), found)
                plain = []
            else:
                plain.append(found)
        whole = self.in_turn([self._made.first(reversed(plain)), *reversed(groups)])
        self._open.pop()
        if self._matches.barriers == before:  # else every visit may be answered otherwise
            self._chains[*key, here] = whole
        return whole

    def _parts(self, table: Table, rule: Rule, at: int, here: int) -> int:
        """How the packets that are in `here` leave the rule, from its part `at` on; nothing of those that go on with
        the next rule as they are."""
        if at == len(rule.parts):
            return NOTHING
        part = rule.parts[at]
        match part:
            case Barrier() if self._stateful is not None:
                asked = self._stateful[spot(rule, at)]
                holds = self._made.inside(self._variables.level(asked), [(1, 1)])
                rest = self._made.where(holds, self._parts(table, rule, at + 1, here))
                return self.after(Effect(events=(Event(asked),)), rest)
            case Barrier() if (name := self._known.get(spot(rule, at))) is not None:
                return self._made.where(self._matches.unknown(name), self._parts(table, rule, at + 1, here))
            case In() | InSet() | Opaque():
                return self._conditions(table, rule, at, here)
            case Barrier():
                met = self._made.where(here, self._matches.holds(table, part))
                return NOTHING if met == NOTHING else self._made.where(met, self._parts(table, rule, at + 1, here))
            case SetMark() | NoTrack() | SetHops() | Rewrite():
                return self.after(Effect(change_of(part)), self._parts(table, rule, at + 1, here))
            case Notice(text):
                rest = self._parts(table, rule, at + 1, here)
                return rest if self._stateful is None else self.after(Effect(events=(Event(text),)), rest)
            case Lookup():
                return self._lookup(table, part, here)
            case Translate():
                return self.left("accept", Effect(translation_of(part)))
            case Unmodelled(text) if self._stateful is None:
                return self.left(f"unknown: {text}")
            case Unmodelled(text):
                self._opened = True
                behind = self._parts(table, rule, at + 1, here), self.left("accept")
                return self._made.outcome(Left(f"unknown: {text}", then=behind))
            case _:
                return self._verdict(table, part, here)

    def _conditions(self, table: Table, rule: Rule, at: int, here: int) -> int:
        """The same from a condition on: all that follow each other at once."""
        parts, end = rule.parts, at
        asked: list[tuple[In | InSet | Opaque, int]] = []
        while end < len(parts) and isinstance(part := parts[end], In | InSet | Opaque):
            holds = self._matches.holds(table, part)
            if holds == NOTHING:
                return NOTHING
            asked.append((part, holds))
            end += 1
        among = sorted((holds for _, holds in asked), key=self._made.first_field, reverse=True)
        if all(isinstance(part, _LEADS_NOWHERE) for part in parts[end:]):
            return self._made.where(here, self._in_all(among, self._parts(table, rule, end, here)))
        met = self._made.where(here, self._in_all(among, IN))
        if met == NOTHING:
            return NOTHING
        for part, holds in asked:
            here = self._narrower(part, self._made.where(here, holds), here)
        return self._made.where(met, self._parts(table, rule, end, here))

    def _in_all(self, among: Iterable[int], diagram: int) -> int:
        """What it says of packets that are in all of them, the one that asks first last: each is looked through once,
        and no diagram is made that is of no rule."""
        for one in among:
            diagram = self._made.where(one, diagram)
        return diagram

    def _narrower(self, asked: Condition | Lookup, met: int, here: int) -> int:
        """The packets for which to go on: those that met the condition where that is quickly said; else all of
        `here`."""
        if not self._narrows:
            return here
        fields = [asked.field] if isinstance(asked, In) else [k.field for k in getattr(asked, "keys", ())]
        return met if fields in _NARROWING and self._made.width(met) <= _NARROW else here

    def _verdict(self, table: Table, verdict: Verdict, here: int) -> int:
        match verdict:
            case Accept():
                return self.left("accept")
            case Drop(rejected, kind):
                return self.left(f"reject {kind}" if rejected and self._answers else "drop")
            case Return():
                return self.left("return")
            case Continue():
                return NOTHING
            case Jump(chain):
                return self.renamed(self._chain(table, chain, here), {"return": "next"})
            case Goto(chain):
                return self._chain(table, chain, here)

    def _lookup(self, table: Table, lookup: Lookup, here: int) -> int:
        """Each element's verdict where the keys are in it; of those that hold a key the first decides."""
        made, found = self._made, table.sets[lookup.set]
        boxes: dict[Verdict, list[Element]] = {}
        for element in found.elements:
            assert element.verdict is not None, "a verdict map"
            boxes.setdefault(element.verdict, []).append(element)
        if are_disjoint(found.elements):
            among = {verdict: self._matches.elements(lookup.keys, own) for verdict, own in boxes.items()}
        else:
            leaves = {verdict: made.outcome(("element", verdict)) for verdict in boxes}
            whole = made.first(
                [self._matches.elements(lookup.keys, [e], leaves[v]) for e in found.elements if (v := e.verdict)]
            )
            among = {
                verdict: made.relabel(whole, {leaf: IN if leaf == own else NOTHING for leaf in leaves.values()})
                for verdict, own in leaves.items()
            }
        parts = []
        for verdict, keys in among.items():
            met = made.where(here, keys)
            if met != NOTHING:
                parts.append(made.where(met, self._verdict(table, verdict, self._narrower(lookup, met, here))))
        return made.first(parts)

    # Outcomes and effects

    def left(self, how: str, effect: Effect = NO_EFFECT) -> int:
        """The diagram of packets that all leave so; nothing of those that go on as they are."""
        if how == "next":
            if effect == NO_EFFECT:
                return NOTHING
            self._changes = True
        return self._made.outcome(Left(how, effect))

    def ways(self, diagram: int) -> tuple[Left, ...]:
        """The ways out that it has."""
        found = self._ways.get(diagram)
        if found is None:
            said = self._made.said(diagram)
            found = self._ways[diagram] = tuple(left for left in said if isinstance(left, Left))
        return found

    def mapped(self, diagram: int, change: Callable[[Left], int]) -> int:
        """Other diagrams in place of its ways out; they ask later fields only."""
        every = self._made.outcomes()
        # What others say of such as open into more has nothing to do with this diagram.
        few = len(every) <= _FEW and not any(isinstance(one, Left) and one.then for one in every)
        known = [one for one in every if isinstance(one, Left)] if few else self.ways(diagram)
        return self._made.relabel(diagram, {self._made.outcome(left): change(left) for left in known})

    def everywhere(self, diagram: int, change: Callable[[int], int]) -> int:
        """`change` of it, and of what may come behind statements that are not modelled."""
        return self.mapped(change(diagram), lambda left: self._behind(left, lambda d: self.everywhere(d, change)))

    def _behind(self, left: Left, change: Callable[[int], int]) -> int:
        then = tuple(change(diagram) for diagram in left.then)
        return self._made.outcome(left._replace(then=then)) if then else self.left(left.how, left.effect)

    def renamed(self, diagram: int, ways: Mapping[str, str]) -> int:
        """The same with other ways out."""

        def other(left: Left) -> int:
            if left.how in ways:
                return self.left(ways[left.how], left.effect)
            return self._behind(left, lambda behind: self.renamed(behind, ways))

        return self.mapped(diagram, other)

    def _goes_on_changed(self, diagram: int) -> bool:
        if not self._changes and not self._opened:
            return False
        return any(left.how == "next" or left.then for left in self.ways(diagram))

    def then(self, diagram: int, rest: int) -> int:
        """`rest` behind it, for the packet as it has become."""
        ways = [left for left in self.ways(diagram) if left.how == "next" or left.then]
        alone = self._substitution.leaves_alone
        if any(left.then for left in ways) or not all(alone(left.effect, rest) for left in ways):
            return self.then_by(diagram, lambda _: rest)
        return self._made.combined(diagram, rest, self._one_after_the_other)

    def _one_after_the_other(self, one: int, two: int) -> int:
        """Two outcomes, of which the second is what it would be without the first."""
        first, second = self._made.whole(one), self._made.whole(two)
        assert isinstance(first, Left), "how packets leave"
        if first.how != "next" or not isinstance(second, Left):
            return one
        return self._made.outcome(second._replace(effect=followed(first.effect, second.effect)))

    def then_by(self, diagram: int, rest: Callable[[Change], int]) -> int:
        """What follows may depend on what has become of the packet."""
        made = self._made
        behind: dict[int, int] = {}
        for left in self.ways(diagram):
            if left.how == "next":
                behind[made.outcome(left)] = self.after(left.effect, rest(left.effect.change))
            elif left.then:
                behind[made.outcome(left)] = self._with_rest(left, rest)
        if len(behind) > _MANY and made.extent(diagram) < _SLIM * len(behind):
            return made.replaced(diagram, {**behind, NOTHING: rest(AS_IT_CAME)})
        none = dict.fromkeys((made.outcome(left) for left in self.ways(diagram)), NOTHING)
        parts = [made.relabel(diagram, dict.fromkeys(behind, NOTHING))]
        parts += [made.where(made.relabel(diagram, {**none, leaf: IN}), later) for leaf, later in behind.items()]
        return made.first([*parts, rest(AS_IT_CAME)])  # what goes on always says something then

    def _with_rest(self, left: Left, rest: Callable[[Change], int]) -> int:
        return self._behind(left, lambda behind: self.then_by(behind, rest))

    def in_turn(self, parts: Sequence[int]) -> int:
        """One after the other, halves first: diagrams stay small, and few are looked through often."""
        if len(parts) < 2:
            return parts[0] if parts else NOTHING
        half = len(parts) // 2
        one, two = self.in_turn(parts[:half]), self.in_turn(parts[half:])
        return self.then(one, two) if self._goes_on_changed(one) else self._made.first([one, two])

    def going_on(self, diagram: int) -> int:
        """The same, and nobody is stopped."""
        return self.mapped(diagram, lambda left: self.left("next", left.effect))

    def before(self, diagram: int, rest: int) -> int:
        """`rest`, whatever it says of packets that go on behind the diagram, said of them as they come to it. All of
        them are taken to go on."""
        made, after = self._made, self._substitution.after
        behind = {made.outcome(left): after(left.effect, rest) for left in self.ways(diagram)}
        return made.replaced(diagram, {**behind, NOTHING: rest})

    def total(self, diagram: int) -> int:
        """The same with a way out where it says nothing: those packets go on as they are, too."""
        return self._made.relabel(diagram, {NOTHING: self._made.outcome(Left("next"))})

    def after(self, effect: Effect, rest: int) -> int:
        """What `rest` is for a packet to which this happens first: how each leaves, those too of which it says
        nothing."""
        changed = self._substitution.after(effect, rest)
        if effect == NO_EFFECT:
            return changed
        later = self.mapped(
            changed, lambda left: self._made.outcome(left._replace(effect=followed(effect, left.effect)))
        )
        return self._made.relabel(later, {NOTHING: self.left("next", effect)})

    def asks_at(self, diagram: int, when: str) -> int:
        """The same, its matches that are not modelled asked there: they may look at where the packet is."""

        def here(behind: int) -> int:
            for level in self._made.asked(behind):
                name = self._variables.name(level)
                if name is not None and getattr(name, "when", None) == "":
                    behind = self._substitution.renamed(behind, level, self._variables.level(name._replace(when=when)))  # type: ignore[call-arg]
            return behind

        return self.everywhere(diagram, here)
