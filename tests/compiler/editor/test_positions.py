"""Places as editors count them, against the plainest way to count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.editor.positions import Lines, Units

TEXTS = st.text(st.sampled_from("ab\n\r\xe9\u0635\u2028\x0c\x85\U0001f600\ud800"), max_size=30)


def split(text: str) -> list[str]:
    """The lines of a text: \\r\\n, \\n and \\r end one, and nothing else that Python's splitlines knows."""
    marked = text.replace("\r\n", "\n\0").replace("\r", "\n").split("\n")
    return [one.removeprefix("\0") for one in marked]


def count(text: str, units: Units) -> int:
    name = {Units.UTF8: "utf-8", Units.UTF16: "utf-16-le", Units.UTF32: "utf-32-le"}[units]
    return len(text.encode(name, "surrogatepass")) // {Units.UTF8: 1, Units.UTF16: 2, Units.UTF32: 4}[units]


@given(TEXTS, st.sampled_from(Units))
def test_places_and_offsets(text: str, units: Units) -> None:
    lines = Lines(text, units)
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] == "\r\n" and offset:
            assert lines.place(offset) == lines.place(offset - 1)  # between both: still the end of the line
            continue
        before = split(text[:offset])
        assert lines.place(offset) == (len(before) - 1, count(before[-1], units))
        assert lines.offset(*lines.place(offset)) == offset


@given(TEXTS, st.sampled_from(Units), st.integers(-2, 12), st.integers(-2, 40))
def test_any_place_is_somewhere(text: str, units: Units, line: int, column: int) -> None:
    lines = Lines(text, units)
    offset = lines.offset(line, column)
    assert 0 <= offset <= len(text)
    if 0 <= line < len(split(text)):
        assert lines.place(offset)[0] == line
        assert lines.place(offset)[1] <= max(column, 0)


@given(TEXTS, TEXTS, st.sampled_from(Units), st.data())
def test_changes(text: str, new: str, units: Units, data: st.DataObject) -> None:
    lines = Lines(text, units)
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    begin, end = (lines.offset(*lines.place(offset)) for offset in (begin, end))
    assert lines.changed(lines.place(begin), lines.place(end), new) == text[:begin] + new + text[end:]


@given(TEXTS)
def test_lines_of_the_compiler(text: str) -> None:
    """Those end with \\n alone."""
    lines = Lines(text)
    for offset in range(len(text) + 1):
        line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
        assert lines.own(line, column) == offset
    assert lines.own(99, 1) == len(text)


@pytest.mark.parametrize(("column", "offset"), [(0, 0), (1, 0), (2, 1), (3, 2), (9, 2)])
def test_half_a_character_is_its_begin(column: int, offset: int) -> None:
    assert Lines("\U0001f600x").offset(0, column) == offset
