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

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from compiler.semantics.diagram import IN, NOTHING, Diagrams, Range
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
    Key,
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
from compiler.semantics.space import ACCEPT, LEVELS, MARK_BITS, Level, Path

#: The hooks on each path, and the interface that a packet there does not have.
_HOOKS = {
    Path.FORWARD: (Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
    Path.INPUT: (Hook.PREROUTING, Hook.INPUT),
    Path.OUTPUT: (Hook.OUTPUT, Hook.POSTROUTING),
}
_NO_INTERFACE = {Hook.PREROUTING: Level.OUTPUT, Hook.INPUT: Level.OUTPUT, Hook.OUTPUT: Level.INPUT}
_ALL_BITS = (1 << MARK_BITS) - 1
#: So many answers of stateful matches are told apart.
_MOST_BARRIERS = 64


class Unprovable(Exception):
    """The text has something whose meaning no diagram can hold; the message names it."""


class Effect(NamedTuple):
    """What happened to the packet: mark = (mark & keep) ^ flip; `untracked`: conntrack leaves it alone."""

    keep: int = _ALL_BITS
    flip: int = 0
    untracked: bool = False


class Left(NamedTuple):
    """How a packet leaves a rule or chain: "next", "return", "accept", "drop", or the text of a statement whose
    effect is not known."""

    how: str
    effect: Effect


_AS_IT_CAME = Effect()


class TextDiagrams:
    """The rules of a text for the packets of one family. Raises `Unprovable`."""

    def __init__(self, ruleset: Ruleset, diagrams: Diagrams, version: int) -> None:
        self._ruleset, self._made, self._version = ruleset, diagrams, version
        self._chains: dict[tuple[str, str], int] = {}
        self._open: list[tuple[str, str]] = []
        self._sets: dict[tuple[str, tuple[Key, ...], str], int] = {}
        #: Text of each test that nobody can look into, by its level.
        self.opaque: dict[int, str] = {}
        self._levels: dict[str, int] = {}
        self._barriers = 0

    def at(self, path: Path) -> int:
        """The diagram of a path: `ACCEPT`, `DROP`, or the text of a statement whose effect is not known."""
        found = [
            (hook, table, chain, self._base(hook, table, chain))
            for hook in _HOOKS[path]
            for table, chain in self._ruleset.at(hook, self._version)
        ]
        self._refuse_decisions_beyond_nat(found)
        whole = NOTHING
        for *_, diagram in reversed(found):
            whole = self._then(diagram, whole)
        ends = {leaf: self._made.outcome(ACCEPT if left.how == "next" else left.how) for left, leaf in self._lefts()}
        return self._made.relabel(whole, {NOTHING: self._made.outcome(ACCEPT), **ends})

    def _base(self, hook: Hook, table: Table, chain: Chain) -> int:
        """How a packet leaves a base chain: "next", or it is gone."""
        made, base = self._made, chain.base
        assert base is not None, "a base chain"
        over = "next" if base.accepts else "drop"
        ways = {"accept": "next", "return": over}
        diagram = self._renamed(self._chain(table, chain.name), ways, None if base.accepts else over)
        fixed = {int(_NO_INTERFACE[hook]): 0} if hook in _NO_INTERFACE else {}
        if base.priority <= CONNTRACK and hook in (Hook.PREROUTING, Hook.OUTPUT):
            fixed[Level.STATE] = State.INVALID
        diagram = made.restrict(diagram, fixed)
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

    def _chain(self, table: Table, name: str) -> int:
        """How a packet leaves the chain: nothing for its end, else a `Left`."""
        key = (table.name, name)
        if key in self._chains:
            return self._chains[key]
        if key in self._open:
            raise Unprovable(f"table {table.name}: chain {name} leads back to itself")
        self._open.append(key)
        before = self._barriers
        rest, plain = NOTHING, list[int]()
        for rule in reversed(table.chains[name].rules):
            found = self._parts(table, rule.parts, 0)
            if self._has_effects(found):
                rest, plain = self._then(found, self._made.first([*reversed(plain), rest])), []
            else:
                plain.append(found)
        whole = self._made.first([*reversed(plain), rest])
        self._open.pop()
        if self._barriers == before:  # else every visit may be answered otherwise
            self._chains[key] = whole
        return whole

    def _parts(self, table: Table, parts: Sequence[Condition | Statement], place: int) -> int:
        """How a packet leaves the rule, from its part `place` on."""
        if place == len(parts):
            return NOTHING
        part = parts[place]
        if isinstance(part, In | InSet | Opaque | Barrier):
            holds = self._holds(table, part)
            return NOTHING if holds == NOTHING else self._made.where(holds, self._parts(table, parts, place + 1))
        if isinstance(part, SetMark | NoTrack):
            effect = Effect(part.keep, part.flip) if isinstance(part, SetMark) else Effect(untracked=True)
            return self._after(effect, self._parts(table, parts, place + 1))
        if isinstance(part, Lookup):
            return self._lookup(table, part)
        if isinstance(part, Translate):
            return self._left("accept")
        if isinstance(part, Unmodelled):
            return self._left(f"unknown: {part.text}")
        return self._verdict(table, part)

    def _verdict(self, table: Table, verdict: Verdict) -> int:
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
                return self._renamed(self._chain(table, chain), {"return": "next"}, None)
            case Goto(chain):
                return self._renamed(self._chain(table, chain), {"next": "return"}, "return")

    def _lookup(self, table: Table, lookup: Lookup) -> int:
        """Each element's verdict where the keys are in it; of those that hold a key the first decides."""
        made, found = self._made, table.sets[lookup.set]
        leaves: dict[Verdict, int] = {}
        boxes: dict[Verdict, list[Element]] = {}
        for element in found.elements:
            assert element.verdict is not None, "a verdict map"
            boxes.setdefault(element.verdict, []).append(element)
        if _disjoint(found.elements):
            among = {verdict: self._elements(lookup.keys, own) for verdict, own in boxes.items()}
        else:
            leaves = {verdict: made.outcome(("element", verdict)) for verdict in boxes}
            whole = made.first(
                [self._elements(lookup.keys, [e], leaves[v]) for e in found.elements if (v := e.verdict)]
            )
            among = {
                verdict: made.relabel(whole, {leaf: IN if leaf == own else NOTHING for leaf in leaves.values()})
                for verdict, own in leaves.items()
            }
        return made.first([made.where(keys, self._verdict(table, verdict)) for verdict, keys in among.items()])

    # Conditions

    def _holds(self, table: Table, condition: Condition) -> int:
        match condition:
            case In(Field.FAMILY, intervals):
                return IN if any(low <= self._version <= high for low, high in intervals) else NOTHING
            case In(Field.MARK, intervals, mask):
                return self._mark(intervals, _ALL_BITS if mask is None else mask)
            case In(field, intervals, mask):
                return self._made.inside(LEVELS[field], self._values(Key(field, mask), intervals))
            case InSet(keys, name, negated):
                members = self._members(table, keys, name)
                return self._made.outside(members) if negated else members
            case Opaque(text, negated):
                level = self._boolean(text)
                return self._made.inside(level, [(0, 0) if negated else (1, 1)])
            case Barrier(text):
                self._barriers += 1
                if self._barriers > _MOST_BARRIERS:
                    raise Unprovable(f"more than {_MOST_BARRIERS} stateful matches on a path, the last: {text}")
                return self._made.inside(self._boolean(f"{text} (time {self._barriers})"), [(1, 1)])

    def _boolean(self, text: str) -> int:
        if text not in self._levels:
            self._levels[text] = self._made.add_field(2)
            self.opaque[self._levels[text]] = text
        return self._levels[text]

    def _members(self, table: Table, keys: tuple[Key, ...], name: str) -> int:
        cached = (table.name, keys, name)
        if cached not in self._sets:
            made, elements = self._made, table.sets[name].elements
            if all(element.member for element in elements):
                self._sets[cached] = self._elements(keys, elements)
            else:
                left_out = made.outcome("no member")
                whole = made.first([self._elements(keys, [e], IN if e.member else left_out) for e in elements])
                self._sets[cached] = made.relabel(whole, {left_out: NOTHING})
        return self._sets[cached]

    def _elements(self, keys: Sequence[Key], elements: Sequence[Element], then: int = IN) -> int:
        for key in keys:
            if key.field not in LEVELS:
                raise Unprovable(f"a set or map that is asked for the {key.field.value}")
        plain = all(key.mask is None for key in keys)
        rows: Iterable[tuple[Range, ...]]
        if plain:
            rows = [element.box for element in elements]
        else:
            rows = [
                spans
                for element in elements
                if len(spans := tuple(s for k, i in zip(keys, element.box, strict=True) for s in self._values(k, (i,))))
                == len(keys)
            ]
        members = self._made.rows([LEVELS[key.field] for key in keys], rows)
        return members if then == IN else self._made.relabel(members, {IN: then})

    def _values(self, key: Key, intervals: Iterable[Range]) -> list[Range]:
        """Where the field has to be for its number, masked, to be in the intervals."""
        top = self._made.sizes[LEVELS[key.field]] - 1
        if key.mask is None:
            return [(low, min(high, top)) for low, high in intervals if low <= top]
        host = ~key.mask & top
        if host & (host + 1):
            raise Unprovable(f"a mask of the {key.field.value} that is no prefix: {key.mask:#x}")
        spans = [(low + host & ~host, high & ~host) for low, high in intervals]
        return [(low, min(high | host, top)) for low, high in spans if low <= high and low <= top]

    def _mark(self, intervals: Iterable[Range], mask: int) -> int:
        """The marks that lie, masked, in one of the intervals."""

        def build(bit: int, low: int, high: int) -> int:
            """For the bits from `bit` down; low and high are bounds of those bits alone."""
            full = (1 << bit + 1) - 1
            if low > high or high < 0 or low > full:
                return NOTHING
            if low <= 0 and high >= full:
                return IN
            half = 1 << bit
            zero = build(bit - 1, low, min(high, half - 1))
            if not mask & half:
                return zero
            one = build(bit - 1, max(low, half) - half, high - half)
            level = Level.MARK + MARK_BITS - 1 - bit
            return self._made.first([self._made.inside(level, [(0, 0)], zero), self._made.inside(level, [(1, 1)], one)])

        return self._made.first([build(MARK_BITS - 1, low, high) for low, high in intervals])

    # Outcomes and effects

    def _left(self, how: str, effect: Effect = _AS_IT_CAME) -> int:
        return NOTHING if how == "next" and effect == _AS_IT_CAME else self._made.outcome(Left(how, effect))

    def _lefts(self) -> list[tuple[Left, int]]:
        return [(left, leaf) for left, leaf in self._made.outcomes().items() if isinstance(left, Left)]

    def _left_ways(self, diagram: int) -> Iterator[Left]:
        yield from (left for left in self._made.said(diagram) if isinstance(left, Left))

    def _renamed(self, diagram: int, ways: dict[str, str], end: str | None) -> int:
        """The same with other ways out; `end`: what the end of the chain is now."""
        leaves = {leaf: self._left(ways[how], effect) for (how, effect), leaf in self._lefts() if how in ways}
        if end is not None:
            leaves[NOTHING] = self._left(end)
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
