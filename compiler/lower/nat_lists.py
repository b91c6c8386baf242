"""Lists in lists of nat, with marks, conditions and rules of one tool -> chains at one hook.

What is translated does not come back, so a list in a list is jumped to, and leaving it is Return: nf_tables takes
chains up to 16 deep, and counts goto like jump. Only a list that says `keep source` is reached by goto, as in `items`,
so that Return ends all of it. What stands in a list in a list is about what the head has let in; there `lo` is nobody's
exception any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from compiler.ir import effects
from compiler.ir.match import OneIn
from compiler.ir.ruleset import Chain, Continue, Goto, Hook, Jump, Return, Table, Verdict
from compiler.ir.ruleset import Rule as Line
from compiler.lower.asking import Asking, Question, conditioned, once
from compiler.lower.flows import ABOUT, SHORT, Asked, Entry, Flows, origin, ways
from compiler.lower.items import is_met_once
from compiler.lower.segments import Segments
from compiler.net import Family
from compiler.policy import Origin
from compiler.resources.language import (
    Conditional,
    Dnat,
    Flow,
    KeepSource,
    Mark,
    Masquerade,
    Matching,
    NatItem,
    NatWithin,
    Opaque,
    Ports,
    Redirect,
    Rule,
    Snat,
    Statement,
)

_DESTINATIONS = frozenset({Hook.PREROUTING, Hook.OUTPUT})
_SOURCES = frozenset({Hook.POSTROUTING})
_VERSIONS = {4: Family.IPV4, 6: Family.IPV6}
#: A statement that decides about connections -> its rules at a hook.
Deciding = Callable[[NatItem, int, Hook, Flows], Iterator[Entry]]


def is_flat(items: Sequence[NatItem]) -> bool:
    """Whether the first statement that fits decides, and nothing else is to be known."""
    return not any(
        isinstance(item, NatWithin | Opaque | Mark | Rule) or (isinstance(item, Conditional) and item.conditional)
        for item in items
    )


def hooks(items: Iterable[NatItem]) -> frozenset[Hook]:
    """Where a list is asked: where something is decided in it. Leaving goes with that, and so do marks where
    a packet leaves; else they are set before connections go anywhere, on what arrives and on what the node sends."""
    found: set[Hook] = set()
    marks = False
    for item in items:
        match item:
            case NatWithin(items=inner):
                found |= hooks(inner)
            case Opaque(hook=hook) if hook is not None:
                found.add(Hook(hook))
            case Dnat() | Redirect():
                found |= _DESTINATIONS
            case Snat() | Masquerade() | KeepSource():
                found |= _SOURCES
            case Mark():
                marks = True
            case _:
                pass
    return frozenset(found | _DESTINATIONS if marks and not found & _SOURCES else found)


class NatLists:
    """The chains of a program's nat statements at one hook."""

    def __init__(self, asking: Asking, flows: tuple[Flows, Flows], hook: Hook, deciding: Deciding) -> None:
        """`flows`: of what arrives, and of what a list in a list has let in."""
        self._asking, self._flows, self._hook, self._deciding = asking, flows, hook, deciding
        self._families = flows[0].families
        self._stem = f"nat-{SHORT[hook]}"
        self._name = self._stem
        self._now = Segments(self._name, [f"nat statements of a program, in lists: {ABOUT[hook]}"])
        self._done: list[Chain] = []
        self._behind: list[Verdict] = [Return()]
        self._fresh_ones = count(1)
        self._numbers: Mapping[int, int] = {}

    def of(self, items: Sequence[NatItem]) -> tuple[Chain, ...]:
        """All of a program's, the first chain first."""
        self._numbers = {id(item): number for number, item in enumerate(_every(items))}
        self._add(items, inside=False)
        self._done += self._now.chains(Return()) or (Chain(self._name, (Line((), Return()),)),)
        self._done.sort(key=lambda chain: chain.name != self._stem)  # the others as they were made
        return tuple(replace(chain, table=Table.NAT) for chain in self._done)

    def _add(self, items: Sequence[NatItem], inside: bool) -> None:
        around = hooks(items)
        for item in items:
            match item:
                case NatWithin() if self._hook in hooks(item.items):
                    self._within(item, inside)
                case Rule(verb="leave") if self._hook in around:
                    asked = self._questions(item, inside)
                    self._put(Line((), self._behind[-1], origins=self._origins(item), note=item.text), item, asked)
                case Mark(value=value, mask=mask):
                    if self._hook in (_SOURCES if Hook.POSTROUTING in around else _DESTINATIONS):
                        asked = self._flows[inside].asked(item, ways(item.flow, True), self._hook)
                        like = Line((), Continue(), origins=self._origins(item), note=item.text)
                        self._put(replace(like, effects=(effects.SetMark(value, mask),)), None, asked)
                case Opaque(hook=hook) if hook == self._hook.value:
                    self._opaque(item)
                case NatWithin() | Rule() | Opaque():
                    pass
                case _:
                    for entry in self._deciding(item, self._numbers[id(item)], self._hook, self._flows[inside]):
                        self._put(entry.rule, item, _conditioned(item, entry.asked))

    def _within(self, within: NatWithin, inside: bool) -> None:
        asked = self._questions(within, inside)
        if not asked:
            return
        inner = self._fresh()
        like = Line((), Goto(inner), origins=self._origins(within), note=within.text)
        if _keeps(within.items):
            behind = self._fresh()
            self._put(like, within, asked)
            self._turn(inner, Goto(behind), within.text)
            self._behind.append(Goto(behind))
            self._add(within.items, inside=True)
            self._behind.pop()
            self._turn(behind, Goto(behind))
            return
        if len(asked) == 1 and not asked[0][1].exceptions:
            self._put(replace(like, verdict=Jump(inner)), within, asked)
        else:
            self._apart(like, within, asked)
        name, now = self._name, self._now
        self._name, self._now = inner, Segments(inner, [within.text])
        self._behind.append(Return())
        self._add(within.items, inside=True)
        self._behind.pop()
        self._done += self._now.chains(Return()) or (Chain(inner, (Line((), Return()),)),)
        self._name, self._now = name, now

    def _opaque(self, opaque: Opaque) -> None:
        family = None if opaque.version is None else _VERSIONS[opaque.version]
        if family in (None, *self._families):
            said = effects.Native(opaque.tool, opaque.rule, opaque.name)
            line = Line((), Continue(), origins=self._origins(opaque), note=f"{opaque.text}  # unverified")
            self._now.add(replace(line, effects=(said,)), [(family, Question(()))])

    def _put(self, like: Line, by: Conditional | None, asked: Asked) -> None:
        """A rule for what meets one of the questions; what happens at random, or is no end, once to each packet."""
        chance = (OneIn(by.chance),) if by is not None and by.chance is not None else ()
        comes_back = like.verdict == Continue() or isinstance(like.verdict, Jump)
        plain = not any(one.exceptions for _, one in asked)
        apart = _is_met_once(by, asked)
        if like.verdict in (Return(), self._behind[-1]) or isinstance(like.verdict, Goto):
            self._leaving(like, chance, asked, apart)
        elif plain and (apart or not (chance or comes_back)):
            self._now.add(like, [(family, one._replace(matches=(*one.matches, *chance))) for family, one in asked])
        elif asked:
            self._apart(replace(like, verdict=Return()) if like.verdict == Continue() else like, by, asked)

    def _apart(self, like: Line, by: Conditional | None, asked: Asked) -> None:
        """In a chain that is come back from, so that it happens once, and not to what is excepted. The coin is thrown
        in front of it: what translates asks for family and protocol itself, in each of its rules."""
        chance = (OneIn(by.chance),) if by is not None and by.chance is not None else ()
        name = self._fresh()
        found = Segments(name, [like.note])
        found.add(like, asked)
        self._done += found.chains(Return())
        self._now.add(Line((), Jump(name), origins=like.origins, note=like.note), [(None, Question(chance))])

    def _leaving(self, like: Line, chance: tuple[OneIn, ...], asked: Asked, apart: bool) -> None:
        """What ends this list, or goes on in another chain, stands in the list's own chain. `apart`: no packet meets
        two of the questions."""
        if not chance or apart:
            self._now.add(like, [(family, one._replace(matches=(*one.matches, *chance))) for family, one in asked])
            return
        met, behind = self._fresh(), self._fresh()
        self._now.add(replace(like, verdict=Goto(met), effects=()), asked)
        self._turn(met, Goto(behind), like.note)
        self._now.add(like, [(None, Question(chance))])
        self._turn(behind, Goto(behind))

    def _questions(self, by: Rule | NatWithin, inside: bool) -> Asked:
        sides = self._flows[inside].sides(self._hook)
        return once({family: self._asking.questions(by, family, *sides) for family in self._families})

    def _origins(self, item: NatItem) -> tuple[Origin, ...]:
        return (origin(item, Table.NAT, self._numbers[id(item)]),)

    def _fresh(self) -> str:
        return f"{self._stem}-w{next(self._fresh_ones)}"

    def _turn(self, name: str, end: Verdict, note: str = "") -> None:
        """Ends the chain that is open, and opens another one."""
        self._done += self._now.chains(end) or (Chain(self._name, (Line((), end),)),)
        self._name, self._now = name, Segments(name, [note] if note else [])


