"""JSON text -> trees: plain values at the speed of the standard library, positions when they are asked for.

A cluster's dump is one object with 150,000 items and a gigabyte long, so the `items` of the outermost object come
one by one, each before the object that holds them, and none is kept here. Beyond what `json` checks, keys must be
distinct and numbers finite.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from functools import partial
from json.decoder import scanstring  # type: ignore[attr-defined]

from grammar.source import Flaw, Source
from grammar.tree import Mirror, Tree

#: Of the line before an item, so many characters are kept for excerpts.
_BEFORE = 80

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ATOM = re.compile(r"[^\s,\]}]+")


class NotJSON(Exception):
    """The text is no JSON from offset `at` on; `begun` tells whether values came before."""

    def __init__(self, source: Source, at: int, message: str, code: str, *, begun: bool) -> None:
        self.flaw = _flaw(source, at, message, code)
        self.at = at
        self.begun = begun
        super().__init__(message)


class _Wrong(ValueError):
    """A number that JSON does not know."""


def documents(source: Source, flaws: Callable[[Flaw], None]) -> Iterator[Tree]:
    """Every value of a JSON text, in order; of an outermost object with `items`, these first, each with the object
    as far as it is read as `within`. Raises NotJSON at the first syntax error."""
    return _Reader(source, flaws).documents()


class _Reader:
    def __init__(self, source: Source, flaws: Callable[[Flaw], None]) -> None:
        self._source = source
        self._flaws = flaws
        self._scan = json.JSONDecoder(object_pairs_hook=self._pairs, parse_constant=_constant).scan_once  # type: ignore[attr-defined]
        self._twice = False  # an object with a key twice has just been seen
        self._begun = False
        self._counted = 0  # up to this offset lines were counted:
        self._line, self._line_begin = source.first_line, 0

    def documents(self) -> Iterator[Tree]:
        text = self._source.text
        at = _skip(text, 0)
        while at < len(text):
            if text[at] == "{":
                at = yield from self._object(at)
            else:
                begin = at
                value, at = self._value(at)
                yield self._tree(begin, at, value, None)
            at = _skip(text, at)
            if text[at : at + 3] == "---":
                raise self._broken(at, "extra data", "json-syntax")

    def _object(self, begin: int) -> Generator[Tree, None, int]:
        """The object at `begin`, after its items; gives the offset behind it."""
        text = self._source.text
        found: dict[str, object] = {}
        mirror: list[Mirror] = [begin]
        streamed = twice = False
        at = _skip(text, begin + 1)
        at, more = (at + 1, False) if text[at : at + 1] == "}" else (at, True)
        while more:
            key_at = at
            key, at = self._key(at)
            twice = twice or key in found
            if key == "items" and text[at : at + 1] == "[" and not streamed:
                streamed = True
                mirror += (key_at, [at])
                found[key] = []
                at = yield from self._items(at, found)
            else:
                mirror += (key_at, at)
                value, at = self._value(at)
                found.setdefault(key, value)
            at, more = self._next(at, "}")
        self._twice = self._twice or twice
        if streamed:
            self._begun = True
            yield Tree(self._source, found, mirror)
        else:
            yield self._tree(begin, at, found, None)
        return at

    def _items(self, at: int, holder: dict[str, object]) -> Generator[Tree, None, int]:
        """The items of the list at `at`; gives the offset behind it."""
        text = self._source.text
        at = _skip(text, at + 1)
        at, more = (at + 1, False) if text[at : at + 1] == "]" else (at, True)
        while more:
            begin = at
            value, at = self._value(at)
            yield self._tree(begin, at, value, holder)
            at, more = self._next(at, "]")
        return at

    def _next(self, at: int, closing: str) -> tuple[int, bool]:
        """Behind an entry: the offset of the next one, or that behind the closing bracket and False."""
        at = _skip(self._source.text, at)
        found = self._source.text[at : at + 1]
        if found == closing:
            return at + 1, False
        if found != ",":
            raise self._broken(at, f"expecting , or {closing}", "json-syntax")
        return _skip(self._source.text, at + 1), True

    def _key(self, at: int) -> tuple[str, int]:
        """The key at `at` and the offset of its value."""
        text = self._source.text
        if text[at : at + 1] != '"':
            raise self._broken(at, "expecting a key in double quotes", "json-syntax")
        try:
            key, at = scanstring(text, at + 1)
        except json.JSONDecodeError as error:
            raise self._broken(error.pos, _wording(error), "json-syntax") from None
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise self._broken(at, "expecting ':' delimiter", "json-syntax")
        return key, _skip(text, at + 1)

    def _value(self, at: int) -> tuple[object, int]:
        """The value at `at` and the offset behind it."""
        text = self._source.text
        try:
            found: tuple[object, int] = self._scan(text, at)
            return found
        except StopIteration as stop:
            raise self._broken(stop.value, "expecting a value", "json-syntax") from None
        except json.JSONDecodeError as error:
            raise self._broken(error.pos, _wording(error), "json-syntax") from None
        except _Wrong as error:
            raise self._broken(text.find(str(error), at), f"{error} is no JSON number", "json-syntax") from None
        except ValueError:  # int() of more digits than it takes
            raise self._broken(at, "a number with too many digits", "json-syntax") from None
        except RecursionError:
            raise self._broken(at, "nested too deep", "nesting") from None

    def _tree(self, begin: int, end: int, value: object, within: dict[str, object] | None) -> Tree:
        """The tree of text[begin:end], with a source of its own: the whole text need not stay for it."""
        text = self._source.text
        if lines := text.count("\n", self._counted, begin):
            self._line += lines
            self._line_begin = text.rfind("\n", self._counted, begin) + 1
        self._counted = begin
        first = max(self._line_begin, begin - _BEFORE)
        column = first - self._line_begin + (self._source.first_column if self._line_begin == 0 else 1)
        part = Source(self._source.name, text[first:end], self._line, column)
        at = begin - first
        if self._twice:
            self._twice = False
            _mirror(part, at, self._flaws)
        self._begun = True
        return Tree(part, value, partial(_mirror, part, at), at, within)

    def _pairs(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            self._twice = True
            found = {}
            for key, value in pairs:
                found.setdefault(key, value)
        return found

    def _broken(self, at: int, message: str, code: str) -> NotJSON:
        return NotJSON(self._source, at, message, code, begun=self._begun)


def _wording(error: json.JSONDecodeError) -> str:
    return error.msg[:1].lower() + error.msg[1:]


def _constant(name: str) -> object:
    raise _Wrong(name)


def _mirror(source: Source, begin: int, flaws: Callable[[Flaw], None] | None = None) -> Mirror:
    """The mirror of the valid JSON value at `begin`; keys that come twice go to `flaws`."""
    return _walk(source, begin, flaws)[0]


def _walk(source: Source, at: int, flaws: Callable[[Flaw], None] | None) -> tuple[Mirror, int]:
    text, begin = source.text, at
    opening = text[at]
    if opening not in "{[":
        found = (_STRING if opening == '"' else _ATOM).match(text, at)
        assert found is not None, "valid JSON"
        return at, found.end()
    mirror: list[Mirror] = [begin]
    keys: dict[str, int] = {}
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key_at, known = at, False
        if opening == "{":
            key, end = scanstring(text, at + 1)
            known = key in keys
            if known and flaws is not None:
                line = source.position(keys[key])[0]
                flaws(_flaw(source, at, f'"{key}" is set twice, first on line {line}', "duplicate-key", end))
            keys.setdefault(key, at)
            at = _skip(text, _skip(text, end) + 1)  # behind the colon
        inner, at = _walk(source, at, flaws)
        if opening == "[":
            mirror.append(inner)
        elif not known:
            mirror += (key_at, inner)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return mirror, at + 1


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _flaw(source: Source, at: int, message: str, code: str, end: int | None = None) -> Flaw:
    end = at + 1 if end is None else end
    return Flaw(source.span(at, end), message, code, source.excerpt(at, end))
