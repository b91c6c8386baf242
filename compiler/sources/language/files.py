"""The files of a program: those that were named, and those that they include, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from compiler.errors import Collector
from grammar import dsl
from grammar.dsl_tree import File, Node
from grammar.dsl_tree import Include as IncludeNode
from grammar.source import Flaw, Source

#: (name of the including file, path as written) -> name and content of the included one, or why it cannot be had.
#: The same file has the same name however it is reached.
Include = Callable[[str, str], tuple[str, bytes] | str]
#: `dsl.read`, or what remembers its answers.
Reader = Callable[[str, bytes, Callable[[Flaw], None]], tuple[Source, File] | None]


@dataclass(frozen=True, slots=True)
class Text:
    """A file and its tree."""

    source: Source
    tree: File

    def flaw(self, at: Node, message: str, code: str) -> Flaw:
        """A flaw at a node of this file."""
        return Flaw(self.source.span(at.begin, at.end), message, code, self.source.excerpt(at.begin, at.end))

    def line(self, at: Node) -> str:
        """What was written there, on one line, without comments."""
        written = self.source.text[at.begin : at.end].split("\n")
        return " ".join(" ".join(_code(line) for line in written).split())


def read(
    texts: Iterable[tuple[str, bytes]], include: Include, problems: Collector, reader: Reader = dsl.read
) -> Sequence[Text]:
    """Every file once, in the order in which they are met: an included one in front of what follows it."""
    found: dict[str, Text | None] = {}
    for name, data in texts:
        _read(name, data, include, problems, reader, found)
    return [text for text in found.values() if text is not None]


def _read(
    name: str, data: bytes, include: Include, problems: Collector, reader: Reader, found: dict[str, Text | None]
) -> None:
    """A file and those that it includes, however far that goes."""
    opened = [(name, data)]
    while opened:
        name, data = opened.pop()
        if name in found:
            continue
        made = reader(name, data, problems.add)
        found[name] = text = Text(*made) if made is not None else None
        if text is not None:
            opened += reversed(list(_included(name, text, include, problems)))


def _included(name: str, text: Text, include: Include, problems: Collector) -> Iterator[tuple[str, bytes]]:
    for item in text.tree.items:
        if isinstance(item, IncludeNode):
            opened = include(name, item.path.value)
            if isinstance(opened, str):
                problems.add(text.flaw(item.path, opened, "unreadable-include"))
            else:
                yield opened


def _code(line: str) -> str:
    """A line without its comment; a # inside of quotes begins none."""
    quoted = False
    for n, char in enumerate(line):
        if char == '"' and (n == 0 or line[n - 1] != "\\"):
            quoted = not quoted
        elif char == "#" and not quoted:
            return line[:n]
    return line
