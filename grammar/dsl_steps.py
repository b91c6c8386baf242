"""One step of the parser: a token, and what it reduces. What lark's `ParserState.feed_token` does, with its tables and
its stacks, but without looking up each rule by all that it says; and what stands between tokens, all at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.parsers.lalr_parser_state import ParserState

#: A state is a number; an action a shift and the state behind it, or a reduction and its rule.
_Table = dict[int, dict[str, tuple[Any, Any]]]


class _Reduction(NamedTuple):
    """What a rule does: so many values off the stack, what is made of them, and as what it goes on."""

    size: int
    made: Callable[[list[Any]], Any]
    name: str


class Steps:
    """The steps of a parser in one text."""

    def __init__(self, parser: Lark, state: ParserState[Any]) -> None:
        from lark.parsers.lalr_analysis import Shift

        ignored = [one.pattern.to_regexp() for one in parser.terminals if one.name in parser.lexer_conf.ignore]
        self._ignored = re.compile(f"(?:{'|'.join(ignored)})*")
        self._state, self._shift = state, Shift
        self._table: _Table = state.parse_conf.states
        callbacks = state.parse_conf.callbacks
        rules = {id(rule): rule for row in self._table.values() for act, rule in row.values() if act is not Shift}
        #: By the identity of their rules, which the table keeps.
        self._reductions = {
            key: _Reduction(len(rule.expansion), callbacks[rule], rule.origin.name) for key, rule in rules.items()
        }

    def take(self, token: Token) -> bool:
        """Takes a token. False when it cannot stand here; what it has reduced by then stays so."""
        states, values, table = self._state.state_stack, self._state.value_stack, self._table
        while True:
            action, arg = table[states[-1]].get(token.type, (None, None))
            if action is self._shift:
                states.append(arg)
                values.append(token)
                return True
            if action is None:
                return False
            size, made, name = self._reductions[id(arg)]
            children = values[-size:] if size else []
            if size:
                del states[-size:], values[-size:]
            values.append(made(children))
            states.append(table[states[-1]][name][1])

    def behind_blanks(self, text: str, at: int) -> int:
        """The offset behind all that is passed over there."""
        found = self._ignored.match(text, at)
        assert found is not None, "which may be nothing"
        return found.end()
