"""Positions and excerpts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grammar.source import Source, Span, printable

TEXTS = st.text(st.sampled_from("ab \n\t:é応\x1b\r"), max_size=60)


@given(TEXTS.filter(lambda text: bool(text.strip())), st.data())
def test_positions_count_lines_and_characters(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text) - 1))
    before = text[:offset].split("\n")
    assert Source("f", text).position(offset) == (len(before), len(before[-1]) + 1)


@given(TEXTS, st.integers(-3, 80), st.integers(-3, 80))
def test_positions_lie_inside_the_text(text: str, start: int, end: int) -> None:
    span = Source("f", text).span(max(0, start), max(0, end))
    lines = text.split("\n")
    assert 1 <= span.line <= len(lines)
    assert 1 <= span.column <= len(lines[span.line - 1]) + 1
    assert (span.line, span.column) <= (span.end_line, span.end_column)


def test_positions_in_a_long_text_agree_with_counting() -> None:
    text = "".join(f"line {n}\n" + "\n" * (n % 3) for n in range(5000))
    source = Source("f", text)
    for offset in (40_000, 7, 8191, 8192, 8193, 20_000, 0, 16_384):
        begin = text.rfind("\n", 0, offset) + 1
        assert source.position(offset) == (text.count("\n", 0, offset) + 1, offset - begin + 1)


def test_the_end_is_behind_the_last_thing_that_is_printed() -> None:
    assert Source("f", "a: [\n\n\n").position(7) == (1, 5)
    assert Source("f", "").position(0) == (1, 1)


def test_a_part_of_a_file_keeps_its_place() -> None:
    part = Source("f", "ab\ncd", first_line=7, first_column=5)
    assert part.position(1) == (7, 6)
    assert part.position(3) == (8, 1)
    assert part.excerpt(1, 2) == ("    7 | ...ab", "      |     ^")
    assert part.excerpt(3, 5) == ("    8 | cd", "      | ^^")


def test_excerpts_show_one_line() -> None:
    source = Source("f", "key: value\nother: [a,\n  b]\n")
    assert source.excerpt(5, 10) == ("    1 | key: value", "      |      ^^^^^")
    assert source.excerpt(18, 26) == ("    2 | other: [a,", "      |        ^^^")


def test_excerpts_of_long_lines_are_windows() -> None:
    line, carets = Source("f", "x" * 1_000_000 + "HERE" + "y" * 1_000_000).excerpt(1_000_000, 1_000_004)
    assert len(line) < 140
    assert line.startswith("    1 | ...x")
    assert line.endswith("y...")
    assert line[carets.index("^") : carets.rindex("^") + 1] == "HERE"


def test_excerpts_escape_what_a_terminal_would_obey() -> None:
    line, carets = Source("f", "a\x1b[2J: \u202eb\t\r\nnext").excerpt(7, 9)
    assert line == r"    1 | a\x1b[2J: \u202eb"
    assert carets == "      |           ^^^^^^^"


def test_carets_stand_below_wide_characters() -> None:
    line, carets = Source("f", "応用: e\u0301x").excerpt(4, 6)
    assert line == "    1 | 応用: e\u0301x"
    assert carets == "      |       ^"


@given(st.text())
def test_printable_is(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_names_of_files_are_kept_printable() -> None:
    source = Source("a\nb\x1b\udcff.yaml", "x")
    assert str(source.span(0, 1)) == r"a\nb\x1b\udcff.yaml:1:1"


def test_spans_of_live_objects_have_no_line() -> None:
    assert str(Span("NetworkPolicy a/b", 0, 0, 0, 0)) == "NetworkPolicy a/b"
    assert Span("f", 3, 4, 3, 5).file_line == "f:3"
