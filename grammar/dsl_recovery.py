"""Reading a text of the policy language to its end, whatever is wrong with it.

An error costs the statement that it is in. The parser goes back to where that statement could begin, and on at the
next one: at a word that statements of this block begin with, at the brace that closes the block, or at the next
definition or block. Brackets that the statement opened are passed over whole. A brace that is never closed is told of
at its own place, when a definition or block begins inside of it or the text ends.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from grammar import dsl_words as words
from grammar.dsl_parts import Finding
from grammar.dsl_steps import Steps
from grammar.dsl_tree import File
from grammar.source import Source

if TYPE_CHECKING:
    from lark import Lark, Token

#: Errors of one text; whoever makes more has not written a policy.
MOST = 1000
#: Characters of what stands before the brace of a block, at most.
_HEAD = 400
#: How many brackets may be open at once. The parser's stack has more than that before they are counted.
DEEPEST = 32

#: A token that statements of one kind of block, or what stands outside of blocks, begin with -> that block's name.
_CONTEXTS = {"ALLOW": "policy", "DNAT": "nat", "MARK": "mangle", "NOTRACK": "raw", "ONLY": "expect", "POLICY": "file"}
_STARTERS = {**words.STATEMENTS, "file": (*words.DEFINITIONS, *words.BLOCKS)}
_NAME = r"[A-Za-z_][\w.-]*"
#: Where a definition or a block begins, beyond doubt.
_ITEM = re.compile(
    rf'(?:include\s*"|(?:set|service|zone)\s+{_NAME}\s*=|policy\s+{_NAME}\s*(?:\{{|tier\b|priority\b)'
    r"|(?:node|forward)\s+packets\s*\{|(?:node|forward|nat|mangle|raw|expect)\s*\{)"
)
_PIECE = re.compile(r'"(?:[^"\\\n]|\\.)*"?|#[^\n]*|[{}()]|[A-Za-z_][\w.-]*|\n|[^"#{}()A-Za-z_\n]+')
#: A brace that is alone on its line closes the block, whatever else is open.
_ALONE = re.compile(r"\}[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z)")
#: Nothing but a statement may begin on this line.
_LAST = re.compile(r"[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z)")
_FOUND = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\w](?:[\w./@:*-]*[\w*])?|<->|->|[=!]=|\S|\Z', re.ASCII)
#: What continues an expectation on a further line.
_CONTINUES = frozenset({"can", "cannot", "reach", "translates", "to", "and", "except"})
#: A line that an expectation begins in.
_EXPECTATION = re.compile(r"[\w{][^\n#}]*(?:\}[^\n#}]*)?\b(?:can|cannot|reach|translates)\b")
#: Characters that control a terminal or the direction of writing, but for tabs and ends of lines.
_HIDING = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
_UNCLOSED = re.compile(rf'"(?:[^"\\\t\n{_HIDING}]|\\["\\])*')
_HIDDEN = re.compile(rf"(?!\r(?:\n|\Z))[{_HIDING}]")
_TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_TEXT_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"?|#[^\n]*')


class Reading:
    """One text, being read; what is `found` wrong grows meanwhile."""

    def __init__(self, source: Source, parser: Lark) -> None:
        self.found: list[Finding] = []
        self._source = source
        self._text = source.text
        self._interactive = parser.parse_interactive(source.text)
        self._state = self._interactive.parser_state
        self._steps = Steps(parser, self._state)
        self._literals = {t.name: t.pattern.value for t in parser.terminals if t.pattern.type == "str"}
        self._previous: Token | None = None
        self._before: list[Any] | None = None  # the states before a token is taken, while it is

    def tree(self) -> File:
        """What was read; statements with errors are not in it."""
        while True:
            if (tree := self._on()) is not None:
                return tree
            if len(self.found) > MOST:
                self._back(self._outside())
                return self._ended()

    def _on(self) -> File | None:
        """Reads to the end, or to an error and over it."""
        from lark.exceptions import UnexpectedCharacters, UnexpectedToken

        state, stack, take = self._state, self._state.state_stack, self._steps.take
        assert state.lexer.state is not None
        line = state.lexer.state.line_ctr
        self._previous = self._before = None
        try:
            for token in state.lexer.lex(state):  # type: ignore[no-untyped-call]
                self._before = stack[:]
                if not take(token):
                    self._wrong(token.start_pos or 0, token)
                    return None
                self._previous, self._before = token, None
                line.char_pos = self._steps.behind_blanks(self._text, line.char_pos)
                if len(stack) > DEEPEST and len(_open(state.value_stack)) > DEEPEST:
                    self._too_deep()
                    return None
            return self._ended()
        except UnexpectedCharacters as error:
            self._wrong(error.pos_in_stream or 0, None)
        except UnexpectedToken as error:
            self._wrong(error.token.start_pos or 0, error.token)
        return None

    def _ended(self) -> File:
        from lark import Token

        end = len(self._text)
        tree = self._state.feed_token(Token("$END", "", end, end_pos=end), True)
        assert isinstance(tree, File)
        return tree

    # ---- What is wrong

    def _wrong(self, at: int, token: Token | None) -> None:
        """Tells of an error at an offset, where `token` cannot stand (None: no token begins there), and goes on
        behind it."""
        accepted = self._accepted(self._before or self._state.state_stack)
        context = self._settle()
        opened = _open(self._state.value_stack)
        last = self._previous.start_pos if self._previous is not None else None
        if opened and opened[-1] == "(" and last is not None and _ITEM.match(self._text, last):
            at = last  # any word is a label
        if opened and (at >= len(self._text) or _ITEM.match(self._text, at)):
            begin = opened[-1].start_pos or 0
            where = "the text ends" if at >= len(self._text) else f'"{self._word(at)}" begins'
            line = self._source.position(at)[0]
            message = f'this "{opened[-1]}" is not closed before {where} in line {line}'
            self._flaw(begin, begin + 1, message, "unclosed")
            self._back(self._outside())
            self._go_on(at)
        elif token is None:
            self._recover(at, self._bad_character(at, accepted))
        else:
            self._flaw(at, at + len(self._word(at)), self._unexpected(at, context, accepted), "syntax")
            self._recover(at, at)

    def _bad_character(self, at: int, accepted: Collection[str]) -> int:
        """Tells of a character that no token begins with; gives the offset behind what is lost with it."""
        char = self._text[at]
        if char != '"':
            told = char == ";" or not char.isascii() or not char.isprintable()  # all that there is to say
            more = "" if told else f"; expected {self._listed(accepted)}"
            self._flaw(at, at + 1, words.stray(char) + more, "character")
            return at + 1
        found = _UNCLOSED.match(self._text, at)
        assert found is not None
        end = found.end()
        follows = self._text[end : end + 1]
        if follows in ("", "\n", "\r"):
            self._flaw(at, end, "this text is not closed on its line", "unclosed")
        elif follows == "\\":
            self._flaw(end, end + 2, r"only \" and \\ are known in a text", "escape")
        else:
            self._flaw(end, end + 1, f"{words.stray(follows)} cannot stand in a text", "character")
        whole = _TEXT.match(self._text, at)
        if whole is not None:
            return whole.end()
        line = self._text.find("\n", end)
        return len(self._text) if line < 0 else line

    def _unexpected(self, at: int, context: str | None, accepted: Collection[str]) -> str:
        """The message about a token at the wrong place; `context` is given between statements."""
        word = self._word(at)
        if word == "}" and context == "file":
            return 'this "}" closes nothing'
        possible = [self._literals[name] for name in accepted if name in self._literals]
        meant = words.meant(word, [text for text in possible if text.isalpha()])
        advice = words.advice(word, accepted, self._previous.type if self._previous is not None else "")
        hint = f": {advice}" if advice else f": did you mean {meant}?" if meant else ""
        if context and (home := words.home(word)) and word not in _STARTERS[context]:
            here = "here, outside of blocks," if context == "file" else f"in this {context} block"
            return f'"{word}" belongs into {home}; {here} expected {self._listed(accepted)}{hint}'
        quoted = word if word.startswith('"') and len(word) > 1 else f'"{word}"'
        found = f"found {quoted}" if word else "found the end of the text"
        if word in words.RESERVED and "NAME" in accepted:
            found += ", a word of the language"
        return f"expected {self._listed(accepted)}, {found}{hint}"

    def _listed(self, accepted: Collection[str]) -> str:
        before = self._previous.type if self._previous is not None else ""
        return words.expected(accepted, self._literals, before)

    def _too_deep(self) -> None:
        """Tells of the innermost open bracket, and goes on behind the statement that it is in."""
        last = _open(self._state.value_stack)[-1]
        begin, end = last.start_pos or 0, last.end_pos or 0
        self._flaw(begin, end, "brackets are nested too deep here", "too-deep")
        self._recover(begin, end)

    def _word(self, at: int) -> str:
        """What stands at an offset, as a reader would call it."""
        found = _FOUND.match(self._text, at)
        return found.group()[:60] if found else self._text[at : at + 1]

    def _flaw(self, begin: int, end: int, message: str, code: str) -> None:
        self.found.append(Finding(begin, max(end, begin + 1), message, code))

    # ---- How to go on

    def _context(self) -> tuple[str, int]:
        """The block that the parser is in, or `file`; and where in its stack a statement of it could begin."""
        from lark.parsers.lalr_analysis import Shift

        stack, states = self._state.state_stack, self._state.parse_conf.parse_table.states
        for index in range(len(stack) - 1, -1, -1):
            for token, context in _CONTEXTS.items():
                action = states[stack[index]].get(token)
                if action is not None and action[0] is Shift:
                    return context, index
        raise AssertionError("the stack begins with the file")

    def _accepted(self, stack: list[Any]) -> set[str]:
        """The tokens that could come where the parser has these states. Where it was before a wrong token is more
        than where it is: it may have ended what that token cannot follow."""
        now, self._state.state_stack = self._state.state_stack, stack
        found: set[str] = self._interactive.accepts()  # type: ignore[no-untyped-call]
        self._state.state_stack = now
        return found

    def _settle(self) -> str | None:
        """Ends a statement that could have ended here: what comes is no part of it. The block that the parser is in
        when it is between statements, else None."""
        from lark import Token

        accepted = self._accepted(self._state.state_stack)
        starter = next((token for token in _CONTEXTS if token in accepted), None)
        if starter is None:
            return None
        self._state.feed_token(Token(starter, ""))
        del self._state.state_stack[-1], self._state.value_stack[-1]
        return _CONTEXTS[starter]

    def _outside(self) -> int:
        """Where in the parser's stack a definition or block could begin, behind the last one."""
        from lark.parsers.lalr_analysis import Shift

        states = self._state.parse_conf.parse_table.states
        stack = enumerate(self._state.state_stack)
        return max(index for index, one in stack if states[one].get("POLICY", (None,))[0] is Shift)

    def _back(self, base: int) -> None:
        """Forgets what was begun since `base`."""
        del self._state.state_stack[base + 1 :]
        del self._state.value_stack[base:]

    def _go_on(self, at: int) -> None:
        state = self._state.lexer.state
        assert state is not None
        state.line_ctr.char_pos = at

    def _recover(self, at: int, after: int) -> None:
        """Goes on behind an error at `at`; what is before `after` is lost."""
        context, base = self._context()
        begun = self._state.value_stack[base:]
        head = self._head(begun, at, after) if context == "file" else self._within(begun, context, at, after)
        if head is not None:
            self._go_on(head)
            return
        depth = len(_open(begun))
        self._back(base)
        self._go_on(self._next(context, depth, after, bool(begun) and after == at))

    def _head(self, begun: list[Any], at: int, after: int) -> int | None:
        """For an error in what stands before the brace of a block: takes the block as begun, and gives the offset
        of that brace. None when it is not in such a place."""
        from lark import Token

        word = str(begun[0]) if begun else self._word(at)
        kind = word if word in words.BLOCKS else words.meant(word, words.BLOCKS)
        if kind is None or _open(begun):
            return None
        brace = self._text.find("{", after, after + _HEAD)
        first = next((m.start() for m in _ITEM.finditer(self._text, after, max(brace, after) + 1)), brace)
        if brace < 0 or (first < brace and begun):
            return None
        if "}" in self._text[after:brace]:
            return None
        _, base = self._context()
        self._back(base)
        for made in (kind, *(["x"] if kind == "policy" else [])):
            type_ = "NAME" if made == "x" else made.upper()
            self._state.feed_token(Token(type_, made, at, end_pos=at))
        return brace

    def _within(self, begun: list[Any], context: str, at: int, after: int) -> int | None:
        """The same for an error in what stands before the brace of a list in a list. That brace is the last one on a
        line: others are of ends, and are closed on theirs."""
        from lark import Token

        possible = _STARTERS[context]
        word = str(begun[0]) if begun else self._word(at)
        if "within" not in possible or "within" not in (word, words.meant(word, possible)):
            return None
        if begun and after == at and self._fresh(at) and self._word(at) in possible:
            return None
        brace = self._list_brace(context, after, len(_open(begun)))
        if brace is None:
            return None
        _, base = self._context()
        self._back(base)
        for kind in ("WITHIN", "ANY", "ARROW", "ANY"):
            self._state.feed_token(Token(kind, kind.lower(), at, end_pos=at))
        return brace

    def _list_brace(self, context: str, after: int, depth: int) -> int | None:
        """The offset of the brace that a list begins with, from `after` on, where `depth` brackets are open. None when
        a statement begins or a block ends before it."""
        for found in _PIECE.finditer(self._text, after, after + _HEAD):
            start, piece = found.start(), found.group()
            if piece == "{" and _LAST.match(self._text, start + 1):
                return start
            if piece == "}" and not depth:
                return None
            if (
                start > after
                and piece in _STARTERS[context]
                and (piece != "log" or words.LOG_VERB.match(self._text, start))
            ):
                return None
            depth = max(0, depth + (piece in "{(") - (piece in "})"))
        return None

    def _next(self, context: str, depth: int, after: int, here: bool) -> int:
        """The offset of the next statement or of the brace that closes the block, from `after` on; `here`: it may be
        there already. `depth`: brackets that are open."""
        fresh_line = self._fresh(after)
        for found in _PIECE.finditer(self._text, after):
            start, piece = found.start(), found.group()
            first = start > after or here
            if piece.isspace():
                fresh_line = fresh_line or piece == "\n"
                continue
            letter = piece[0].isalpha() or context == "expect"
            if letter and first and (not depth or fresh_line) and self._begins(context, start, piece, fresh_line):
                return start
            alone = fresh_line and _ALONE.match(self._text, start) is not None
            if piece == "}" and context != "file" and (not depth or alone):
                return start
            depth = max(0, depth + (piece in "{(") - (piece in "})"))
            fresh_line = False
        return len(self._text)

    def _fresh(self, at: int) -> bool:
        """Whether only blanks stand before `at` on its line."""
        return not self._text[self._text.rfind("\n", 0, at) + 1 : at].strip()

    def _begins(self, context: str, start: int, piece: str, fresh_line: bool) -> bool:
        """Whether a statement of the block begins with this piece, or a definition or block does."""
        if piece in _STARTERS["file"] and _ITEM.match(self._text, start):
            return True
        if context == "file":
            return fresh_line and (piece in _STARTERS["file"] or words.meant(piece, words.BLOCKS) is not None)
        if context == "expect" and fresh_line and piece not in _CONTINUES:
            return _EXPECTATION.match(self._text, start) is not None
        if piece == "log" and piece in _STARTERS[context]:
            return words.LOG_VERB.match(self._text, start) is not None
        if piece in _STARTERS[context]:
            return True
        return fresh_line and (words.home(piece) or words.meant(piece, _STARTERS[context])) is not None


def _open(values: Sequence[Any]) -> list[Token]:
    """The brackets that are open among the parser's values, outermost first."""
    opened: list[Token] = []
    for one in values:
        kind = getattr(one, "type", "")
        if kind in ("LBRACE", "LPAR"):
            opened.append(one)
        elif kind in ("RBRACE", "RPAR"):
            opened.pop()
    return opened


def hidden(text: str) -> Iterator[Finding]:
    """The comments with characters that show a reader something else than what is there: the first of each."""
    if _HIDDEN.search(text) is None:
        return
    for found in _TEXT_OR_COMMENT.finditer(text):
        if found.group()[0] == "#" and (char := _HIDDEN.search(text, found.start(), found.end() + 1)):
            message = f"{words.stray(char.group())} cannot stand in a comment"
            yield Finding(char.start(), char.end(), message, "character")
