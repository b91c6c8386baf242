"""Diagnostics, the collector, and what is printed."""

from __future__ import annotations

import pytest

from compiler.errors import (
    ENOUGH,
    SHOWN,
    Collector,
    Diagnostic,
    InvalidInput,
    NetpolcError,
    Severity,
    Unreadable,
    Unsupported,
    Unwritable,
)
from grammar.source import Flaw, Source, Span


def flaw(line: int = 1, file: str = "f", code: str = "bad") -> Flaw:
    return Flaw(Span(file, line, 1, line, 2), "wrong", code)


def test_rendered_form() -> None:
    source = Source("f.yaml", "a: b\n")
    found = Diagnostic(Severity.WARNING, source.span(3, 4), "not so", "some-code", source.excerpt(3, 4))
    assert found.render() == "f.yaml:1:4: warning: not so [some-code]\n    1 | a: b\n      |    ^"


def test_messages_are_safe_for_a_terminal() -> None:
    found = Diagnostic(Severity.ERROR, Span("f", 1, 1, 1, 1), "bad \x1b[31m\nname\udcff", "c")
    assert found.render() == r"f:1:1: error: bad \x1b[31m\nname\udcff [c]"
    assert NetpolcError("a\x07").render() == r"error: a\x07"


@pytest.mark.parametrize("kind", [Unreadable, Unwritable, Unsupported])
def test_every_message_is_a_line(kind: type[NetpolcError]) -> None:
    assert kind("one", "two").render() == "error: one\nerror: two"


def test_order_is_that_of_files_then_lines() -> None:
    problems = Collector()
    problems.add(flaw(5, "b"))
    problems.add(flaw(2, "a"))
    problems.add(flaw(1, "b"), Severity.WARNING)
    with pytest.raises(InvalidInput) as caught:
        problems.check()
    assert [(d.span.file, d.span.line) for d in caught.value.diagnostics] == [("b", 1), ("b", 5), ("a", 2)]
    assert caught.value.more == 0


def test_warnings_alone_do_not_fail() -> None:
    problems = Collector()
    problems.add(flaw(), Severity.WARNING)
    problems.check()
    assert [d.severity for d in problems.warnings] == [Severity.WARNING]
    assert problems.errors == 0


def test_floods_are_counted() -> None:
    problems = Collector()
    for n in range(SHOWN + 3):
        problems.add(flaw(n + 1))
    with pytest.raises(InvalidInput) as caught:
        problems.check()
    lines = caught.value.render().split("\n")
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "error: and 3 more errors"


def test_a_single_one_too_many() -> None:
    problems = Collector()
    for n in range(SHOWN + 1):
        problems.add(flaw(n + 1))
    with pytest.raises(InvalidInput) as caught:
        problems.check()
    assert caught.value.render().endswith("\nerror: and 1 more error")


def test_reading_stops_when_it_is_enough() -> None:
    problems = Collector()
    for n in range(ENOUGH - 1):
        problems.add(flaw(n + 1))
    with pytest.raises(InvalidInput) as caught:
        problems.add(flaw(ENOUGH))
    assert problems.errors == ENOUGH
    assert caught.value.render().endswith(f"and {ENOUGH - SHOWN} more errors; the rest of the input was not read")


def test_a_flood_of_warnings_is_bounded() -> None:
    problems = Collector()
    for n in range(SHOWN + 10):
        problems.add(flaw(n + 1), Severity.WARNING)
    assert len(problems.warnings) == SHOWN + 1
    assert problems.warnings[-1].message == "wrong (and 9 more warnings)"
