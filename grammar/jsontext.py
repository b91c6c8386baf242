"""JSON text -> trees: plain values at the speed of the standard library, positions when they are asked for.

Beyond what `json` checks, keys must be distinct and numbers finite.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial

from grammar.source import Flaw, Source
from grammar.tree import Mirror, Tree

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ATOM = re.compile(r"[^\s,\]}]+")


class _Number(ValueError):
    """A number that JSON does not know."""


class NotJSON(Exception):
    """The text is no JSON from offset `at` on; `begun` tells whether values came before."""

    def __init__(self, source: Source, at: int, message: str, code: str, *, begun: bool) -> None:
        self.flaw = _flaw(source, at, message, code)
        self.at = at
        self.begun = begun
        super().__init__(message)


def documents(source: Source, flaws: Callable[[Flaw], None]) -> Iterator[Tree]:
    """Every value of a JSON text, in order. Raises NotJSON at the first syntax error."""
    decoder = _Decoder()
    text, at = source.text, _skip(source.text, 0)
    begun = False
    while at < len(text):
        decoder.twice = False
        begin = at
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            message = error.msg[:1].lower() + error.msg[1:]
            raise NotJSON(source, error.pos, message, "json-syntax", begun=begun) from None
        except _Number as error:
            place = max(at, text.find(str(error), at))
            raise NotJSON(source, place, f"{error} is no JSON number", "json-syntax", begun=begun) from None
        except ValueError:  # int() of more digits than it takes
            raise NotJSON(source, at, "a number has too many digits", "json-syntax", begun=begun) from None
        except RecursionError:
            raise NotJSON(source, at, "nested too deep", "nesting", begun=begun) from None
        if decoder.twice:
            _mirror(source, begin, flaws)
        yield Tree(source, value, partial(_mirror, source, begin))
        begun = True
        at = _skip(text, at)


class _Decoder(json.JSONDecoder):
    """Notices an object that has a key twice."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._object, parse_constant=self._constant)
        self.twice = False

    def _object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            self.twice = True
            found = {}
            for key, value in pairs:
                found.setdefault(key, value)
        return found

    @staticmethod
    def _constant(name: str) -> object:
        raise _Number(name)


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
            found = _STRING.match(text, at)
            assert found is not None, "valid JSON"
            key = json.loads(found[0])
            known = key in keys
            if known and flaws is not None:
                line = source.position(keys[key])[0]
                flaws(_flaw(source, at, f'"{key}" is set twice, first on line {line}', "duplicate-key", found.end()))
            keys.setdefault(key, at)
            at = _skip(text, _skip(text, found.end()) + 1)  # behind the colon
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
