"""The plainest YAML, read line by line: block mappings and sequences of simple scalars, as tools write manifests.

Most lines of a manifest are like others that came before, so each distinct line is taken apart once, and reading is
little more than looking lines up: several times as fast as libyaml. Whatever is not of the plainest kind makes
`block` decline the whole document: anchors, tags, flow collections other than {} and [], escapes, several lines for
one scalar, tabs, duplicate keys, anything wrong. `grammar.yamltext` then reads it with libyaml; where both can read
a document they agree on values and offsets, which tests hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from grammar.scalars import plain
from grammar.tree import Mirror

#: Columns of indentation, and so about levels of nesting, beyond which a document is left to libyaml.
_DEEP = 150
#: Distinct lines that are remembered, and how long they may be; a line that is still longer is left to libyaml.
_LINES, _LENGTH, _LONG = 50_000, 200, 4000
#: Characters of a document whose lines are made at a time.
_CHUNK = 1 << 18

_LINE = re.compile(
    r"""
    [ ]* (?:
        (?P<dashes>(?:-[ ])*)
        (?:(?P<key>[A-Za-z_][A-Za-z0-9_./-]*):(?:[ ]|$))?
        (?:
            (?P<plain>[A-Za-z0-9_./](?:[A-Za-z0-9_./@+=,()-]|:(?=[^ ])|[ ](?=[A-Za-z0-9_./(]))*)
          | "(?P<double>[\x20\x21\x23-\x5b\x5d-\x7e]*)"
          | '(?P<single>[\x20-\x26\x28-\x7e]*)'
          | (?P<empty>\{\}|\[\])
        )?
      | \#[\x20-\x7e]*
    )
    """,
    re.VERBOSE,
)


class _Line(NamedTuple):
    """A line taken apart. Its first character stands in column `indent`, what follows its dashes in column `inner`
    (columns count from 0), and its value in column `at`. `kind` is what the value is."""

    indent: int
    inner: int
    key: str | None
    kind: int
    value: object
    at: int


#: Kinds: a blank or a comment; `key:` alone; a scalar; {} and [].
_BLANK, _OPEN, _SCALAR, _MAPPING, _SEQUENCE = range(5)


class Lines(dict[str, "_Line | None"]):
    """Lines seen so far, taken apart; None for a line that is not of the plainest kind."""

    def __missing__(self, text: str) -> _Line | None:
        line = _parse(text) if len(text) <= _LONG else None
        if len(self) < _LINES and len(text) < _LENGTH:
            self[text] = line
        return line


def _parse(text: str) -> _Line | None:
    found = _LINE.fullmatch(text)
    if found is None:
        return None
    indent, inner, key = found.start("dashes"), found.end("dashes"), found["key"]
    if indent < 0 or not text.strip():
        return _Line(0, 0, None, _BLANK, None, 0)
    if inner > _DEEP or (key is not None and plain(key) != key):  # `true:` is a key, too, but no such text
        return None
    for group, before in (("plain", 0), ("double", 1), ("single", 1)):
        if (content := found[group]) is not None:
            value = content if before else plain(content)
            return _Line(indent, inner, key, _SCALAR, value, found.start(group) - before)
    if found["empty"]:
        kind = _MAPPING if found["empty"] == "{}" else _SEQUENCE
        return _Line(indent, inner, key, kind, None, found.start("empty"))
    return _Line(indent, inner, key, _OPEN, None, len(text)) if text[-1] == ":" else None


def block(text: str, lines: Lines) -> tuple[object, Mirror] | None:
    """The mapping that a document is, and its mirror; None when it is not of the plainest kind. `lines` is what
    earlier calls learnt."""
    root: dict[str, object] = {}
    # The innermost open collection: the column of its dashes or keys (-1 before the first line), its values in a
    # list or dict, its mirror; and those around it. `awaits` is the key of a line before that ended in nothing.
    column = -1
    values: Any = root
    mirror: list[Any] = []
    top = mirror
    around: list[tuple[int, Any, list[Any]]] = []
    awaits: str | None = None
    begin = 0
    for content in chain.from_iterable(chunk.split("\n") for chunk in _chunks(text)):
        line = lines[content]
        if line is None:
            if begin or content != "---":
                return None
            begin = 4
            continue
        indent, inner, key, kind, value, at = line
        if kind == _BLANK:
            begin += len(content) + 1
            continue
        if column < 0:
            if inner:
                return None
            column = 0
            mirror.append(begin)
        while indent < column or (indent == column == inner and type(values) is list):
            if not around:
                return None
            column, values, mirror = around.pop()
            awaits = None
        if inner > indent and type(values) is list and indent == column:
            pass  # one more item
        elif inner > indent or indent > column:  # the value that was awaited
            if awaits is None:
                return None
            around.append((column, values, mirror))
            opened: list[Any] = [begin + indent]
            new: Any = [] if inner > indent else {}
            values[awaits] = new
            mirror[-1] = opened
            column, values, mirror = indent, new, opened
        while column < inner and (key is not None or column + 2 < inner):  # `- - ` and `- key:`: collections in items
            around.append((column, values, mirror))
            column += 2
            opened = [begin + column]
            new = {} if column == inner else []
            values.append(new)
            mirror.append(opened)
            values, mirror = new, opened
        place: Any = begin + at
        if kind >= _MAPPING:
            value, place = {} if kind == _MAPPING else [], [place]
        if type(values) is list:
            values.append(value)
            mirror.append(place)
            awaits = None
        elif key is None or key in values:
            return None
        else:
            values[key] = value
            mirror += (begin + inner, place)
            awaits = key if kind == _OPEN else None
        begin += len(content) + 1
    return None if column < 0 else (root, top)


def _chunks(text: str) -> Iterator[str]:
    """The text in pieces that end before a line end."""
    begin = 0
    while (end := text.find("\n", begin + _CHUNK)) >= 0:
        yield text[begin:end]
        begin = end + 1
    yield text[begin:]
