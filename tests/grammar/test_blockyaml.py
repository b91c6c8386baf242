"""The line reader against libyaml: it declines a document or reads the same values at the same places."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar import yamltext
from grammar.blockyaml import Lines, block
from grammar.source import Flaw, Source
from grammar.tree import Mirror

ROOT = Path(__file__).resolve().parents[2]
LINES = Lines()
SETTINGS = settings(
    max_examples=max(1, round(300 * float(os.environ.get("NETPOLC_EXAMPLES", "1")))),
    derandomize=os.environ.get("NETPOLC_RANDOM") != "1",
    deadline=None,
)


def libyaml(text: str) -> list[tuple[object, Mirror]] | None:
    """What libyaml's events make of a text; None when anything is wrong with it."""
    flaws: list[Flaw] = []
    reader = yamltext._Reader(Source("f", text), yamltext._Plain(), flaws.append)
    try:
        found = [(tree.value, tree.mirror) for tree in reader.trees()]
    except (yaml.YAMLError, yamltext._Refused):
        return None
    return None if flaws else found


def judge(text: str) -> bool:
    """Whether the line reader read the text; what it read must be right."""
    found = block(text, LINES)
    if found is None:
        return False
    assert libyaml(text) == [found]
    assert repr(found[0]) == repr(libyaml(text)[0][0])  # type: ignore[index] # 1 is not true, and the order is that of the text
    return True


KEYS = st.sampled_from(["a", "b", "c", "key", "x.y/z-1", "true", "no", "y", "null", "_a", "A-", "a:b"])
VALUES = st.sampled_from(
    [
        *("", "x", "80", "0x1F", "017", "1.5", "yes", "null", "~", "a b", "a  b", "a: b", "a:b", "a:", "a #b", "a#b"),
        *("{}", "[]", "[a]", '""', '"x y"', '"a\\n"', "''", "'x'", "'it''s'", '"a" b', "- a", "-1", "*a", "&a x"),
        *("10.0.0.0/8", "2001:db8::1", "2024-05-01T12:00:00Z", "a(b)", "%a", "@a", "é", "x\t", "...", "a -b", "#a"),
        *(
            "|",
            ">-",
            "!!str x",
            "a, b",
            "a,b",
            "a=b",
            "/a",
            ".5",
            "_",
            "a'b",
            'a"b',
            "a]",
            "a}",
            "{",
            "?",
            "<<",
            "=",
            "a\\b",
        ),
    ]
)
#: What stands in brackets, right and wrong.
FLOW = st.recursive(
    st.sampled_from(["x", "80", '"q, r"', "'s'", "a b", "yes", "2001:db8::/32", "a:b", "::1", "-1", "", "a: b", "x)"]),
    lambda inner: st.builds(
        lambda parts, brackets, comma, pad: brackets[0] + pad + comma.join(parts) + pad + brackets[1],
        st.lists(
            st.builds(lambda key, part: key + part, st.sampled_from(["", "", "a: ", "b: ", "on: ", "c:"]), inner),
            max_size=3,
        ),
        st.sampled_from(["[]", "{}", "{}", "[}"]),
        st.sampled_from([", ", ", ", ",", " ,", ",  "]),
        st.sampled_from(["", "", " "]),
    ),
    max_leaves=6,
)
ENTRIES = st.builds(
    lambda indent, dashes, key, value, tail: " " * indent + "- " * dashes + (f"{key}:" if key else "")
    + (" " if key and value else "") + value + tail,
    st.integers(0, 6),
    st.sampled_from([0, 0, 0, 1, 1, 2, 3]),
    st.one_of(st.none(), KEYS),
    st.one_of(VALUES, FLOW),
    st.sampled_from(["", "", "", "", "", " ", " # c"]),
)  # fmt: skip
OTHERS = st.sampled_from(
    ["", "  ", "# comment", "    # comment", "---", "-", "- -", "?", ": a", "a", "\t", "...", "<<: {}"]
)


@SETTINGS
@given(st.lists(st.one_of(ENTRIES, ENTRIES, ENTRIES, OTHERS), max_size=8), st.booleans())
def test_any_lines(lines: list[str], ended: bool) -> None:
    judge("\n".join(lines) + "\n" * ended)


SCALARS = st.sampled_from(["x", "80", '"q"', "'s'", "a b", "10.0.0.0/8"])
BRACKETS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: "{ " + ",".join(f"k{n}: {part}" for n, part in enumerate(parts)) + " }"
        ),
        st.just("{}"),
    ),
    max_leaves=5,
)
PLAIN = st.one_of(SCALARS, BRACKETS, st.just(""))


@st.composite
def plainest(draw: st.DrawFn, indent: int = 0, depth: int = 0) -> list[str]:
    """The lines of a block mapping that the line reader should take."""
    lines: list[str] = []
    for key in draw(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=3, unique=True)):
        match draw(st.sampled_from(["scalar", "mapping", "sequence"])) if depth < 3 else "scalar":
            case "scalar":
                value = draw(PLAIN)
                lines.append(" " * indent + f"{key}:" + (f" {value}" if value else ""))
            case "mapping":
                lines += [
                    " " * indent + f"{key}:",
                    *draw(plainest(indent + draw(st.sampled_from([1, 2, 4])), depth + 1)),
                ]
            case _:
                lines += [" " * indent + f"{key}:", *draw(items(indent + draw(st.sampled_from([0, 2])), depth + 1))]
        if not draw(st.integers(0, 5)):
            lines.append(draw(st.sampled_from(["", "# remark", "      # deeper remark", "   "])))
    return lines


