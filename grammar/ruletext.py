"""Places in texts of rules, and what is said when such a text is not what it should be.

A place is two offsets; lines and columns are counted only for those that are shown.
"""

from __future__ import annotations

from typing import NamedTuple

from grammar.source import Flaw, Source, Span


class Place(NamedTuple):
    """The characters from `start` up to but not including `end`."""

    source: Source
    start: int
    end: int

    @property
    def span(self) -> Span:
        return self.source.span(self.start, self.end)

    @property
    def text(self) -> str:
        """What stands there."""
        return self.source.text[self.start : self.end]

    def refused(self, message: str, code: str = "syntax") -> Refused:
        """The error to raise about this place."""
        return Refused(Flaw(self.span, message, code, self.source.excerpt(self.start, self.end)))


class Refused(Exception):
    """A text of rules that is wrong, or has a construct that is not understood: named, never guessed at."""

    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw
        super().__init__(f"{flaw.span}: {flaw.message} [{flaw.code}]")
