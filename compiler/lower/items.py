"""Ordered lists of a program -> chains: rules, lists in lists, rules of one tool.

All of a list is reached by goto, so that Return ends it, however deep: that is how a rule allows. A list in it begins
where its head is met and ends, as what the head is not about does, in what stands behind it. So no chain is come back
to, but for the ends of denied packets that spare somebody, and lists of the machine itself in which nothing allows:
these are jumped to, since nf_tables takes chains up to 16 deep and counts goto, too. For the same reason neighbours go
on at one place where no packet meets the heads of two, nor what stands between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from compiler.ir import effects
from compiler.ir.match import Inbound, InSet, OneIn, Outbound, Per, Rate
from compiler.ir.ruleset import Chain, Continue, Goto, Hook, Jump, Lookup, Return, Verdict
from compiler.ir.ruleset import Rule as Line
from compiler.lower.asking import Asking, Question, once
from compiler.lower.heads import Asked, Heads
from compiler.lower.segments import Segments
from compiler.net import Family
from compiler.policy import Origin
from compiler.resolve.ends import Here, Side, is_node
from compiler.resources.language import (
    Item,
    Log,
    Matching,
    NamedPort,
    Opaque,
    PolicyBlock,
    Ports,
    Program,
    Rule,
    Within,
)

#: Who is met at the two ends of each hook.
SIDES: Mapping[Hook, tuple[Side, Side]] = {
    Hook.FORWARD: (Side(Here.ASKED), Side(Here.ASKED)),
    Hook.INPUT: (Side(Here.ASKED), Side(Here.ALWAYS, interfaces=False)),
    Hook.OUTPUT: (Side(Here.ALWAYS, interfaces=False), Side(Here.ASKED)),
}
#: In rules of one tool.
_ACCEPTS = re.compile(r"(?:-j|--jump) ACCEPT\b|\baccept\b")
_VERSIONS = {4: Family.IPV4, 6: Family.IPV6}


@dataclass(frozen=True, slots=True)
class Placed:
    """An item and where it stands; of a list in a list, what is in it."""

    item: Item
    origin: Origin
    inside: tuple[Placed, ...] = ()

    def every(self) -> Iterator[Placed]:
        """It and all that is in it."""
        yield self
        for one in self.inside:
            yield from one.every()


def blocks(program: Program, tier: str = "admin") -> list[PolicyBlock]:
    """The policy blocks of a tier, in the order in which they are asked."""
    found = (block for block in program.policies if block.tier == tier)
    return sorted(found, key=lambda block: (block.priority, block.name))


def of_blocks(program: Program, tier: str = "admin") -> Iterator[Placed]:
    """The items of all policy blocks of a tier, in the order in which they are asked."""
    for block in blocks(program, tier):
        yield from placed(block.rules, "policy", block.name)


def placed(items: Iterable[Item], kind: str, name: str = "block") -> tuple[Placed, ...]:
    """The items of one list, their rules numbered through, those of lists in it among them."""
    numbers = count()

    def place(item: Item) -> Placed:
        if isinstance(item, Rule):
            return Placed(item, Origin(kind, "", name, f"rule[{next(numbers)}]", item.span))
        what = "within" if isinstance(item, Within) else f"opaque {item.name}"
        inside = tuple(map(place, item.items)) if isinstance(item, Within) else ()
        return Placed(item, Origin(kind, "", name, what, item.span), inside)

    return tuple(map(place, items))


def at(items: Iterable[Placed], hook: Hook) -> tuple[Placed, ...]:
    """Those items of a list of the node itself that are asked at a hook."""
    return tuple(one for one in items if _is_at(one.item, hook))


def _is_at(item: Item, hook: Hook) -> bool:
    if isinstance(item, Opaque):
        return item.hook == hook.value
    return is_node(item.target if hook is Hook.INPUT else item.source)


class ItemChains:
    """The chains of one list at one hook. `name`: of the first chain; those of lists in it begin with `stem`. `verdict`
    is what a rule of any other verb than log and leave does, `leave` where leave leads outside of lists in lists.
    `jumps`: a denied packet never comes back; `allow`: where what ends all lists at once can go from any depth."""

    def __init__(
        self,
        names: tuple[str, str],
        note: str,
        asking: Asking,
        hook: Hook,
        families: Sequence[Family],
        verdict: Callable[[Rule], Verdict],
        leave: Verdict,
        jumps: bool = False,
        allow: Verdict | None = None,
    ) -> None:
        name, self._stem = names
        self._first, self._jumps, self._allow = name, jumps, allow
        self._asking, self._hook, self._families = asking, hook, families
        self._verdict = verdict
        self._behind = [leave]
        self._done: list[Chain] = []
        self._name, self._now = name, Segments(name, [note])
        #: Lists that were begun since then go on behind all of them, since nothing from there on is about their heads.
        self._group: _Group | None = None
        #: Chains in which nothing is done but that.
        self._empty: dict[Verdict, Verdict] = {}
        self._numbers = count(1)

    def add(self, items: Iterable[Placed]) -> None:
        """Items behind those that are there."""
        for one in items:
            match one.item:
                case Rule() as rule:
                    self._rule(rule, one.origin)
                case Within() as within:
                    self._within(within, one)
                case Opaque() as opaque:
                    self._opaque(opaque, one.origin)

    def chains(self, end: Verdict) -> tuple[Chain, ...]:
        """All chains, the first one first; `end` is for what nothing in the list decides. No chain when there is
        nothing in it."""
        last = self._now.chains(end)
        if not last and self._done:
            last = (Chain(self._name, (Line((), end),)),)
        if self._group is not None:
            self._empty[Goto(self._group.behind)] = end
        done = sorted((*self._done, *last), key=lambda chain: chain.name != self._first)
        return tuple(replace(chain, rules=tuple(map(self._straight, chain.rules))) for chain in done)

    def _straight(self, line: Line | Lookup) -> Line | Lookup:
        """The same without the detour through a chain that does nothing."""
        if isinstance(line, Lookup):
            return line
        verdict = line.verdict
        while verdict in self._empty:
            verdict = self._empty[verdict]
        return line if verdict == line.verdict else replace(line, verdict=verdict)

    def _rule(self, rule: Rule, origin: Origin) -> None:
        asked = self._questions(rule)
        self._meet(asked)
        verdict = {"log": Continue(), "leave": self._behind[-1]}.get(rule.verb) or self._verdict(rule)
        comes_back = rule.verb in ("deny", "reject", "log")
        aside = self._now.is_long and any(one.exceptions for _, one in asked)
        if self._allow is not None and rule.verb in ("allow", "pass") and (len(self._behind) > 1 or aside):
            verdict, comes_back = self._allow, True
        logs = (log_effect(rule.log),) if rule.log is not None else ()
        self._add(Line((), verdict, origins=(origin,), note=rule.text, effects=logs), rule, asked, comes_back)

    def _within(self, within: Within, one: Placed) -> None:
        asked = self._questions(within)
        if not asked or not one.inside:
            return
        self._meet(asked)
        inner = self._fresh()
        like = Line((), Goto(inner), origins=(one.origin,), note=within.text)
        if self._jumps and (self._allow is not None or not _ends_whole(one)):
            self._jumped(like, within, one, asked)
            return
        self._group = group = self._group or _Group(self._fresh(), Heads())
        group.heads.add(asked)
        self._add(like, within, asked)
        self._list(inner, Goto(group.behind), within.text, one)

    def _jumped(self, like: Line, within: Within, one: Placed, asked: Sequence[tuple[Family | None, Question]]) -> None:
        """A list that is come back from."""
        assert isinstance(like.verdict, Goto), "to the list"
        inner = like.verdict.chain
        if len(asked) == 1 and not asked[0][1].exceptions:
            self._add(replace(like, verdict=Jump(inner)), within, asked)
        else:  # once, however many of the questions a packet meets
            name, outer = self._name, self._now
            self._name, self._now = f"{inner}-in", Segments(f"{inner}-in", [within.text])
            self._add(like, within, asked)
            self._close(Return())
            self._name, self._now = name, outer
            line = Line((), Jump(f"{inner}-in"), origins=like.origins, note=like.note)
            self._now.add(line, [(None, Question(()))])
        self._list(inner, Return(), within.text, one)

    def _list(self, name: str, behind: Verdict, note: str, one: Placed) -> None:
        """The chain of a list in a list, and how that is left."""
        outer = self._name, self._now, self._group
        self._name, self._now, self._group = name, Segments(name, [note]), None
        self._behind.append(behind)
        self.add(one.inside)
        self._behind.pop()
        if self._group is not None:
            self._empty[Goto(self._group.behind)] = behind
        self._close(behind)
        self._name, self._now, self._group = outer

    def _opaque(self, opaque: Opaque, origin: Origin) -> None:
        family = None if opaque.version is None else _VERSIONS[opaque.version]
        if family in (None, *self._families):
            said = effects.Native(opaque.tool, opaque.rule, opaque.name)
            note = f"{opaque.text}  # unverified"
            self._meet([(family, Question(()))])
            self._now.add(Line((), Continue(), origins=(origin,), note=note, effects=(said,)), [(family, Question(()))])

    def _add(self, like: Line, by: Matching, asked: Asked, comes_back: bool = False) -> None:
        """A rule for what meets one of the questions. What happens at random, or is no end, happens once to each
        packet, however many of the questions it meets: sets are asked in several rules sometimes. `comes_back`: as in
        `Segments`."""
        chance = (OneIn(by.chance),) if by.chance is not None else ()
        if not chance and like.verdict != Continue():
            self._now.add(like, asked, comes_back)
        elif is_met_once(by.ports, asked):
            thrown = [(family, one._replace(matches=(*one.matches, *chance))) for family, one in asked]
            self._now.add(like, thrown, comes_back)
        elif asked:
            met, behind = self._fresh(), self._fresh()
            self._now.add(replace(like, verdict=Goto(met), effects=()), asked)
            self._turn(met, Goto(behind), like.note)
            self._now.add(like, [(None, Question(chance))])
            self._turn(behind, Goto(behind))

    def _questions(self, by: Matching) -> list[tuple[Family | None, Question]]:
        return once({family: self._asking.questions(by, family, *SIDES[self._hook]) for family in self._families})

    def _fresh(self) -> str:
        return f"{self._stem}-w{next(self._numbers)}"

    def _turn(self, name: str, end: Verdict, note: str = "") -> None:
        """Ends the chain that is open, and opens another one."""
        self._close(end)
        self._name, self._now = name, Segments(name, [note] if note else [])

    def _close(self, end: Verdict) -> None:
        self._done += self._now.chains(end) or (Chain(self._name, (Line((), end),)),)

    def _meet(self, asked: Asked) -> None:
        """What is asked next may be met by what comes out of the lists in front of it, or not."""
        if self._group is not None and not self._group.heads.are_apart(asked):
            self._turn(self._group.behind, Goto(self._group.behind))
            self._group = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Lists one after the other that no packet comes into two of. `behind`: the chain where each goes on."""

    behind: str
    heads: Heads


