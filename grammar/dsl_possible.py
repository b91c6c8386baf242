"""What could come next behind the beginning of a text of the policy language: for completion in editors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from grammar import dsl
from grammar.dsl_recovery import Reading
from grammar.dsl_tree import File
from grammar.source import Source


@dataclass(frozen=True, slots=True)
class Possible:
    """`tokens`: the kinds of tokens that could come, by their names in dsl.lark, with the text of those that have but
    one. `previous`: the kind of the token before, "" where a statement or the text begins."""

    tokens: Mapping[str, str | None]
    previous: str = ""


NOTHING = Possible({})
_LOG = re.compile(r"\blog(?=\s+\Z)")


class _AtTheEnd(Exception):
    """All is read."""


class _Beginning(Reading):
    """Reads to the end of a text that may go on."""

    def possible(self) -> Possible:
        with suppress(_AtTheEnd):
            self.tree()
        if self._passed_over() or len(self._text) > dsl.LARGEST:
            return NOTHING
        previous = self._previous.type if self._previous is not None else ""
        found = self._accepted(self._state.state_stack) - {"$END"}
        return Possible({token: self._literals.get(token) for token in sorted(found)}, previous)

    def _ended(self) -> File:
        raise _AtTheEnd

    def _passed_over(self) -> bool:
        """Whether the text ends inside of a statement that is wrong: but for a fresh line, where one may begin."""
        assert self._state.lexer.state is not None
        lost = bool(self.found) and self._previous is None
        return lost and bool(self._text[self._text.rfind("\n") + 1 :].strip())


def possible(beginning: str) -> Possible:
    """What could come behind a text, whatever is wrong with it before its last statement; nothing where that one is
    wrong."""
    found = _Beginning(Source("", beginning[: dsl.LARGEST + 1]), dsl.parser()).possible()
    if not found.tokens and (verb := _LOG.search(beginning)):  # what follows tells it from the option
        return possible(beginning[: verb.start()] + "leave" + beginning[verb.end() :])
    return found
