"""A plain value that knows where in a text each part of it stands.

Parsers make, beside the value, a mirror of offsets. The mirror of a scalar is the offset where it begins; that of a
sequence is [begin, mirror of each item ...]; that of a mapping is [begin, offset of the first key, mirror of its
value, offset of the second key, ...] in the order of the dict. Ends are not kept: only carets need them, so they
are looked up in the text when one is drawn.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from grammar.source import Flaw, Source, Span

Mirror = int | list["Mirror"]
Path = tuple[str | int, ...]

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'", re.DOTALL)
_WORD = re.compile(r"[^\s,\]}]*")
_REST_OF_LINE = re.compile(r"[^\n#]*")
_CLOSING = re.compile(r"[\s,]*[\]}]")


class Tree:
    """A document, or a part of one, and its place: it begins at offset `begin` of `source`. The mirror may be given
    as a function, which is called when a position inside is first asked for. `within` is the object, as far as it
    was read, among whose items this one is."""

    __slots__ = ("_mirror", "_orders", "begin", "source", "value", "within")

    def __init__(
        self,
        source: Source,
        value: object,
        mirror: Mirror | Callable[[], Mirror],
        begin: int | None = None,
        within: Mapping[str, object] | None = None,
    ) -> None:
        self.source = source
        self.value = value
        self._mirror = mirror
        self.begin = _begin(self.mirror) if begin is None else begin
        self.within = within
        self._orders: dict[int, dict[str, int]] = {}  # id of a large dict -> key -> its number

    @property
    def mirror(self) -> Mirror:
        if callable(self._mirror):
            self._mirror = self._mirror()
        return self._mirror

    @property
    def place(self) -> str:
        """FILE:LINE:COLUMN of its first character."""
        line, column = self.source.position(self.begin)
        return f"{self.source.name}:{line}:{column}"

    @property
    def size(self) -> int:
        """Characters from its beginning to that of its last scalar."""
        last = self.mirror
        while not isinstance(last, int):
            last = last[-1]
        return last - self.begin

    def packed(self) -> Packed:
        """This tree, to be kept."""
        plain: Any = (self.value, self.mirror)
        return Packed(self.source, marshal.dumps(plain))

    def part(self, *path: str | int) -> Tree:
        """The tree of what is at `path`, which must exist."""
        value, mirror = self.value, self.mirror
        for step in path:
            assert isinstance(mirror, list)
            mirror = mirror[self._index(value, step) + 1]
            value = value[step]  # type: ignore[index]
        return Tree(self.source, value, mirror)

    def has(self, path: Path) -> bool:
        """Whether there is a value at `path`."""
        value = self.value
        for step in path:
            if self._index(value, step) < 0:
                return False
            value = value[step]  # type: ignore[index]
        return True

    def span(self, *path: str | int, on_key: bool = False) -> Span:
        """Where the value at `path` stands, or its key; where there is no such value, the place of the nearest
        value around it that is there."""
        return self.source.span(*self._extent(path, on_key))

    def flaw(self, path: Path, message: str, code: str, *, on_key: bool = False) -> Flaw:
        """A flaw at that place."""
        begin, end = self._extent(path, on_key)
        return Flaw(self.source.span(begin, end), message, code, self.source.excerpt(begin, end))

    def _extent(self, path: Path, on_key: bool) -> tuple[int, int]:
        value, mirror = self.value, self.mirror
        key: int | None = None
        name: object = None
        for step in path:
            at = self._index(value, step)
            if at < 0 or not isinstance(mirror, list) or at + 1 >= len(mirror):
                on_key = True  # of the parent: what is missing has no place of its own
                break
            above = mirror[at] if isinstance(value, dict) else None
            key, name = above if isinstance(above, int) else None, step
            mirror, value = mirror[at + 1], value[step]  # type: ignore[index]
        text, begin = self.source.text, _begin(mirror)
        if key is not None and (on_key or (isinstance(mirror, list) and "\n" in text[key:begin])):
            return key, _scalar_end(text, key, name)
        return begin, _end(text, value, mirror)

    def _index(self, value: object, step: str | int) -> int:
        """Where in a mirror the entry before that of value[step] is; -1 when there is no such value."""
        if isinstance(value, dict) and step in value:
            if len(value) < 20:
                return 1 + 2 * list(value).index(step)
            if id(value) not in self._orders:
                self._orders[id(value)] = {key: n for n, key in enumerate(value)}
            return 1 + 2 * self._orders[id(value)][step]  # type: ignore[index]
        if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            return step
        return -1


@dataclass(frozen=True, slots=True)
class Packed:
    """A tree at rest: a tenth of its size, for those that are kept for messages and seldom asked. `data` is of this
    process and for it alone."""

    source: Source
    data: bytes

    def tree(self) -> Tree:
        """The tree again, some 15 microseconds of work."""
        value, mirror = marshal.loads(self.data)
        return Tree(self.source, value, mirror)


def _begin(mirror: Mirror) -> int:
    begin = mirror if isinstance(mirror, int) else mirror[0]
    assert isinstance(begin, int)
    return begin


def _end(text: str, value: object, mirror: Mirror) -> int:
    """The offset behind a value."""
    if isinstance(mirror, int):
        return _scalar_end(text, mirror, value)
    begin = end = _begin(mirror)
    if len(mirror) > 1 and isinstance(value, dict | list) and value:
        last = list(value.values())[-1] if isinstance(value, dict) else value[-1]
        end = max(end, _end(text, last, mirror[-1]))
    if text[begin : begin + 1] in ("{", "["):
        closing = _CLOSING.match(text, end if end > begin else begin + 1)
        return closing.end() if closing else end
    return end


def _scalar_end(text: str, begin: int, value: object) -> int:
    """The offset behind the scalar of that value. Of a scalar of several lines only the first one matters."""
    if properties := _PROPERTIES.match(text, begin):
        begin = properties.end()
    if quoted := _QUOTED.match(text, begin):
        return quoted.end()
    if isinstance(value, str) and text.startswith(value, begin):
        return begin + len(value)
    pattern = _REST_OF_LINE if isinstance(value, str) else _WORD
    found = pattern.match(text, begin)
    assert found is not None
    return begin + len(found[0].rstrip())
