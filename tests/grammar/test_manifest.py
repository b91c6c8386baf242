"""YAML and JSON -> values with positions, together: both come out of one function."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grammar.manifest import documents
from grammar.source import Flaw
from grammar.tree import Tree


def read(text: str | bytes, name: str = "f.yaml") -> tuple[list[Tree], list[Flaw]]:
    flaws: list[Flaw] = []
    data = text.encode() if isinstance(text, str) else text
    return list(documents(name, data, flaws.append)), flaws


def values(text: str | bytes, name: str = "f.yaml") -> list[object]:
    trees, flaws = read(text, name)
    assert flaws == []
    return [tree.value for tree in trees]


def codes(text: str | bytes, name: str = "f.yaml") -> list[tuple[int, int, str]]:
    return [(f.span.line, f.span.column, f.code) for f in read(text, name)[1]]


def places(value: object, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """The paths of everything in a value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in pairs:
        yield from places(inner, *path, step)


def shown(tree: Tree, *path: str | int, on_key: bool = False) -> str:
    """The text at a place, first line."""
    span = tree.span(*path, on_key=on_key)
    lines = tree.source.text.split("\n")
    end = span.end_column if span.end_line == span.line else None
    return lines[span.line - tree.source.first_line][span.column - 1 : None if end is None else end - 1]


def _json(characters: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    floats = st.floats(allow_nan=False, allow_infinity=False, width=16)
    return st.recursive(
        st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(characters, max_size=8) | floats,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters, max_size=6), inner, max_size=4),
        max_leaves=15,
    )


JSON = _json(st.characters())
#: What YAML can have in a text as it is; all that the syntax of both means something by.
PLAIN = _json(st.sampled_from("ab \"\\:#{}[],'-&*!|>%@`~<=.01\n\té応𐀀"))


@given(JSON, st.sampled_from([None, 0, 3]))
def test_json_reads_what_json_wrote(value: object, indent: int | None) -> None:
    text = json.dumps({"a": value}, indent=indent)
    assert values(text, "f.json") == [{"a": value}]


