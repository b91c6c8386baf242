"""Where text came from: files, positions in them, and the excerpt an error shows.

Lines and columns count from 1, as editors and compilers do; columns count characters, not bytes. Offsets count
characters from 0.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

#: Characters between two remembered line numbers: small enough to count through, large enough to remember few.
_BLOCK = 1 << 11
#: Columns of a line that an excerpt shows at most.
_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one file, from (line, column) up to but not including (end_line, end_column).

    `file` is the name the user gave (`-` for standard input). An object that came from no file (a live API
    object) has line 0 and prints its `file` alone.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def file_line(self) -> str:
        """`FILE:LINE`, the form that rulesets and explanations quote."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Flaw:
    """What a parser found wrong with a text: `code` names the kind of flaw, `excerpt` shows the place."""

    span: Span
    message: str
    code: str
    excerpt: tuple[str, ...] = ()


class Source:
    """A text and the name it goes by. A part of a file is a source, too: `first_line` and `first_column` are the
    place of its first character in the file. Only \\n ends a line. Names are kept in printable form, since they
    go to terminals and into comments of rulesets."""

    __slots__ = ("_lines", "first_column", "first_line", "name", "text")

    def __init__(self, name: str, text: str, first_line: int = 1, first_column: int = 1) -> None:
        self.name = printable(name)
        self.text = text
        self.first_line = first_line
        self.first_column = first_column
        # (line, offset where it begins) at every _BLOCK-th character, as far as asked for.
        self._lines: list[tuple[int, int]] = [(first_line, 0)]

    def position(self, offset: int) -> tuple[int, int]:
        """(line, column) of a character; an offset at the end of the text is the end of what is printed there."""
        if offset >= len(self.text):
            offset = len(self.text.rstrip())
        line, begin = self._line(offset)
        return line, offset - begin + (1 if begin else self.first_column)

    def _line(self, offset: int) -> tuple[int, int]:
        """The line of a character and the offset where it begins. Never looks at more than one block of the text
        that it has not seen before: lines may be as long as the text."""
        block, lines = offset // _BLOCK, self._lines
        while len(lines) <= block:
            lines.append(self._after(*lines[-1], (len(lines) - 1) * _BLOCK, len(lines) * _BLOCK))
        return self._after(*lines[block], block * _BLOCK, offset)

    def _after(self, line: int, begin: int, first: int, last: int) -> tuple[int, int]:
        """(line, begin) at `last`, given those at `first`."""
        more = self.text.count("\n", first, last)
        return (line + more, self.text.rfind("\n", first, last) + 1) if more else (line, begin)

    def span(self, start: int, end: int) -> Span:
        """The span of the characters from `start` up to but not including `end`."""
        first = self.position(start)
        return Span(self.name, *first, *max(first, self.position(end)))

    def excerpt(self, start: int, end: int) -> tuple[str, ...]:
        """The first line of text[start:end], numbered, and a line with carets below it; a long line is cut around
        the place. What a terminal would not print as itself is shown escaped."""
        line, column = self.position(start)
        low = len(self.text.rstrip()) if start >= len(self.text) else start
        begin, stop = self._line(low)[1], self.text.find("\n", low, low + _WIDTH + 1)
        stop = min(len(self.text), low + _WIDTH + 1) if stop < 0 else stop
        first = begin if low - begin < _WIDTH * 3 // 4 else low - _WIDTH // 2
        last = min(stop, first + _WIDTH)
        marked = self.text[low : max(low, min(end, last))].rstrip()
        before = ("..." if column > low - first + 1 else "") + printable(self.text[first:low])
        after = printable(self.text[low + len(marked) : last].rstrip()) + ("..." if last < stop else "")
        number = f"{line:>5} | "
        carets = " " * _columns(before) + "^" * max(1, _columns(printable(marked)))
        return (f"{number}{before}{printable(marked)}{after}", " " * (len(number) - 2) + "| " + carets)


def printable(text: str) -> str:
    """`text` with everything escaped that moves a cursor, hides or colours: control and format characters, line
    ends, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _columns(text: str) -> int:
    """Terminal columns of printable text."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
