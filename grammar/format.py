"""A tree of the policy language -> its text in the one layout: `netpolc fmt`.

The words stay as they are written, and every comment. Each statement has a line, statements below each other are lined
up, blank lines stay (one of several), lines have at most WIDTH columns where anything can be broken. The text depends
on the tree, the comments and the blank lines alone: formatting again changes nothing.

A comment stands on lines of its own or behind what ends before it on its line. One in the middle of a statement moves
to a line above; entries of sets count as statements.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grammar import dsl_tree as t
from grammar.format_lines import SPACE, WIDTH, Line, broken, flat, printed, size
from grammar.format_nodes import head, row, text
from grammar.source import Source

#: Columns that a statement inside of a block is moved in by.
INDENT = 2

_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*')


def format_file(source: Source, tree: t.File) -> str:
    """The text of a tree that was read from `source` without any flaw."""
    return _Layout(source.text).file(tree)


@dataclass(frozen=True, slots=True)
class _Comment:
    begin: int
    end: int
    text: str


class _Layout:
    """Lines, grown from the beginning of the text to its end."""

    def __init__(self, written: str) -> None:
        self._text = written
        found = (match for match in _COMMENT.finditer(written) if match.group()[0] == "#")
        self._comments = deque(_Comment(m.start(), m.end(), m.group().rstrip()) for m in found)
        self._lines: list[Line] = []
        self._last = 0  # offset behind what was laid out last
        self._opened = True  # nothing stands yet between these braces, or in the file

    def file(self, tree: t.File) -> str:
        for item in tree.items:
            if isinstance(item, t.Block):
                self._block(item, 0)
            elif isinstance(item, t.SetDefinition) and self._is_long(item):
                self._long_set(item)
            else:
                self._statement(item, 0)
        for comment in self._take(len(self._text)):
            self._own_line(comment, 0, self._gap(comment.begin))
        return "".join(f"{line}\n" for line in printed(self._lines))

    # ---- Statements and braces

    def _statement(self, node: t.Node, indent: int) -> None:
        blank = self._lead(node.begin, node.end, indent)
        kind = type(node)
        self._add(Line(indent, row(node), blank, _TOGETHER.get(kind, kind)), node.end)

    def _block(self, block: t.Block, indent: int) -> None:
        self._open(block, head(block), indent)
        statements: Sequence[t.Node] = block.statements  # type: ignore[attr-defined]
        for statement in statements:
            if isinstance(statement, t.Block):
                self._block(statement, indent + INDENT)
            else:
                self._statement(statement, indent + INDENT)
        self._close(block, "}", indent)

    def _is_long(self, node: t.SetDefinition) -> bool:
        """Whether a set does not fit on a line, or has comments between its braces."""
        if any(node.brace < one.begin < node.close for one in self._until(node.close)):
            return True
        return bool(node.entries) and size(flat(row(node))) > WIDTH

    def _long_set(self, node: t.SetDefinition) -> None:
        """A set over several lines: with comments, each entry on its own, else as many as fit."""
        self._open(node, f"set {node.name.text} =")
        if next(self._until(node.close), None) is not None:
            for entry in node.entries:
                blank = self._lead(entry.begin, entry.end, INDENT)
                self._add(Line(INDENT, (text(entry) + ",",), blank, t.SetDefinition), entry.end)
        elif node.entries:
            entries = SPACE.join(text(entry) + "," for entry in node.entries)
            for line in broken(entries, WIDTH - INDENT, WIDTH - INDENT):
                self._add(Line(INDENT, (line,), False), node.entries[-1].end)
        self._close(node, "} may be empty" if node.may_be_empty else "}")

    def _open(self, node: t.Braced, words: str, indent: int = 0) -> None:
        blank = self._lead(node.begin, node.brace, indent)
        self._add(Line(indent, (f"{words} {{",), blank), node.brace + 1)
        self._opened = True

    def _close(self, node: t.Braced, words: str, indent: int = 0) -> None:
        """The comments before a closing brace, and its line: that of the opening one when nothing is between."""
        for comment in self._take(node.end):
            self._own_line(comment, indent + INDENT, comment.begin < node.close and self._gap(comment.begin))
        if self._opened and not self._lines[-1].comment:
            opening = self._lines.pop()
            self._add(Line(indent, (opening.cells[0] + words,), opening.blank), node.end)
        else:
            self._add(Line(indent, (words,), False), node.end)

    # ---- Lines, comments and what is between

    def _add(self, line: Line, end: int) -> None:
        """A line for what ends at an offset, with the comment that follows on the same line."""
        self._lines.append(line)
        self._opened = False
        self._last = end
        for comment in self._until(len(self._text)):
            if not self._text[end : comment.begin].strip(" \t\r,"):
                line.comment = comment.text
                self._last = comment.end
                self._comments.popleft()
            return

    def _own_line(self, comment: _Comment, indent: int, blank: bool) -> None:
        self._lines.append(Line(indent, (comment.text,), blank))
        self._opened = False
        self._last = comment.end

    def _lead(self, begin: int, end: int, indent: int) -> bool:
        """Lines for the comments before a statement and for those inside of it. Whether a blank line stands above the
        statement itself."""
        for comment in self._take(begin):
            self._own_line(comment, indent, self._gap(comment.begin))
        blank = self._gap(begin)
        for comment in self._take(end):
            self._own_line(comment, indent, blank)
            blank = False
        return blank

    def _gap(self, begin: int) -> bool:
        """Whether a blank line stands between what was laid out last and an offset, not first in its braces."""
        return not self._opened and self._text.count("\n", self._last, begin) > 1

    def _until(self, end: int) -> Iterator[_Comment]:
        """The comments before an offset that have no line yet."""
        for comment in self._comments:
            if comment.begin >= end:
                return
            yield comment

    def _take(self, end: int) -> Iterator[_Comment]:
        """The same, each taken away."""
        while self._comments and self._comments[0].begin < end:
            yield self._comments.popleft()


#: Kinds of statements that are lined up with others.
_TOGETHER: dict[type[t.Node], object] = {
    **dict.fromkeys((t.Dnat, t.Snat, t.Masquerade, t.Redirect, t.KeepSource), "nat"),
    **dict.fromkeys((t.Mark, t.Dscp, t.Ttl, t.Mss), "mangle"),
    **dict.fromkeys((t.Notrack, t.DropFrom, t.Drop), "raw"),
}
