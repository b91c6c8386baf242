"""An ordered list of rules as chains, the first match decides.

All of it is reached by goto from a base chain, so that Return leaves the base chain: that is how a rule allows. What a
question excepts goes on in the next segment, behind the rule.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from compiler.ir.match import InPrefix, Match
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
        #: What the open chain leaves out of all that is in it.
        self._excepted: tuple[Match, ...] = ()
        self._excepted_of: Family | None = None

    def add(self, like: Rule, questions: Sequence[tuple[Family | None, Question]]) -> None:
        """A rule that decides for packets that meet one of the questions."""
        groups: dict[tuple[Match, ...], list[tuple[Family | None, Question]]] = {(): []}
        for family, question in questions:
            groups.setdefault(question.exceptions, []).append((family, question))
        for exceptions, group in groups.items():
            if group:
                self._except(like, exceptions, _only({family for family, _ in group}))
                self._open += (replace(like, matches=question.matches, family=family) for family, question in group)

    def _except(self, like: Rule, exceptions: tuple[Match, ...], family: Family | None) -> None:
        """What follows is not for packets that meet one of these: neighbours with the same ones share a chain."""
        if exceptions == self._excepted and (not exceptions or self._excepted_of in (None, family)):
            return
        self._cut()
        past = Goto(self._label(len(self._done) + 2))
        for match in exceptions:
            own = match.prefix.family if isinstance(match, InPrefix) else family
            self._open.append(replace(like, matches=(match,), verdict=past, family=own, effects=()))
        by_prefix = all(isinstance(match, InPrefix) for match in exceptions)
        self._excepted, self._excepted_of = exceptions, None if by_prefix else family

    def chains(self, end: Verdict) -> tuple[Chain, ...]:
        """All chains; `end` is for what no rule matches. No chain when there is no rule."""
        if not self._open and not self._done:
            return ()
        if self._excepted:
            self._cut()
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
