"""Where names get their meaning, where else they stand, and what it takes to call them something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from compiler.editor.project import Project, Reading
from compiler.editor.walk import Occurrence, down_to
from grammar import dsl
from grammar import dsl_tree as t
from grammar.source import Flaw, Source

_WORD = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_TEXT_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"?|#[^\n]*')


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """The characters from `begin` up to but not including `end` of a file."""

    file: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Named:
    """A name at a place of a file. `key` is equal for all that mean the same thing."""

    place: Place
    key: tuple[str, bool]


class NotRenamed(Exception):
    """Why a name stays, in words."""


def named(project: Project, file: str, offset: int) -> Named | None:
    """The name at an offset; in a statement that cannot be read, a word that is a name somewhere."""
    reading = project.reading(file)
    if reading is None or reading.text is None:
        return None
    here = [one for one in reading.occurrences if one.node.begin <= offset <= one.node.end]
    if here:
        node = here[-1].node
        return Named(Place(file, node.begin, node.end), here[-1].key)
    word = word_at(reading.text.source.text, offset)
    if word is None or not reading.flaws or _is_read(reading, offset):
        return None
    text = reading.text.source.text[word[0] : word[1]]
    known = {one.key for program in project.programs(file) for _, one in program.occurrences() if one.defines}
    return Named(Place(file, *word), (text, False)) if (text, False) in known else None


def word_at(text: str, offset: int) -> tuple[int, int] | None:
    """The word at an offset, outside of texts and comments."""
    line = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    code = _TEXT_OR_COMMENT.sub(lambda found: " " * len(found.group()), text[line : end if end >= 0 else len(text)])
    for found in _WORD.finditer(code):
        if line + found.start() <= offset <= line + found.end():
            return line + found.start(), line + found.end()
    return None


def _is_read(reading: Reading, offset: int) -> bool:
    """Whether the parser made something of the statement at an offset."""
    assert reading.tree is not None
    innermost = down_to(reading.tree, offset)[-1]
    return not isinstance(innermost, t.File | t.Block)


def definitions(project: Project, file: str, offset: int) -> list[Place]:
    """Where the name at an offset is defined, in every program of the file; or the file that is included there."""
    reading = project.reading(file)
    if reading is None:
        return []
    for item in reading.items:
        if isinstance(item, t.Include) and item.path.begin <= offset <= item.path.end:
            other = project.included(file, item.path.value)
            return [Place(other, 0, 0)] if other is not None else []
    return [place for place, one in _same(project, file, offset) if one.defines]


def references(project: Project, file: str, offset: int, defining: bool = True) -> list[Place]:
    """Everywhere that the name at an offset stands, in every program of the file."""
    return [place for place, one in _same(project, file, offset) if defining or not one.defines]


def _same(project: Project, file: str, offset: int) -> Iterator[tuple[Place, Occurrence]]:
    """All that means the same as the name at an offset, in the order of files and places."""
    wanted = named(project, file, offset)
    if wanted is None:
        return
    found: dict[Place, Occurrence] = {}
    for program in project.programs(file):
        for reading, one in program.occurrences():
            if one.key == wanted.key:
                found[Place(reading.name, one.node.begin, one.node.end)] = one
    yield from sorted(found.items(), key=lambda pair: pair[0])


def renamable(project: Project, file: str, offset: int) -> Named:
    """The name at an offset, which is defined and can be another one. Raises NotRenamed."""
    found = named(project, file, offset)
    if found is None:
        raise NotRenamed("there is no name here")
    if not definitions(project, file, offset):
        raise NotRenamed(f"{found.key[0]} is not defined in these files")
    for program in project.programs(file):
        for reading in program.files.values():
            if reading.flaws:
                raise NotRenamed(f"{reading.flaws[0].span}: mend this first, {found.key[0]} may stand there, too")
    return found


def renamed(project: Project, file: str, offset: int, new: str) -> list[Place]:
    """The places where `new` is to stand in the place of a name, so that every program says the same. Raises
    NotRenamed."""
    old = renamable(project, file, offset)
    text, policy = old.key
    flaws: list[Flaw] = []
    tree = dsl.parse(Source("", f"policy {new} {{}}" if policy else f"zone {new} = any"), flaws.append)
    if tree is None or len(tree.items) != 1 or getattr(tree.items[0], "name", None) != t.Name(0, 0, new):
        raise NotRenamed(flaws[0].message if flaws else f"{new} is no name")
    for program in project.programs(file):
        for reading, one in program.occurrences():
            if one.key == (new, policy) and new != text:
                raise NotRenamed(f"{new} stands in {reading.name} already")
    return references(project, file, offset)
