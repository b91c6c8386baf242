"""nftables text -> tokens."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import accumulate

from grammar.nftables_tree import Atom
from grammar.ruletext import Place, Refused
from grammar.source import Source

_PART = r"\w[\w.:/]*+(?:-[\w.:/]++)?"
_VERDICT = r"(?:accept|drop|return|continue|(?:jump|goto)[ ][\w.-]++)"
_ELEMENT = rf"{_PART}(?:[ ][.][ ]{_PART})*+(?:[ ]:[ ]{_VERDICT})?\s*+"
#: A large set or map as the tools print it is one token: keys and verdicts alone between its commas.
_LARGE = rf"\{{\s*+(?:{_ELEMENT},\s*+){{32,}}+(?:{_ELEMENT})?\}}"

_TOKEN = re.compile(
    rf"{_LARGE} |"
    r"""
    [ \t\r]+ | \\\n | \#[^\n]*
    | "[^"\n]*"
    | (?: [\w@$*] | :: ) (?: [\w.*@\\/:] | -(?=[\w:]) )*
    | \n | == | != | <= | >= | << | >> | && | [][{}(),;:.=<>&|^!/+-]
    """,
    re.VERBOSE,
)
#: What a token that says nothing begins with: space, a line that goes on, a comment.
_SKIPPED = " \t\r\\#"
_ENDS = ("\n", ";", "}", "")
_OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">="})


class Tokens:
    """The tokens of a text and where the parser is. The end of the text is an empty token. `partly`: what is not
    understood is passed over."""

    def __init__(self, source: Source, partly: bool = False) -> None:
        self.source = source
        self.partly = partly
        self.at = 0
        found: list[str] = _TOKEN.findall(source.text)
        places = list(accumulate(map(len, found), initial=0))
        if places[-1] != len(source.text):  # findall passes over what is no token
            raise self._unknown(source)
        self.texts = [token for token in found if token[0] not in _SKIPPED]
        self.starts = [start for start, token in zip(places, found, strict=False) if token[0] not in _SKIPPED]
        self.texts.append("")
        self.starts.append(len(source.text))

    @staticmethod
    def _unknown(source: Source) -> Refused:
        end = 0
        for match in _TOKEN.finditer(source.text):
            if match.start() != end:
                break
            end = match.end()
        return Place(source, end, end + 1).refused(f"{source.text[end]!r} has no meaning here")

    @property
    def here(self) -> str:
        """The token that comes next."""
        return self.texts[self.at]

    def peek(self, ahead: int = 1) -> str:
        """The one that comes after it."""
        return self.texts[min(self.at + ahead, len(self.texts) - 1)]

    @property
    def is_large_set(self) -> bool:
        """Whether the next token is a set of which nothing but keys and verdicts stands between the commas."""
        return len(self.here) > 1 and self.here[0] == "{"

    def place(self, first: int | None = None) -> Place:
        """From token number `first` up to the last one taken; by default of the next token alone."""
        if first is None:
            start = self.starts[self.at]
            return Place(self.source, start, start + max(1, len(self.here)))
        last = max(first, self.at - 1)
        return Place(self.source, self.starts[first], self.starts[last] + len(self.texts[last]))

    def take(self) -> Atom:
        """The next token, whatever it is."""
        atom = Atom(self.texts[self.at], self.starts[self.at])
        if self.at < len(self.texts) - 1:
            self.at += 1
        return atom

    def accept(self, *wanted: str) -> bool:
        """Takes the next token if it is one of these."""
        if self.here in wanted and self.here:
            self.at += 1
            return True
        return False

    def expect(self, wanted: str) -> None:
        if not self.accept(wanted):
            raise self.refused(f"{wanted} is expected")

    def word(self, what: str) -> Atom:
        """A word or string; `what` it should be, for the message."""
        if not self.is_word():
            raise self.refused(f"{what} is expected")
        return self.take()

    def is_word(self) -> bool:
        here = self.here
        return bool(here) and (here[0].isalnum() or here[0] in '"@$*_' or (len(here) > 1 and here[:2] == "::"))

    def operator(self) -> str:
        """A relational operator, or nothing."""
        if self.here == "=":
            self.at += 1
            return "=="
        return self.take().text if self.here in _OPERATORS else ""

    def lines(self, ends: Collection[str] = ("\n", ";")) -> None:
        """Passes over ends of lines and semicolons."""
        while self.here in ends and self.here:
            self.at += 1

    def skip(self) -> None:
        """Passes over a statement or a block, up to the end of a line or a brace that closes what is around it."""
        depth = 0
        while self.here and (depth or self.here not in _ENDS):
            depth += (self.here == "{") - (self.here == "}")
            self.take()
        if depth:
            raise self.refused("} is expected")

    def refused(self, why: str) -> Refused:
        """The next token is not what should be there."""
        found = {"": "the end of the text", "\n": "the end of the line"}.get(self.here, self.here)
        found = "{" if self.is_large_set else found
        return self.place().refused(f"{why}, not {found}")

    def unsupported(self, what: str) -> Refused:
        """The next token begins something that is not understood."""
        named = what.replace(self.here, "{") if self.is_large_set else what
        return self.place().refused(f"{named} is not understood here", "unsupported")