def _keeps(items: Iterable[NatItem]) -> bool:
    """Whether something in it ends all lists without translating."""
    return any(isinstance(item, KeepSource) for item in _every(items))


def _is_met_once(by: Conditional | None, asked: Asked) -> bool:
    """Whether no packet meets two of the questions: with `<->`, one between the ends meets those of both ways."""
    flow = _flow(by)
    return not (flow is not None and flow.both_ways) and is_met_once(_ports(by), asked)


def _conditioned(item: NatItem, asked: Asked) -> Asked:
    """The questions with the statement's conditions."""
    if not isinstance(item, Conditional):
        return asked
    return [
        (family, one._replace(matches=more))
        for family, one in asked
        for more in conditioned(item, _ports(item), one.matches)
    ]


def _flow(item: Statement | None) -> Flow | None:
    return item.flow if isinstance(item, Snat | Masquerade | Redirect | KeepSource | Mark) else None


def _ports(item: Statement | None) -> Ports:
    flow = item if isinstance(item, Matching | Dnat) else _flow(item)
    return flow.ports if flow is not None else None


def _every(items: Iterable[NatItem]) -> Iterator[NatItem]:
    """All of them, lists before what is in them."""
    for item in items:
        yield item
        if isinstance(item, NatWithin):
            yield from _every(item.items)
