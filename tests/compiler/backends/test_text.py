"""Comments that cannot end early, run on, or hide what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.backends.text import comments, noted, refuse
from compiler.errors import NetpolcError
from compiler.ir.match import Field
from compiler.ir.ruleset import Accept, Drop, Lookup, Rule
from compiler.net import Family
from tests.compiler.backends.small import HOSTILE

#: `ipset restore` reads a line of at most 1,023 bytes, the shortest of all readers.
SHORTEST_LINE = 1023


def assert_harmless(lines: list[str]) -> None:
    for line in lines:
        assert line.startswith("#")
        assert line.isprintable(), "no line end, no control character, in any tool's eyes"
        assert "\\" not in line, "a backslash at the end would continue it"
        assert len(line.encode()) < SHORTEST_LINE


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_comments(text: str) -> None:
    assert_harmless(list(comments(text)))


@given(st.lists(st.text(max_size=2000)))
def test_any_text_stays_a_comment(texts: list[str]) -> None:
    assert_harmless(list(comments(*texts)))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\\"), max_size=900))
def test_printable_text_is_kept_whole(text: str) -> None:
    shown = "".join(line[2:].strip() for line in comments(text))
    assert shown == "".join(c if c.isprintable() else "?" for c in text)


@given(st.text(st.characters(codec="ascii", exclude_characters="\\", exclude_categories=["Cc"]), max_size=900))
def test_whoever_takes_the_marks_away_has_the_text_again(text: str) -> None:
    shown = [line[2:] if n == 0 else line[6:] for n, line in enumerate(comments(text.strip()))]
    assert "".join(shown) == text.strip()


def test_words_are_kept_together_and_continued_with_an_indent() -> None:
    first, *others = comments("  " + "word " * 100)
    assert first.startswith("#   word word")
    assert others
    assert all(line.startswith("#       ") for line in others)
    assert all(line.endswith("word") for line in (first, *others))


def test_each_text_begins_a_line() -> None:
    assert list(comments("a", "  b", "c")) == ["# a", "#   b", "# c"]


def test_what_would_end_a_line_is_shown_as_a_question_mark() -> None:
    assert list(comments("a\nb\\c")) == ["# a?b?c"]


def test_a_note_stands_above_the_first_of_the_rules_that_share_it() -> None:
    one, two = Rule((), Drop(), note="x"), Rule((), Accept(), note="x")
    other, plain = Rule((), Drop(), note="y"), Rule((), Drop())
    lookup = Lookup(Field.SOURCE, "m", Family.IPV4)
    assert [note for note, _ in noted([one, two, other, other, plain, lookup, one])] == ["x", "", "y", "", "", "", "x"]
    assert [rule for _, rule in noted([one, lookup, two])] == [one, lookup, two]


def test_a_refusal_names_feature_and_back_end() -> None:
    error = refuse("a set of colours", "ipset")
    assert isinstance(error, NetpolcError)
    assert error.render() == "error: ipset cannot express a set of colours"