@given(PLAIN, st.booleans())
def test_yaml_reads_what_yaml_wrote(value: object, flow: bool) -> None:
    text = yaml.safe_dump({"a": value}, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    (found,) = values(text)
    assert found == {"a": value}


@given(PLAIN)
def test_yaml_and_json_agree_on_values_and_places(value: object) -> None:
    text = json.dumps({"a": value}, indent=1, ensure_ascii=False)
    (one,), flaws = read(text, "f.json")
    (two,), _ = read("# not JSON\n" + text)
    assert flaws == []
    assert one.value == two.value
    for path in places(one.value):
        first, second = one.span(*path), two.span(*path)
        assert (first.line + 1, first.column) == (second.line, second.column), path
        assert one.span(*path, on_key=True).line + 1 == two.span(*path, on_key=True).line


def test_places_of_block_and_flow_collections() -> None:
    text = (
        'spec:\n  podSelector: {matchLabels: {a: "b\\"c", \'d\': e f}}\n'
        "  list:\n  - x: 1\n    z: null\n  - [80, off,]\n  -\n"
    )
    (tree,), _ = read(text)
    assert shown(tree, "spec", "podSelector") == '{matchLabels: {a: "b\\"c", \'d\': e f}}'
    assert shown(tree, "spec", "podSelector", "matchLabels", "a") == '"b\\"c"'
    assert shown(tree, "spec", "podSelector", "matchLabels", "d", on_key=True) == "'d'"
    assert shown(tree, "spec", "podSelector", "matchLabels", "d") == "e f"
    assert shown(tree, "spec", "list", 0, "z") == "null"
    assert shown(tree, "spec", "list", 1) == "[80, off,]"
    assert shown(tree, "spec", "list", 1, 1) == "off"
    assert str(tree.span("spec", "list", 2)) == "f.yaml:7:4"
    assert shown(tree, "spec", "list") == "list"  # a block below its key: the key says more than its first item


def test_what_is_missing_stands_where_it_is_missed() -> None:
    (tree,), _ = read("spec:\n  ingress:\n  - from: []\n")
    assert shown(tree, "spec", "podSelector", "matchLabels") == "spec"
    assert shown(tree, "spec", "ingress", 0, "ports") == "from: []"
    assert shown(tree, "spec", "ingress", 7) == "ingress"
    assert str(tree.span("metadata", "name")) == "f.yaml:1:1"


def test_documents_and_empty_ones() -> None:
    assert values("a: 1\n---\n---\n# nothing\n---\nb: 2\n...\n") == [{"a": 1}, None, None, {"b": 2}]
    assert values("") == []
    assert values("# only a comment\n") == []
    assert values('{"a": 1}\n{"b": 2}', "f.json") == [{"a": 1}, {"b": 2}]
    assert values('{"a": 1}\n---\n{b: 2}\n---\nc: 3\n') == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert values("{a: 1, b: [x]}") == [{"a": 1, "b": ["x"]}]
    assert values('{"a": yes}') == [{"a": True}]  # begins like JSON, is YAML
    assert codes('{"a": yes}', "f.json") == [(1, 7, "json-syntax")]


def test_positions_after_a_broken_document_count_from_the_top_of_the_file() -> None:
    trees, flaws = read("a: b: c\n---\nx: 1\n---\ny: [\n---\nz: 3\n")
    assert [tree.value for tree in trees] == [{"x": 1}, {"z": 3}]
    assert [str(tree.span(*tree.value)) for tree in trees] == ["f.yaml:3:4", "f.yaml:7:4"]  # type: ignore[misc]
    assert [(f.span.line, f.code) for f in flaws] == [(1, "yaml-syntax"), (5, "yaml-syntax")]


def test_a_file_of_broken_documents_is_given_up() -> None:
    _, flaws = read("a: b: c\n---\n" * 1000)
    assert len(flaws) == 21
    assert flaws[-1].code == "gave-up"


def test_anchors_share_values_and_point_at_what_is_written() -> None:
    (tree,), _ = read("a: &x {k: v}\nb: *x\nc: &y text\nd: [*y, *x]\n")
    assert tree.value == {"a": {"k": "v"}, "b": {"k": "v"}, "c": "text", "d": ["text", {"k": "v"}]}
    assert str(tree.span("d", 1, "k")) == "f.yaml:1:11"


def test_anchors_end_with_their_document() -> None:
    assert codes("a: &x 1\n---\nb: *x\n") == [(3, 4, "alias")]


def test_aliases_may_stand_for_much_but_not_for_everything() -> None:
    assert codes("a: &x [" + "v," * 900 + "]\nb: [" + "*x," * 10 + "]\n") == []
    assert [code for _, _, code in codes("a: &x [" + "v," * 900 + "]\nb: [" + "*x," * 12 + "]\n")] == ["alias-bomb"]


def test_merge_keys() -> None:
    base = "a: &a {p: 1, q: 1}\nb: &b {q: 2, r: 2}\n"
    assert values(base + "c:\n  <<: *a\n  q: 3\n")[0]["c"] == {"p": 1, "q": 3}  # type: ignore[index]
    assert values(base + "c:\n  <<: [*a, *b]\n  w: 0\n")[0]["c"] == {"p": 1, "q": 1, "r": 2, "w": 0}  # type: ignore[index]
    assert values("c: {'<<': {p: 1}}\n") == [{"c": {"<<": {"p": 1}}}]  # quoted: a key like any other
    assert codes(base + "c:\n  q: 3\n  <<: *a\n") == [(5, 3, "merge-key")]
    assert codes("c:\n  <<: [x]\n") == [(2, 3, "merge-key")]
    assert codes(base + "c:\n  <<: *a\n  q: 3\n  q: 4\n") == [(6, 3, "duplicate-key")]
    (tree,), _ = read(base + "c:\n  <<: *a\n  q: 3\n")
    assert [str(tree.span("c", key)) for key in "pq"] == ["f.yaml:1:11", "f.yaml:5:6"]


def test_duplicate_keys_keep_the_first_value() -> None:
    for name, text in [
        ("f.yaml", "a: 1\nb: {c: 2, c: 3}\na: 4\n"),
        ("f.json", '{"a": 1, "b": {"c": 2, "c": 3}, "a": 4}'),
    ]:
        trees, flaws = read(text, name)
        assert trees[0].value == {"a": 1, "b": {"c": 2}}
        assert [f.code for f in flaws] == ["duplicate-key"] * 2
        assert trees[0].span("b", "c").column == text.split("\n")[trees[0].span("b", "c").line - 1].index("2") + 1


def test_keys_are_text() -> None:
    assert values("1: a\nyes: b\n1.5: c\n0x10: d\n") == [{"1": "a", "true": "b", "1.5": "c", "16": "d"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_by_their_byte_order_mark(encoding: str) -> None:
    text = "a: é\nb: 応\n"
    (tree,), flaws = read(text.encode(encoding))
    assert (tree.value, flaws) == ({"a": "é", "b": "応"}, [])
    assert str(tree.span("b")) == "f.yaml:2:4"


@pytest.mark.parametrize(
    "data", [b"\xff", b"a: \xe9\n", b"a\n\xed\xa0\x80", b"\xff\xfea", b"\xef\xbb\xbfa\xff", b"\xf8\x88"]
)
def test_what_is_not_text_is_told_once(data: bytes) -> None:
    trees, flaws = read(data)
    assert trees == []
    assert [f.code for f in flaws] == ["encoding"]


def test_items_of_json_come_one_by_one_with_places() -> None:
    text = '{\n "kind": "List", "items": [\n  {"a": {"b": 1}},\n  {"a": 2}], "x": 1}\n'
    trees, flaws = read(text, "f.json")
    assert flaws == []
    assert [tree.value for tree in trees] == [{"a": {"b": 1}}, {"a": 2}, {"kind": "List", "items": [], "x": 1}]
    assert [str(tree.span("a")) for tree in trees[:2]] == ["f.json:3:9", "f.json:4:9"]
    assert trees[0].within is not None
    assert trees[0].within["kind"] == "List"
    assert trees[2].within is None
    assert [tree.place for tree in trees] == ["f.json:3:3", "f.json:4:3", "f.json:1:1"]
    assert str(trees[2].span("x")) == "f.json:4:19"


def test_items_keep_no_more_text_than_their_own() -> None:
    text = json.dumps({"items": [{"name": "x" * 1000, "n": n} for n in range(100)]})
    trees, _ = read(text, "f.json")
    assert all(len(tree.source.text) < 1200 for tree in trees[:-1])
    column = text.index('"n": 57') + 6
    assert str(trees[57].span("n")) == f"f.json:1:{column}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": 1,}', (1, 9)),
        ('{"a" 1}', (1, 6)),
        ('{"a": }', (1, 7)),
        ('{"items": [1 2]}', (1, 14)),
        ('{"items": [1, ]}', (1, 15)),
        ('{"items": [{"a": 01}]}', (1, 19)),
        ('{"a": "\n"}', (1, 8)),
        ('{"a": "\\x"}', (1, 8)),
        ('{"a": NaN}', (1, 7)),
        ('{"a": [1, -Infinity]}', (1, 11)),
        ('{"a": ' + "9" * 5000 + "}", (1, 7)),
        ('{"a": 1} x', (1, 10)),
        ('{"a": {"b": [', (1, 13)),
        ("{", (1, 1)),
        ('{"a": 1', (1, 7)),
    ],
)
def test_json_that_is_none(text: str, place: tuple[int, int]) -> None:
    (flaw,) = read(text, "f.json")[1]
    line, column = flaw.span.line, flaw.span.column
    assert flaw.code == "json-syntax"
    assert (line, column) == place or (line, column - 1) == place  # at the end of the text: behind its last character


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    _judge_places(data, "f.yaml")
    _judge_places(data, "f.json")


