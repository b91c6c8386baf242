"""What a file holds, for outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.editor.project import Reading
from compiler.editor.walk import statements
from compiler.sources.language.files import Text
from grammar import dsl_tree as t

#: Characters that an outline shows of a statement.
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Symbol:
    """`kind` is the keyword that it begins with, "" for an expectation; `head` is what to select of it."""

    name: str
    kind: str
    begin: int
    end: int
    head: tuple[int, int]
    inside: tuple[Symbol, ...]


def symbols(reading: Reading) -> tuple[Symbol, ...]:
    """The definitions, blocks and statements of a file, as far as they can be read."""
    text = reading.text
    return tuple(_symbol(text, item) for item in reading.items) if text is not None else ()


def _symbol(text: Text, node: t.Node) -> Symbol:
    written = text.source.text
    inside = tuple(_symbol(text, one) for one in statements(node))
    end = node.brace if isinstance(node, t.Braced) and not isinstance(node, t.SetDefinition) else node.end
    line = text.line(t.Node(node.begin, end))
    name = getattr(node, "name", None)
    keyword = next(_words(line), "")
    if not line:  # a block whose head cannot be read
        line = type(node).__name__.removesuffix("Block").lower()
    elif isinstance(name, t.Name):
        label = name.text if not isinstance(node, t.Block) else line
        return Symbol(label[:_SHOWN], keyword, node.begin, node.end, (name.begin, name.end), inside)
    label = line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
    last = node.begin + len(written[node.begin : end].split("\n")[0].rstrip())
    return Symbol(label, keyword, node.begin, node.end, (node.begin, max(last, node.begin)), inside)


def _words(line: str) -> Iterator[str]:
    word = line.split(" ", 1)[0]
    if word.isalpha():
        yield word
