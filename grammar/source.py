"""Where text came from: files, positions in them, and the excerpt an error shows.

Lines and columns count from 1, as editors and compilers do; columns count characters, not bytes.
"""

from __future__ import annotations

from dataclasses import dataclass


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
