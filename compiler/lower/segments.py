"""An ordered list of rules as chains, the first match decides.

All of it is reached by goto from a base chain, so that Return leaves the base chain: that is how a rule allows. What a
question excepts goes on in the next segment, behind the rule.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from compiler.ir.match import Match
from compiler.ir.ruleset import Chain, Goto, Return, Rule, Verdict
from compiler.lower.asking import Question
from compiler.net import Family


class Segments:
    """Chains `name`, `name-2`, and so on."""

    def __init__(self, name: str, notes: Sequence[str]) -> None:
        self._name = name
        self._notes = tuple(notes)
        self._done: list[Chain] = []
        self._open: list[Rule] = []

    def add(self, like: Rule, questions: Sequence[tuple[Family | None, Question]]) -> None:
        """A rule that decides for packets that meet one of the questions."""
        groups: dict[tuple[Match, ...], list[tuple[Family | None, Question]]] = {(): []}
        for family, question in questions:
            groups.setdefault(question.exceptions, []).append((family, question))
        for exceptions, group in groups.items():
            if exceptions:
                self._cut()
            families = {family for family, _ in group}
            past = Goto(self._label(len(self._done) + 2))
            for match in exceptions:
                self._open.append(replace(like, matches=(match,), verdict=past, family=_only(families), effects=()))
            self._open += (replace(like, matches=question.matches, family=family) for family, question in group)
            if exceptions:
                self._cut()

    def chains(self, end: Verdict) -> tuple[Chain, ...]:
        """All chains; `end` is for what no rule matches. No chain when there is no rule."""
        if not self._open and not self._done:
            return ()
        last = [] if self._open and end == Return() else [Rule((), end)]
        return (*self._done, self._chain(len(self._done) + 1, [*self._open, *last]))

    def _cut(self) -> None:
        """What follows is in a new chain; nothing happens where one has just begun."""
        if self._open:
            number = len(self._done) + 1
            self._done.append(self._chain(number, [*self._open, Rule((), Goto(self._label(number + 1)))]))
            self._open = []

    def _chain(self, number: int, rules: Sequence[Rule]) -> Chain:
        return Chain(self._label(number), tuple(rules), notes=self._notes if number == 1 else ())

    def _label(self, number: int) -> str:
        return self._name if number == 1 else f"{self._name}-{number}"


def _only(families: Set[Family | None]) -> Family | None:
    """The one family that all are of."""
    return next(iter(families)) if len(families) == 1 else None
