"""What a text of rules does to every packet, as one diagram for each path through the machine and family.

Rules are executed symbolically: a chain is the diagram of how a packet leaves it, built from those of its rules and
of the chains it jumps to, each of which is executed once. What a rule does besides deciding (marks, conntrack left
alone) is an *effect* of the outcome: what comes behind is taken for the changed packet, by substitution.

A test that is not modelled but pure is one Boolean for each text; one that depends on more than the packet (limit,
recent, statistic) may answer either way each time. So if the verdict depends on it, no policy is equal to it.

Translation: policies are about the packet at the FORWARD hook, after DNAT and before SNAT, so what nat chains do to
it in front or behind does not matter, as long as nothing else there decides on the addresses; texts where something
does are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from compiler.semantics.diagram import IN, NOTHING
from compiler.semantics.match_diagram import ALL_BITS, Matches, Unprovable
from compiler.semantics.netfilter import (
    CONNTRACK,
    Accept,
    Barrier,
    Chain,
    Condition,
    Continue,
    Drop,
    Element,
    End,
    Field,
    Goto,
    Hook,
    In,
    InSet,
    Jump,
    Lookup,
    NoTrack,
    Opaque,
    Return,
    Ruleset,
    SetMark,
    State,
    Statement,
    Table,
    Translate,
    Unmodelled,
    Verdict,
)
from compiler.semantics.space import ACCEPT, MARK_BITS, Level, Path, Space

#: The hooks on each path, and the interface that a packet there does not have.
_HOOKS = {
    Path.FORWARD: (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
    Path.INPUT: (Hook.PREROUTING, Hook.INPUT),
    Path.OUTPUT: (Hook.OUTPUT, Hook.POSTROUTING),
}
_NO_INTERFACE = {
    (Path.FORWARD, Hook.PREROUTING): Level.OUTPUT,
    (Path.INPUT, Hook.PREROUTING): Level.OUTPUT,
    (Path.INPUT, Hook.INPUT): Level.OUTPUT,
    (Path.OUTPUT, Hook.OUTPUT): Level.INPUT,
    (Path.OUTPUT, Hook.POSTROUTING): Level.INPUT,
}
#: What packets have to be asked for to be fewer, and the widest diagram of those that are left.
_NARROWING = ([Field.SOURCE], [Field.DESTINATION])
_NARROW = 300


class Effect(NamedTuple):
    """What happened to the packet: mark = (mark & keep) ^ flip; `untracked`: conntrack leaves it alone."""

    keep: int = ALL_BITS
    flip: int = 0
    untracked: bool = False


class Left(NamedTuple):
    """How a packet leaves a rule or chain: "next", "return", "accept", "drop", or the text of a statement whose
    effect is not known."""

    how: str
    effect: Effect


_AS_IT_CAME = Effect()


class TextDiagrams:
    """The rules of a text for the packets of one space. `region`: the packets that count, by their addresses; of
    others the diagrams may say anything. Raises `Unprovable`.

    Chains are executed for the packets that count there, as far as the addresses asked on the way tell: else a chain
    that many others lead to would be told apart in each of them for all the others' packets.
    """

    def __init__(self, ruleset: Ruleset, over: Space, region: int = IN) -> None:
        self._ruleset, self._over, self._made, self._version = ruleset, over, over.made, over.version
        self._region = region
        self._chains: dict[tuple[int, str, int], int] = {}
        self._open: list[tuple[int, str]] = []
        self.matches = Matches(over)

    def at(self, path: Path) -> int:
        """The diagram of a path: `ACCEPT`, `DROP`, or the text of a statement whose effect is not known."""
        found = [
            (hook, table, chain, self._base(path, hook, table, chain))
            for hook in _HOOKS[path]
            for table, chain in self._ruleset.at(hook, self._version)
        ]
        self._refuse_decisions_beyond_nat(found)
        whole = NOTHING
        for *_, diagram in reversed(found):
            whole = self._then(diagram, whole)
        ends = {leaf: self._made.outcome(ACCEPT if left.how == "next" else left.how) for left, leaf in self._lefts()}
        return self._made.relabel(whole, {NOTHING: self._made.outcome(ACCEPT), **ends})

    def _base(self, path: Path, hook: Hook, table: Table, chain: Chain) -> int:
        """How a packet leaves a base chain: "next", or it is gone."""
        made, base = self._made, chain.base
        assert base is not None, "a base chain"
        over = "next" if base.accepts else "drop"
        ways = {"accept": "next", "return": over}
        diagram = self._renamed(self._chain(table, chain.name, self._region), ways)
        fixed = {int(_NO_INTERFACE[path, hook]): 0} if (path, hook) in _NO_INTERFACE else {}
        if base.priority <= CONNTRACK and hook in (Hook.PREROUTING, Hook.OUTPUT):
            fixed[Level.STATE] = State.INVALID
        diagram = made.restrict(diagram, fixed)
        if path is Path.FORWARD and hook is Hook.PREROUTING:  # ip_forward takes one off on the way to the next hook
            diagram = made.shift(diagram, Level.HOPS)
        return (
            made.where(made.inside(Level.STATE, [(state, state) for state in (State.NEW, State.RELATED)]), diagram)
            if base.nat
            else diagram
        )

    def _refuse_decisions_beyond_nat(self, found: Sequence[tuple[Hook, Table, Chain, int]]) -> None:
        """Filters that see another packet than the FORWARD hook does."""
        ends = [set(self._translations(table, chain, set())) for _, table, chain, _ in found]
        decides = [any(left.how != "next" for left in self._left_ways(diagram)) for *_, diagram in found]
        for place, (hook, table, chain, _) in enumerate(found):
            if decides[place] and (
                any(End.DESTINATION in translated for translated in ends[place + 1 :])
                or any(End.SOURCE in translated for translated in ends[:place])
            ):
                raise Unprovable(
                    f"table {table.name}, chain {chain.name} ({hook.value}): drops packets on the other side of an"
                    " address translation"
                )

    def _translations(self, table: Table, chain: Chain, seen: set[str]) -> Iterator[End]:
        if chain.name in seen:
            return
        seen.add(chain.name)
        for part in (part for rule in chain.rules for part in rule.parts):
            if isinstance(part, Translate):
                yield part.end
            for target in _targets(table, part):
                yield from self._translations(table, table.chains[target], seen)

    # Chains and rules

    def _chain(self, table: Table, name: str, here: int) -> int:
        """How the packets that are in `here` leave the chain: always a `Left`; its end is a return."""
        key = (id(table), name)
        if (*key, here) in self._chains:
            return self._chains[*key, here]
        if key in self._open:
            raise Unprovable(f"table {table.name}: chain {name} leads back to itself")
        self._open.append(key)
        before = self.matches.barriers
        rest, plain = self._left("return"), list[int]()
        for rule in reversed(table.chains[name].rules):
            found = self._parts(table, rule.parts, 0, here)
            if self._has_effects(found):
                rest, plain = self._then(found, self._made.first([*reversed(plain), rest])), []
            else:
                plain.append(found)
        whole = self._made.first([*reversed(plain), rest])
        self._open.pop()
        if self.matches.barriers == before:  # else every visit may be answered otherwise
            self._chains[*key, here] = whole
        return whole

    def _parts(self, table: Table, parts: Sequence[Condition | Statement], place: int, here: int) -> int:
        """How the packets that are in `here` leave the rule, from its part `place` on."""
        if place == len(parts):
            return NOTHING
        part = parts[place]
        if isinstance(part, In | InSet | Opaque | Barrier):
            met = self._made.where(here, self.matches.holds(table, part))
            if met == NOTHING:
                return NOTHING
            return self._made.where(met, self._parts(table, parts, place + 1, self._narrower(part, met, here)))
        if isinstance(part, SetMark | NoTrack):
            effect = Effect(part.keep, part.flip) if isinstance(part, SetMark) else Effect(untracked=True)
            return self._after(effect, self._parts(table, parts, place + 1, here))
        if isinstance(part, Lookup):
            return self._lookup(table, part, here)
        if isinstance(part, Translate):
            return self._left("accept")
        if isinstance(part, Unmodelled):
            return self._left(f"unknown: {part.text}")
        return self._verdict(table, part, here)

    def _narrower(self, asked: Condition | Lookup, met: int, here: int) -> int:
        """The packets for which to go on: those that met the condition where that is quickly said, for addresses are
        what tells chains apart and no statement changes; else all of `here`."""
        fields = [asked.field] if isinstance(asked, In) else [k.field for k in getattr(asked, "keys", ())]
        return met if fields in _NARROWING and self._made.width(met) <= _NARROW else here

    def _verdict(self, table: Table, verdict: Verdict, here: int) -> int:
        match verdict:
            case Accept():
                return self._left("accept")
            case Drop():
                return self._left("drop")
            case Return():
                return self._left("return")
            case Continue():
                return NOTHING
            case Jump(chain):
                return self._renamed(self._chain(table, chain, here), {"return": "next"})
            case Goto(chain):
                return self._chain(table, chain, here)

    def _lookup(self, table: Table, lookup: Lookup, here: int) -> int:
        """Each element's verdict where the keys are in it; of those that hold a key the first decides."""
        made, found = self._made, table.sets[lookup.set]
        boxes: dict[Verdict, list[Element]] = {}
        for element in found.elements:
            assert element.verdict is not None, "a verdict map"
            boxes.setdefault(element.verdict, []).append(element)
        if _disjoint(found.elements):
            among = {verdict: self.matches.elements(lookup.keys, own) for verdict, own in boxes.items()}
        else:
            leaves = {verdict: made.outcome(("element", verdict)) for verdict in boxes}
            whole = made.first(
                [self.matches.elements(lookup.keys, [e], leaves[v]) for e in found.elements if (v := e.verdict)]
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

    def _left(self, how: str, effect: Effect = _AS_IT_CAME) -> int:
        return NOTHING if how == "next" and effect == _AS_IT_CAME else self._made.outcome(Left(how, effect))

    def _lefts(self) -> list[tuple[Left, int]]:
        return [(left, leaf) for left, leaf in self._made.outcomes().items() if isinstance(left, Left)]

    def _left_ways(self, diagram: int) -> Iterator[Left]:
        yield from (left for left in self._made.said(diagram) if isinstance(left, Left))

    def _renamed(self, diagram: int, ways: dict[str, str]) -> int:
        """The same with other ways out."""
        leaves = {leaf: self._left(ways[how], effect) for (how, effect), leaf in self._lefts() if how in ways}
        return self._made.relabel(diagram, leaves)

    def _has_effects(self, diagram: int) -> bool:
        moving = [leaf for left, leaf in self._lefts() if left.how == "next"]
        return bool(moving) and any(left.how == "next" for left in self._left_ways(diagram))

    def _then(self, diagram: int, rest: int) -> int:
        """`rest` behind it, for the packet as it has become."""
        made = self._made
        moving = [(left, leaf) for left, leaf in self._lefts() if left.how == "next"]
        none = {leaf: NOTHING for _, leaf in self._lefts()}
        parts = [made.relabel(diagram, {leaf: NOTHING for _, leaf in moving})] if moving else [diagram]
        for left, leaf in moving:
            among = made.relabel(diagram, {**none, leaf: IN})
            if among != NOTHING:
                parts.append(made.where(among, self._after(left.effect, rest)))
        return made.first([*parts, rest])

    def _after(self, effect: Effect, rest: int) -> int:
        """What `rest` is for a packet to which this happens first."""
        made = self._made
        fixed, flipped = ({int(Level.STATE): int(State.UNTRACKED)} if effect.untracked else {}), list[int]()
        for n in range(MARK_BITS):
            bit, level = 1 << MARK_BITS - 1 - n, Level.MARK + n
            if not effect.keep & bit:
                fixed[level] = int(bool(effect.flip & bit))
            elif effect.flip & bit:
                flipped.append(level)
        changed = made.swap(made.restrict(rest, fixed), flipped)
        leaves = {leaf: self._left(how, _both(effect, later)) for (how, later), leaf in self._lefts()}
        return made.relabel(changed, {NOTHING: self._left("next", effect), **leaves})


def _both(first: Effect, later: Effect) -> Effect:
    return Effect(first.keep & later.keep, (first.flip & later.keep) ^ later.flip, first.untracked or later.untracked)


def _targets(table: Table, part: Condition | Statement) -> Iterator[str]:
    if isinstance(part, Jump | Goto):
        yield part.chain
    elif isinstance(part, Lookup):
        for element in table.sets[part.set].elements:
            if isinstance(element.verdict, Jump | Goto):
                yield element.verdict.chain


def _disjoint(elements: Sequence[Element]) -> bool:
    """Whether no key can be in two elements, as far as that is quickly seen."""
    if all(low == high for element in elements for low, high in element.box):
        return len({element.box for element in elements}) == len(elements)
    if any(len(element.box) != 1 for element in elements):
        return False
    return all(one[1] < two[0] for one, two in pairwise(sorted(element.box[0] for element in elements)))