@given(st.text(st.sampled_from("{}[]:,-?&*!|>'\"%@` #\n\t ab1~<=."), max_size=40))
def test_any_punctuation_is_read_or_refused(text: str) -> None:
    _judge_places(text.encode(), "f.yaml")
    _judge_places(text.encode(), "f.json")


@given(JSON, st.sampled_from(["f.json", "f.yaml"]), st.sampled_from([None, 1]))
def test_a_packed_tree_comes_back_as_it_was(value: object, name: str, indent: int | None) -> None:
    (tree,), flaws = read(json.dumps({"a": value}, indent=indent), name)
    assert flaws == []
    again = tree.packed().tree()
    assert again.value == tree.value
    assert again.place == tree.place
    for path in places(tree.value):
        assert again.span(*path) == tree.span(*path)


def test_the_deepest_trees_can_be_packed() -> None:
    for name in ("f.json", "f.yaml"):
        deepest = next(n for n in range(1200, 0, -1) if not read("[" * n + "]" * n, name)[1])
        (tree,) = read("[" * deepest + "]" * deepest, name)[0]
        assert tree.packed().tree().place == tree.place


def _judge_places(data: bytes, name: str) -> None:
    """Whatever a text holds, its places are inside it."""
    trees, flaws = read(data, name)
    spans = [flaw.span for flaw in flaws]
    for tree in trees:
        for path in places(tree.value):
            spans += [tree.span(*path), tree.span(*path, on_key=True), tree.span(*path, "missing")]
    lines = data.count(b"\n") + 1
    assert all(1 <= span.line <= lines and span.column >= 1 for span in spans)
