"""Rows of cells -> lines of at most WIDTH columns, those below each other lined up.

A text has marks where a line may end: SPACE where a blank stands otherwise, NOTHING where nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 100
#: Columns that the continuation of a line is moved in by.
FURTHER = 4
#: Cells are lined up while they differ by no more than this many columns.
_SPREAD = 24

SPACE, NOTHING = "\0", "\1"
_MARK = re.compile(f"([{SPACE}{NOTHING}])")

Row = tuple[str, ...]


@dataclass(slots=True)
class Line:
    """`kind` is that of the lines that it is lined up with; None: with none."""

    indent: int
    cells: Row
    blank: bool  # above
    kind: object = None
    comment: str = ""  # behind


def printed(lines: Sequence[Line]) -> Iterator[str]:
    """The lines, those of one kind that follow each other lined up."""
    begin = 0
    while begin < len(lines):
        end = begin + 1
        while end < len(lines) and _joins(lines[end - 1], lines[end]):
            end += 1
        yield from _run(lines[begin:end])
        begin = end


def _joins(above: Line, line: Line) -> bool:
    """Whether a line is lined up with the one above it."""
    same = line.kind is not None and line.kind == above.kind and not line.blank
    return same and all(one.indent + size(flat(one.cells)) <= WIDTH for one in (above, line))


def _run(lines: Sequence[Line]) -> Iterator[str]:
    """Lines of one kind. The first columns are lined up, as many as leave every line short enough."""
    room = WIDTH - lines[0].indent
    widths = [_width([one.cells[n] for one in lines]) for n in range(len(lines[0].cells) - 1)]
    texts = [flat(one.cells) for one in lines]  # with marks, while they are not lined up
    for count in range(len(widths) if len(lines) > 1 else 0, 0, -1):
        tried = [_lined_up(one.cells, widths[:count]) for one in lines]
        if max(map(len, tried)) <= room:
            texts = tried
            break
    column = max((size(words) for words, one in zip(texts, lines, strict=True) if one.comment), default=0)
    for words, one in zip(texts, lines, strict=True):
        if one.blank:
            yield ""
        margin = " " * one.indent
        *before, last = broken(words, room, room - FURTHER) if size(words) > room else [plain(words)]
        yield from (margin + (" " * FURTHER if n else "") + part for n, part in enumerate(before))
        margin += " " * FURTHER if before else ""
        yield f"{margin}{last:{column if not before else 0}}  {one.comment}" if one.comment else margin + last


def _width(cells: Sequence[str]) -> int:
    """The width of a column; 0 where its cells are too different to be lined up."""
    sizes = [size(cell) for cell in cells if cell]
    return max(sizes) if sizes and max(sizes) - min(sizes) <= _SPREAD else 0


def _lined_up(cells: Row, widths: Sequence[int]) -> str:
    """The cells of a row, the first ones padded; an empty one leaves its column free where others have something."""
    padded = [f"{plain(cell):{width}}" for cell, width in zip(cells, widths, strict=False)]
    return " ".join(one for one in [*padded, *map(plain, cells[len(padded) :])] if one).rstrip()


def flat(cells: Row) -> str:
    """A row as one text, with its marks."""
    return SPACE.join(cell for cell in cells if cell)


def plain(marked: str) -> str:
    """A text without marks, not broken."""
    return marked.replace(SPACE, " ").replace(NOTHING, "")


def size(marked: str) -> int:
    """The columns of a text that is not broken."""
    return len(marked) - marked.count(NOTHING)


def broken(marked: str, room: int, further: int) -> Iterator[str]:
    """A text in lines: as much as fits into `room` columns, then into `further` on each line."""
    line, *rest = _MARK.split(marked)
    for mark, piece in zip(rest[::2], rest[1::2], strict=True):
        glue = " " if mark == SPACE else ""
        if len(line) + len(glue) + len(piece) <= room:
            line += glue + piece
        else:
            yield line
            line, room = piece, further
    yield line
