"""The plainest YAML, read line by line: block mappings and sequences of simple scalars, as tools write manifests.

Most lines of a manifest are like others that came before, so each distinct line is taken apart once, and reading is
little more than looking lines up: several times as fast as libyaml. Whatever is not of the plainest kind makes
`block` decline the whole document: anchors, tags, escapes, several lines for one scalar or pair of brackets, tabs,
remarks behind values, duplicate keys, anything wrong. `grammar.yamltext` then reads it with libyaml. Where both can
read a document they agree on values and offsets, which tests hold.
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

_KEY = r"[A-Za-z_][A-Za-z0-9_./-]*"
_LINE = re.compile(
    rf"""
    [ ]* (?:
        (?P<dashes>(?:-[ ])*)
        (?:(?P<key>{_KEY}):(?:[ ]|$))?
        (?:
            (?P<plain>[A-Za-z0-9_./](?:[A-Za-z0-9_./@+=,()-]|:(?=[^ ])|[ ](?=[A-Za-z0-9_./(]))*)
          | "(?P<double>[\x20\x21\x23-\x5b\x5d-\x7e]*)"
          | '(?P<single>[\x20-\x26\x28-\x7e]*)'
          | (?P<flow>[\[{{][\x20-\x7e]*)
        )?
      | \#[\x20-\x7e]*
    )
    """,
    re.VERBOSE,
)
#: Inside brackets; there a comma ends a plain scalar.
_FLOW_KEY = re.compile(rf"({_KEY}): ")
_FLOW_SCALAR = re.compile(
    r"""
        (?P<plain>[A-Za-z0-9_./](?:[A-Za-z0-9_./@+=()-]|:(?=[A-Za-z0-9/])|[ ](?=[A-Za-z0-9_./(]))*)
      | "(?P<double>[\x20\x21\x23-\x5b\x5d-\x7e]*)"
      | '(?P<single>[\x20-\x26\x28-\x7e]*)'
    """,
    re.VERBOSE,
)
_FLOW_COMMA = re.compile(r", ?")
_BRACKETS = 20


class _Line(NamedTuple):
    """A line taken apart. Its first character stands in column `indent`, what follows its dashes in column `inner`
    (columns count from 0), and its value in column `at`. `kind` is what the value is."""

    indent: int
    inner: int
    key: str | None
    kind: int
    value: Any
    at: int


#: Kinds: a blank or a comment; `key:` alone; a scalar; a collection in brackets (value and mirror from the line's
#: beginning, to be copied).
_BLANK, _OPEN, _SCALAR, _FLOW = range(4)


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
    if found["flow"]:
        flow = _flow(text, found.start("flow"), 0)
        return _Line(indent, inner, key, _FLOW, flow, 0) if flow is not None and flow[2] == len(text) else None
    return _Line(indent, inner, key, _OPEN, None, len(text)) if text[-1] == ":" else None


def _flow(text: str, at: int, depth: int) -> tuple[Any, Mirror, int] | None:
    """The value in or between brackets at `at`, its mirror, and the offset behind it."""
    opening = text[at : at + 1]
    if opening not in ("[", "{"):
        found = _FLOW_SCALAR.match(text, at)
        if found is None:
            return None
        content = found["plain"]
        return (found[found.lastgroup or 0] if content is None else plain(content)), at, found.end()
    if depth == _BRACKETS:
        return None
    values: Any = [] if opening == "[" else {}
    mirror: list[Any] = [at]
    at = _space(text, at + 1)
    closing = "]" if opening == "[" else "}"
    while text[at : at + 1] != closing:
        key = None
        if opening == "{":
            found = _FLOW_KEY.match(text, at)
            if found is None or plain(found[1]) != found[1] or found[1] in values:
                return None
            key = found[1]
            mirror.append(at)
            at = found.end()
        inner = _flow(text, at, depth + 1)
        if inner is None:
            return None
        value, place, at = inner
        mirror.append(place)
        if key is None:
            values.append(value)
        else:
            values[key] = value
        comma = _FLOW_COMMA.match(text, at)
        at = comma.end() if comma else _space(text, at)
        if (text[at : at + 1] == closing) == (comma is not None):  # neither `[a b]` nor `[a, ]`
            return None
    return values, mirror, at + 1


def _space(text: str, at: int) -> int:
    return at + 1 if text[at : at + 1] == " " else at


def _copy(value: Any, mirror: Any, begin: int) -> tuple[Any, Any]:
    """Fresh collections, with the mirror moved by `begin`."""
    if type(mirror) is int:
        return value, mirror + begin
    places = [mirror[0] + begin]
    if type(value) is list:
        pairs = [_copy(item, place, begin) for item, place in zip(value, mirror[1:], strict=True)]
        return [item for item, _ in pairs], places + [place for _, place in pairs]
    values = {}
    for (key, item), at, place in zip(value.items(), mirror[1::2], mirror[2::2], strict=True):
        values[key], moved = _copy(item, place, begin)
        places += (at + begin, moved)
    return values, places


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
        if kind == _FLOW:
            value, place = _copy(value[0], value[1], begin)
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
