"""Offsets of characters <-> lines and columns as the Language Server Protocol counts them.

There lines and columns count from 0; `\\n`, `\\r\\n` and `\\r` end a line; a column counts code units of UTF-16, unless
client and server agree on something else. The compiler's own lines end with `\\n` alone, and count from 1.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import Enum

_LINE_END = re.compile(r"\r\n|\n|\r")


class Units(Enum):
    """What a column counts; the value is the protocol's word."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"

    def of(self, text: str) -> int:
        """How many of them a text has. A lone surrogate is one of UTF-16, as in JSON."""
        if self is Units.UTF32 or text.isascii():
            return len(text)
        if self is Units.UTF8:
            return len(text.encode("utf-8", "surrogatepass"))
        return len(text) + sum(char > "\uffff" for char in text)


class Lines:
    """The lines of a text. Places outside of it are the nearest inside, and one within a character is its begin."""

    def __init__(self, text: str, units: Units = Units.UTF16) -> None:
        self.text = text
        self._units = units
        self._begins = [0, *(found.end() for found in _LINE_END.finditer(text))]
        self._ends = [*(found.start() for found in _LINE_END.finditer(text)), len(text)]
        self._own: list[int] | None = None  # where the compiler's lines begin

    def offset(self, line: int, column: int) -> int:
        """The offset of a place."""
        if line < 0 or line >= len(self._begins):
            return 0 if line < 0 else len(self.text)
        begin, end = self._begins[line], self._ends[line]
        part = self.text[begin:end]
        if self._units is Units.UTF32 or part.isascii():
            return begin + min(max(column, 0), len(part))
        passed = 0
        for n, char in enumerate(part):
            passed += self._units.of(char)
            if passed > column:
                return begin + n
        return end

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self._begins, offset) - 1
        begin = self._begins[line]
        return line, self._units.of(self.text[begin : min(offset, self._ends[line])])

    def own(self, line: int, column: int) -> int:
        """The offset of a line and column as the compiler counts them."""
        if self._own is None:
            self._own = [0, *(n + 1 for n, char in enumerate(self.text) if char == "\n")]
        if line < 1:
            return 0
        begin = self._own[line - 1] if line <= len(self._own) else len(self.text)
        return min(begin + max(column - 1, 0), len(self.text))

    def changed(self, begin: tuple[int, int], end: tuple[int, int], text: str) -> str:
        """The text with what is between two places replaced."""
        first, last = self.offset(*begin), self.offset(*end)
        return self.text[:first] + text + self.text[max(first, last) :]
