"""An ordered list of rules as chains, the first match decides.

All of it is reached by goto from a base chain, so that Return leaves the base chain: that is how a rule allows. What a
question excepts goes on in the next segment, behind the rule. nf_tables takes few chains in each other: so in a long
list that excepts now these and now those, rules that can stand in a chain that is come back from, do.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from compiler.ir.match import InPrefix, Match
from compiler.ir.ruleset import Chain, Goto, Jump, Return, Rule, Verdict
from compiler.lower.asking import Question
from compiler.net import Family

#: Segments in a row, behind which rules that can stand aside do.
_FEW = 3


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
        #: Chains that are come back from, and what is excepted in the one that is open.
        self._asides: list[Segments] = []
        self._excepted_aside: list[tuple[Match, ...]] = []

    @property
    def is_long(self) -> bool:
        """Whether there are many segments in a row already."""
        return len(self._done) + 1 >= _FEW

    def add(self, like: Rule, questions: Sequence[tuple[Family | None, Question]], comes_back: bool = False) -> None:
        """A rule that decides for packets that meet one of the questions. `comes_back`: it does the same in a chain
        that is jumped to."""
        excepted = [question.exceptions for _, question in questions if question.exceptions]
        if excepted and comes_back and self.is_long:
            self._aside(like, excepted).add(like, questions)
            return
        self._excepted_aside = []
        groups: dict[tuple[Match, ...], list[tuple[Family | None, Question]]] = {(): []}
        for family, question in questions:
            groups.setdefault(question.exceptions, []).append((family, question))
        for exceptions, group in groups.items():
            if group:
                self._except(like, exceptions, _only({family for family, _ in group}))
                self._open += [like.asking(question.matches, family) for family, question in group]

    def _aside(self, like: Rule, excepted: list[tuple[Match, ...]]) -> Segments:
        """The chain for it: neighbours with the same exceptions share one."""
        if excepted != self._excepted_aside:
            name = f"{self._name}-x{len(self._asides) + 1}"
            self._asides.append(Segments(name, ["for what it does not leave out at its beginning"]))
            self._except(like, (), None)
            self._open.append(replace(like, matches=(), verdict=Jump(name), family=None, effects=()))
            self._excepted_aside = excepted
        return self._asides[-1]

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
        aside = [chain for one in self._asides for chain in one.chains(Return())]
        return (*self._done, self._chain(len(self._done) + 1, [*self._open, *last]), *aside)

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
