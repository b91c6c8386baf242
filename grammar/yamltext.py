"""YAML text -> trees: plain values with positions, as kubectl would read them.

Documents of the plainest kind are read by `grammar.blockyaml`, all others here, with libyaml's parser, whose events
carry positions. The loop handles scalars in place and calls a function per collection only. Everything that YAML
has and Kubernetes manifests have not is refused by name: keys that are no strings, tags of other types, aliases that
multiply, values nested without end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

from grammar.blockyaml import Lines, block
from grammar.scalars import key_text, plain, tagged
from grammar.source import Flaw, Source
from grammar.tree import Mirror, Tree

#: Levels of nesting: far more than any Kubernetes object has, far fewer than Python's stack takes.
DEPTH = 200
#: Values that aliases may stand for in one document, counted each time an alias is used.
ALIASED = 10_000
#: Empty documents that a text may have: each costs time and means nothing.
EMPTY = 10_000
#: Documents with a syntax error after which the rest of a file is not looked at.
BROKEN = 20

_COLLECTION_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!")
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_NEXT_DOCUMENT = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class _Refused(Exception):
    """A document that cannot be read on; the arguments are (begin, end, message, code)."""


class _Plain(dict[str, object]):
    """Plain scalars seen so far; it also makes equal strings one object. Bounded, for hostile input."""

    def __missing__(self, text: str) -> object:
        value = plain(text)
        if len(self) < 100_000 and len(text) < 300:
            self[text] = value
        return value


def documents(source: Source, flaws: Callable[[Flaw], None]) -> Iterator[Tree]:
    """Every document of a YAML text that can be read; what is wrong goes to `flaws`. After a syntax error reading
    goes on at the next line that begins a document."""
    lines, scalars = Lines(), _Plain()
    broken = empty = 0
    for part in _parts(source):
        if (found := block(part.text, lines)) is not None:
            yield Tree(part, *found)
            continue
        reader = _Reader(part, scalars, flaws)
        try:
            for tree in reader.trees():
                empty += tree.value is None
                yield tree
        except _Refused as refused:
            begin, end, message, code = refused.args
        except MarkedYAMLError as error:
            begin, message = _syntax(error, part)
            end, code = begin + 1, "yaml-syntax"
        except ReaderError:
            begin, message = _unprintable(part.text, reader.begun)
            end, code = begin + 1, "yaml-syntax"
        else:
            if empty <= EMPTY:
                continue
            begin, end, message, code = 0, 3, f"more than {EMPTY} empty documents", "gave-up"
        flaws(Flaw(part.span(begin, end), message, code, part.excerpt(begin, end)))
        broken += 1
        if broken == BROKEN:
            flaws(Flaw(part.span(0, 3), "too many broken documents: the rest of this file was not read", "gave-up"))
        if broken == BROKEN or code == "gave-up":
            return


def _parts(source: Source) -> Iterator[Source]:
    """The documents of a text: `---` at the beginning of a line begins one wherever it stands. With directives,
    which come before it, the text is one part."""
    text = source.text
    if _DIRECTIVE.search(text):
        yield source
        return
    begin, line, column = 0, source.first_line, source.first_column
    for found in _NEXT_DOCUMENT.finditer(text):
        if end := found.start():
            yield Source(source.name, text[begin:end], line, column)
            line, column = line + text.count("\n", begin, end), 1
            begin = end
    yield Source(source.name, text[begin:], line, column)


class _Reader:
    """One run of libyaml's parser over a text; `begun` is the offset of the document that it is in."""

    def __init__(self, source: Source, scalars: _Plain, flaws: Callable[[Flaw], None]) -> None:
        self._source = source
        self._flaws = flaws
        self._get: Callable[[], Any] = CParser(source.text).get_event  # an event's attributes depend on its class
        self._plain = scalars
        self._anchors: dict[str, tuple[object, Mirror] | None] = {}
        self._aliased = 0
        self.begun = 0

    def trees(self) -> Iterator[Tree]:
        get = self._get
        while type(event := get()) is not StreamEndEvent:
            if type(event) is DocumentStartEvent and event.start_mark is not None:
                self.begun = event.start_mark.index
                self._anchors.clear()
                self._aliased = 0
                value, mirror = self._node(get(), 0)
                yield Tree(self._source, value, mirror)

    def _node(self, event: Any, depth: int) -> tuple[object, Mirror]:
        """The value that `event` begins: any node."""
        kind, begin = type(event), event.start_mark.index
        if kind is AliasEvent:
            return self._alias(event.anchor, begin)
        anchor = event.anchor
        value: object
        mirror: Mirror
        if kind is ScalarEvent:
            value, mirror = self._scalar(event), begin
        else:
            if depth >= DEPTH:
                raise _Refused(begin, begin + 1, f"nested more than {DEPTH} levels deep", "nesting")
            if event.tag is not None and event.tag not in _COLLECTION_TAGS:
                self._flaw(begin, f"the tag {event.tag} is not supported", "yaml-tag")
            if anchor:
                self._anchors[anchor] = None  # until it ends
            read = self._mapping if kind is MappingStartEvent else self._sequence
            value, mirror = read(begin, depth + 1)
        if anchor:
            self._anchors[anchor] = (value, mirror)
        return value, mirror

    def _sequence(self, begin: int, depth: int) -> tuple[object, Mirror]:
        get, known = self._get, self._plain
        values: list[object] = []
        mirror: list[Mirror] = [begin]
        while (kind := type(event := get())) is not SequenceEndEvent:
            if kind is ScalarEvent and event.anchor is None:
                values.append(known[event.value] if event.implicit[0] else self._scalar(event))
                mirror.append(event.start_mark.index)
            else:
                value, inner = self._node(event, depth)
                values.append(value)
                mirror.append(inner)
        return values, mirror

    def _mapping(self, begin: int, depth: int) -> tuple[object, Mirror]:
        get, known = self._get, self._plain
        values: dict[str, object] = {}
        mirror: list[Mirror] = [begin]
        merged: set[str] = set()
        while (kind := type(event := get())) is not MappingEndEvent:
            at = event.start_mark.index
            merges = False
            if kind is ScalarEvent and event.anchor is None:
                if event.implicit[0]:
                    key = known[event.value]
                    merges = key == "<<"
                else:
                    key = self._scalar(event)
            else:
                key = self._node(event, depth)[0]
            if type(key) is not str:
                key = self._key(key, at)  # None when it is no key: its value is read and dropped
            kind = type(event := get())
            value: object
            inner: Mirror
            if kind is ScalarEvent and event.anchor is None:
                value = known[event.value] if event.implicit[0] else self._scalar(event)
                inner = event.start_mark.index
            else:
                value, inner = self._node(event, depth)
            if merges:
                self._merge(value, inner, values, mirror, merged, at)
            elif key is None:
                continue
            elif key not in values:
                values[key] = value
                mirror += (at, inner)
            elif key in merged:
                merged.discard(key)
                place = 1 + 2 * list(values).index(key)
                values[key], mirror[place : place + 2] = value, (at, inner)
            else:
                self._duplicate(key, at, values, mirror)
        return values, mirror

    def _duplicate(self, key: str, at: int, values: dict[str, object], mirror: list[Mirror]) -> None:
        message = f'"{key}" is set twice'
        if len(values) < 1000:  # hostile input must not make this quadratic
            first = mirror[1 + 2 * list(values).index(key)]
            assert isinstance(first, int)
            message += f", first on line {self._source.position(first)[0]}"
        self._flaw(at, message, "duplicate-key", key)

    def _scalar(self, event: Any) -> object:
        """A scalar that is quoted, tagged or anchored."""
        text: str = event.value
        if event.tag is None:
            return self._plain[text] if event.implicit[0] else text
        try:
            return tagged(event.tag, text)
        except ValueError as error:
            self._flaw(event.start_mark.index, str(error), "yaml-tag")
            return text

    def _key(self, key: object, at: int) -> str | None:
        """The text of a key that is no string; None for one that is no key at all."""
        collection = isinstance(key, dict | list)
        text = None if collection else key_text(key)  # type: ignore[arg-type]
        if text is None:
            message = f"a key must be a string, not {'a collection' if collection else 'null'}"
            if self._source.text[at - 1 : at + 1] == "{{":
                message += "; a template must be rendered first"
            self._flaw(at, message, "key")
        return text

    def _alias(self, name: str, at: int) -> tuple[object, Mirror]:
        found = self._anchors.get(name)
        if found is None:
            inside = name in self._anchors
            problem = "stands inside the value it refers to" if inside else "has no anchor before it"
            raise _Refused(at, at + 1 + len(name), f"the alias *{name} {problem}", "alias")
        self._aliased += _size(found[1])
        if self._aliased > ALIASED:
            text = f"aliases stand for more than {ALIASED} values in this document"
            raise _Refused(at, at + 1 + len(name), text, "alias-bomb")
        return found

    def _merge(
        self,
        value: object,
        inner: Mirror,
        values: dict[str, object],
        mirror: list[Mirror],
        merged: set[str],
        at: int,
    ) -> None:
        """`<<`: the entries of a mapping, or of each mapping in a list; of these the earlier wins, and keys that are
        written out win over all. kubectl lets a merge that comes after such a key win: that is refused."""
        pairs = [(value, inner)]
        if isinstance(value, list) and isinstance(inner, list):
            pairs = list(zip(value, inner[1:], strict=True))
        for one, marks in pairs:
            if not isinstance(one, dict) or not isinstance(marks, list):
                self._flaw(at, "<< must have a mapping or a list of mappings", "merge-key", "<<")
                return
            for n, (key, entry) in enumerate(one.items()):
                if key not in values:
                    merged.add(key)
                    values[key] = entry
                    mirror += marks[1 + 2 * n : 3 + 2 * n]
                elif key not in merged:
                    text = f'<< after "{key}", which it sets too: YAML and kubectl disagree on who wins; put << first'
                    self._flaw(at, text, "merge-key", "<<")

    def _flaw(self, at: int, message: str, code: str, text: str = " ") -> None:
        span = self._source.span(at, at + len(text))
        self._flaws(Flaw(span, message, code, self._source.excerpt(at, at + len(text))))


def _size(mirror: Mirror) -> int:
    return 1 if isinstance(mirror, int) else sum(map(_size, mirror))


def _syntax(error: MarkedYAMLError, source: Source) -> tuple[int, str]:
    """(offset, message) of a parser's error."""
    mark = error.problem_mark or error.context_mark
    at = mark.index if mark is not None else 0
    if source.text[at : at + 1] == "\t":
        return at, "a tab cannot indent YAML: use spaces"
    message = error.problem or "not YAML"
    begun = error.context_mark
    if error.context and begun is not None and begun.line != source.position(at)[0] - source.first_line:
        message += f" ({error.context} that begins on line {source.position(begun.index)[0]})"
    elif error.context:
        message += f" ({error.context})"
    return at, message


def _unprintable(text: str, begin: int) -> tuple[int, str]:
    """(offset, message) of the first character that YAML does not allow in a text."""
    found = _UNPRINTABLE.search(text, begin) or _UNPRINTABLE.search(text)
    if found is None:
        return begin, "not YAML text"
    hint = ": a binary file, or UTF-16 without a byte order mark?" if found[0] == "\0" else ""
    return found.start(), f"YAML text has no character U+{ord(found[0]):04X}{hint}"
