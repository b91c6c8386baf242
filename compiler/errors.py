"""What can go wrong, and how the user reads it.

    NetpolcError            one or more messages, rendered by `render`
      Unreadable            an input is missing or cannot be read, or names nothing that exists
      Unwritable            an output cannot be written
      Unsupported           what a backend cannot express, named: feature and backend
      InvalidInput          the input's text is wrong: every Diagnostic of the run

A Diagnostic stands at a place in a file; a Collector gathers those of a run, so that all are reported together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from grammar.source import Flaw, Span, printable

#: Errors that are shown; further ones are counted only.
SHOWN = 5_000
#: Errors after which the rest of the input is not looked at any more.
ENOUGH = 20_000


class Severity(Enum):
    """The value is the word in the message."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A remark about a place in a file. `code` is a short stable name in kebab-case; `excerpt` are the lines that
    show the place."""

    severity: Severity
    span: Span
    message: str
    code: str
    excerpt: tuple[str, ...] = ()

    def render(self) -> str:
        """`FILE:LINE:COLUMN: error: MESSAGE [code]`, then the excerpt; safe to print on a terminal."""
        head = f"{self.span}: {self.severity.value}: {self.message} [{self.code}]"
        return "\n".join([printable(head), *self.excerpt])


class NetpolcError(Exception):
    """Base of everything that is the input's or the environment's fault, not netpolc's. Each argument is one
    message."""

    def render(self) -> str:
        """The text for standard error, without a final newline; safe to print on a terminal."""
        return "\n".join(f"error: {printable(str(message))}" for message in self.args)


class Unreadable(NetpolcError):
    """An input that is missing or cannot be read, or a name that the input does not know."""


class Unwritable(NetpolcError):
    """An output that cannot be written; what was there before is still there."""


class Unsupported(NetpolcError):
    """A feature that a backend cannot express; the message names both."""


class InvalidInput(NetpolcError):
    """The input is wrong in one or more places. `diagnostics` are in the order of files and lines, warnings among
    them; `more` counts the errors beyond those; `gave_up` tells that the rest of the input was not looked at."""

    def __init__(self, diagnostics: Iterable[Diagnostic], more: int = 0, gave_up: bool = False) -> None:
        self.diagnostics = tuple(diagnostics)
        self.more = more
        self.gave_up = gave_up
        super().__init__(f"{len(self.diagnostics) + more} problems in the input")

    def render(self) -> str:
        lines = [d.render() for d in self.diagnostics]
        if self.gave_up:
            lines.append(f"error: and {self.more} more errors; the rest of the input was not read")
        elif self.more:
            lines.append(f"error: and {self.more} more error" + ("s" if self.more > 1 else ""))
        return "\n".join(lines)


class Collector:
    """Gathers the diagnostics of a run. Those beyond SHOWN are counted; at ENOUGH errors InvalidInput is raised."""

    def __init__(self) -> None:
        self.errors = 0
        self._errors: list[Diagnostic] = []
        self._warnings: list[Diagnostic] = []
        self._unshown = 0
        self._files: dict[str, int] = {}

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """In the order of files and lines; the last one counts those that are not shown."""
        found = sorted(self._warnings[:SHOWN], key=self._place)
        for last in self._warnings[SHOWN:]:
            text = f"{last.message} (and {self._unshown} more warnings)" if self._unshown else last.message
            found.append(Diagnostic(Severity.WARNING, last.span, text, last.code, last.excerpt))
        return tuple(found)

    def add(self, flaw: Flaw, severity: Severity = Severity.ERROR) -> None:
        """Takes one flaw. Raises InvalidInput when there are too many to go on."""
        found = Diagnostic(severity, flaw.span, flaw.message, flaw.code, flaw.excerpt)
        self._files.setdefault(flaw.span.file, len(self._files))
        if severity is Severity.WARNING:
            if len(self._warnings) <= SHOWN:
                self._warnings.append(found)
            else:
                self._unshown += 1
            return
        self.errors += 1
        if self.errors <= SHOWN:
            self._errors.append(found)
        if self.errors >= ENOUGH:
            raise self._invalid(gave_up=True)

    def check(self) -> None:
        """Raises InvalidInput when any error was found."""
        if self.errors:
            raise self._invalid(gave_up=False)

    def _invalid(self, *, gave_up: bool) -> InvalidInput:
        found = sorted([*self._errors, *self.warnings], key=self._place)
        return InvalidInput(found, self.errors - len(self._errors), gave_up)

    def _place(self, found: Diagnostic) -> tuple[int, int, int]:
        return (self._files[found.span.file], found.span.line, found.span.column)