@st.composite
def items(draw: st.DrawFn, indent: int, depth: int) -> list[str]:
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["scalar", "mapping", "sequence"])) if depth < 3 else "scalar":
            case "scalar":
                lines.append(" " * indent + "- " + draw(PLAIN.filter(bool)))
            case "mapping":
                first, *rest = draw(plainest(indent + 2, depth + 1))
                lines += [" " * indent + "- " + first.lstrip(), *rest]
            case _:
                first, *rest = draw(items(indent + 2, depth + 1))
                lines += [" " * indent + "- " + first.lstrip(), *rest]
    return lines


@SETTINGS
@given(plainest())
def test_the_plainest_documents_are_taken(lines: list[str]) -> None:
    assert judge("\n".join(lines) + "\n")
    assert judge("---\n" + "\n".join(lines))


@SETTINGS
@given(plainest(), st.data())
def test_a_line_changed(lines: list[str], data: st.DataObject) -> None:
    """Indented otherwise, doubled, dropped, or another one."""
    at = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(
        st.one_of(ENTRIES, OTHERS, st.just(" " + lines[at]), st.just(lines[at][1:]), st.just("- " + lines[at]))
    )
    how = data.draw(st.sampled_from([[], [other], [lines[at], other], [lines[at], lines[at]]]))
    judge("\n".join([*lines[:at], *how, *lines[at + 1 :]]) + "\n")


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["web", "a b", "80", "on", "é", "x: y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "on"]), inner, max_size=3),
    max_leaves=12,
))  # fmt: skip
def test_what_a_tool_writes(value: Any) -> None:
    judge(yaml.safe_dump({"a": value}, default_flow_style=False, sort_keys=False, allow_unicode=True))


def test_the_example_is_read_line_by_line() -> None:
    """Not a fallback for everything: of real manifests most documents are of the plainest kind."""
    taken = [judge(part.text) for path in sorted((ROOT / "fixtures/examples/shop").glob("*.yaml"))
             for part in yamltext._parts(Source("f", path.read_text()))]  # fmt: skip
    assert any(taken)


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "# only\n", "a\n", "- a\n", "  a: b\n", "a: b\n c: d\n", "a: b\n  c\n", "a:\n  b: 1\n c: 2\n",
        "a: 1\na: 2\n", "a:\n- b\n  c: d\n", "a: &x 1\n", "a: *x\n", "a: !!str 1\n",
        "a: [b\n  ]\n", "a: [b, ]\n", "a: [, b]\n", "a: {b}\n", "a: [-b]\n",
        "a: [b c: d]\n", "a: {b:c}\n", "a: {'b': c}\n", "a: [b}\n", "a: [b] c\n", "a: " + "[" * 30 + "]" * 30 + "\n",
        "a: {b: c, b: d}\n",
        "a: |\n  b\n", "a: >\n  b\n", 'a: "b\\n"\n', 'a: "b\n  c"\n', "a: b # c\n", "a: b\r\n", "a:\tb\n", "a: b \n",
        "a: é\n", "a: \x85\n", "true: 1\n", "null: 1\n", "1: a\n", "a: ~\n", "<<: a\n", "? a\n: b\n", "a: b: c\n",
        "a: b:\n", "a: - b\n", "a: -1\n", "a: @b\n", "a: `b\n", "a: %b\n", "a: 'it''s'\n", "a:  b\n",
        "a: b\n---\nc: d\n",
        "a: b\n...\n", "--- a: b\n", "---\n", "a: b\n-c: d\n", "a:\n -b\n", "-\n", "a:\n-\n", "\ufeffa: b\n",
        "a: b\0\n",
        "a:\n" + "".join(" " * n + "a:\n" for n in range(1, 160)),
    ],
)  # fmt: skip
def test_declined(text: str) -> None:
    assert block(text, LINES) is None


def test_a_shared_empty_collection_would_be_a_trap() -> None:
    found = block("a: {}\nb: {}\nc: []\nd: []\ne: [{a: [x]}]\nf: [{a: [x]}]\n", LINES)
    assert found is not None
    value: Any = found[0]
    assert value["a"] is not value["b"]
    assert value["c"] is not value["d"]
    assert value["e"][0]["a"] is not value["f"][0]["a"]


def test_memory_of_lines_is_bounded() -> None:
    lines = Lines()
    for n in range(60_000):
        lines[f"key: value-{n}"]
    lines["key: " + "x" * 10_000]
    assert len(lines) == 50_000


def test_long_documents_are_read_in_pieces() -> None:
    text = "kind: List\nitems:\n" + "".join(f"- name: n{n}\n  port: {n}\n" for n in range(40_000))
    assert len(text) > 3 << 18
    assert judge(text)