def _ends_whole(one: Placed) -> bool:
    """Whether something in a list ends all lists around it without ending the packet."""
    return any(
        (isinstance(inner.item, Rule) and inner.item.verb in ("allow", "pass"))
        or (isinstance(inner.item, Opaque) and _ACCEPTS.search(inner.item.rule) is not None)
        for inner in one.every()
    )


def is_met_once(ports: Ports, asked: Sequence[tuple[Family | None, Question]]) -> bool:
    """Whether no packet meets two rules that come of these questions: addresses and numbers of ports are apart from
    each other, while a named port may be one of the numbers, and an interface has any address."""
    if len(asked) < 2:
        return True
    if any(isinstance(one, NamedPort) for one in ports or ()) or not _are_apart([one for _, one in asked]):
        return False
    return not any(isinstance(match, InSet) for _, one in asked for match in one.matches)


def _are_apart(asked: Sequence[Question]) -> bool:
    """Whether they ask for the same interfaces, or each for another one by its whole name."""
    ways = {tuple(one for one in question.matches if isinstance(one, Inbound | Outbound)) for question in asked}
    kinds = {tuple(map(type, way)) for way in ways}
    return len(ways) == 1 or (len(kinds) == 1 and not any(match.prefix for way in ways for match in way))


def log_effect(log: Log) -> effects.Log:
    """What notes packets so."""
    limit = None
    if log.limit is not None:
        rate = Rate(log.limit.count, Per(log.limit.unit))
        limit = rate if log.limit.burst is None else replace(rate, burst=log.limit.burst)
    return effects.Log(log.prefix, group=None if log.kernel else 0, limit=limit)
