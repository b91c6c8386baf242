"""Outcomes of ways as functions of the packet: a rule that gives a packet what it has already changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import lru_cache

from compiler.semantics.diagrams.diagram import IN, NOTHING
from compiler.semantics.diagrams.space import MARK_BITS, Level, Space
from compiler.semantics.rules.effects import ALL_BITS, AS_IT_CAME, Change, Outcome

_Hops = tuple[int, int, int]


def as_seen(outcome: Outcome, over: Space, packet: Mapping[int, int]) -> Hashable:
    """What an outcome is for a packet, given by the numbers of its levels: equal where a rule gives it what it has."""
    mark = sum(packet.get(Level.MARK + n, 0) << MARK_BITS - 1 - n for n in range(MARK_BITS))
    how, change, events, then = outcome
    given = frozenset((field, value) for field, value in change.given if value != packet.get(over.level(field), 0))
    return how, change.but_mark._replace(given=()), given, mark & change.keep ^ change.flip, events, then


class Settled:
    """Of diagrams of one space, as `WayDiagrams` makes them."""

    def __init__(self, over: Space) -> None:
        self._over, self._made = over, over.made
        self._known_by_hops: dict[int, int] = {}

    def comes(self, diagram: int) -> int:
        """The packets that come to its end, as far as is known."""
        return self._mapped(diagram, lambda outcome: IN if outcome.how == "accept" or outcome.then else NOTHING)

    def marked(self, diagram: int) -> int:
        """The bits of the mark that some packet has changed at the end."""
        found = 0
        for outcome in self._outcomes(diagram):
            if not outcome.then:
                found |= ALL_BITS ^ outcome.change.keep | outcome.change.flip
        return found

    def mark_bit(self, diagram: int, bit: int) -> int:
        """The packets that have the bit in the end, or where nobody knows any more what becomes of them; none of those
        that are gone."""
        level = Level.MARK + MARK_BITS - 1 - bit

        def among(keeps: int, flips: int) -> int:
            def chosen(outcome: Outcome) -> int:
                change = outcome.change
                has = (change.keep >> bit & 1, change.flip >> bit & 1) == (keeps, flips)
                return IN if has and (outcome.how == "accept" or outcome.then) else NOTHING

            return self._mapped(diagram, chosen)

        made = self._made
        kept = [made.where(made.inside(level, [(1 - flip,) * 2]), among(1, flip)) for flip in (0, 1)]
        return made.first([among(0, 1), *kept])

    def each(self, diagram: int, change: Callable[[Outcome], Outcome]) -> int:
        """With other outcomes, behind statements that are not modelled, too."""

        def anew(outcome: Outcome) -> int:
            then = tuple(self.each(behind, change) for behind in outcome.then)
            return self._made.outcome(change(outcome)._replace(then=then))

        return self._mapped(diagram, anew)

    def everywhere(self, diagram: int, change: Callable[[int], int]) -> int:
        """`change` of it, and of what comes behind statements that are not modelled."""

        def anew(outcome: Outcome) -> int:
            then = tuple(self.everywhere(behind, change) for behind in outcome.then)
            return self._made.outcome(outcome._replace(then=then))

        return self._mapped(change(diagram), anew)

    def by_hops(self, diagram: int) -> int:
        """With the hop limits that each packet has in the end, and where it is seen, and none where they are what they
        were."""
        made = self._made
        if diagram not in self._known_by_hops:
            anew = {}
            for outcome in list(self._outcomes(diagram)):
                counted = [change.hops for change in _changes(outcome)]
                if outcome.then or any(hops != AS_IT_CAME.hops for hops in counted):
                    told = outcome._replace(then=tuple(map(self.by_hops, outcome.then)))
                    spans: dict[tuple[_Hops, ...], list[tuple[int, int]]] = {}
                    for hops, seen in enumerate(zip(*map(_each_hops, counted), strict=True)):
                        spans.setdefault(seen, []).append((hops, hops))
                    ends = ((own, made.outcome(_with_hops(told, seen))) for seen, own in spans.items())
                    anew[made.outcome(outcome)] = made.first(made.inside(Level.HOPS, own, end) for own, end in ends)
            self._known_by_hops[diagram] = made.replaced(diagram, anew)
        return self._known_by_hops[diagram]

    def but_mark(self, diagram: int) -> int:
        """The outcomes without their marks, and without what NAT gives to those that have it."""
        made = self._made
        found = self._mapped(diagram, lambda outcome: made.outcome(_unmarked(outcome)))
        todo = list(self._outcomes(found))
        while todo:
            outcome = todo.pop()
            given = outcome.change.given
            for field, value in given:
                if isinstance(value, int) and not outcome.then:
                    rest = tuple(pair for pair in given if pair[0] is not field)
                    plain = outcome._replace(change=outcome.change._replace(given=rest))
                    has_it = made.where(
                        made.inside(self._over.level(field), [(value, value)]), self._ending(found, outcome)
                    )
                    if has_it != NOTHING:
                        found = made.first([made.where(has_it, made.outcome(plain)), found])
                        todo.append(plain)
        return found

    def _ending(self, diagram: int, outcome: Outcome) -> int:
        """The packets that end so, whatever chance decides; those for which it decides do not."""
        made, own = self._made, self._made.outcome(outcome)
        ends = map(made.outcome, list(made.said(diagram)))
        return made.relabel(diagram, {one: IN if one == own else NOTHING for one in ends})

    def _outcomes(self, diagram: int) -> Iterator[Outcome]:
        yield from (outcome for outcome in self._made.said(diagram) if isinstance(outcome, Outcome))

    def _mapped(self, diagram: int, change: Callable[[Outcome], int]) -> int:
        leaves = {self._made.outcome(outcome): change(outcome) for outcome in list(self._outcomes(diagram))}
        return self._made.relabel(diagram, leaves)


def with_changes(outcome: Outcome, change: Callable[[Change], Change]) -> Outcome:
    """The outcome with other changes, in the end and where the packet is seen."""
    events = tuple(event._replace(change=change(event.change)) for event in outcome.events)
    return outcome._replace(change=change(outcome.change), events=events)


def _changes(outcome: Outcome) -> Iterator[Change]:
    """In the order in which `with_changes` has them."""
    yield from (event.change for event in outcome.events)
    yield outcome.change


@lru_cache(1024)
def _each_hops(hops: _Hops) -> tuple[_Hops, ...]:
    """What a change makes of each hop limit, as one for that limit alone."""
    add, low, high = hops
    ends = [min(max(value + add, low), high) if low < high else low for value in range(256)]
    return tuple(AS_IT_CAME.hops if end == value else (0, end, end) for value, end in enumerate(ends))


def _with_hops(outcome: Outcome, hops: Iterable[_Hops]) -> Outcome:
    left = iter(hops)
    return with_changes(outcome, lambda change: change._replace(hops=next(left)))


def _unmarked(outcome: Outcome) -> Outcome:
    """What a statement that is not modelled makes of the mark, nobody knows."""
    return outcome if outcome.then else outcome._replace(change=outcome.change.but_mark)
