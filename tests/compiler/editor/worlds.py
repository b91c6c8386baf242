"""Workspaces of texts, without a disk."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

from compiler.editor.project import Project
from compiler.resources.language import Program
from compiler.translate.program import check_program
from grammar.source import printable

Include = Callable[[str, str], tuple[str, bytes] | str]


def among(texts: Mapping[str, bytes]) -> Include:
    """What finds included files among texts by their names."""

    def include(file: str, path: str) -> tuple[str, bytes] | str:
        name = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
        return (name, texts[name]) if name in texts else "No such file or directory"

    return include


def check(program: Program) -> None:
    """As for no cluster."""
    check_program(program, ())


class World:
    """Texts that change, and the project that they are."""

    def __init__(self, **texts: str) -> None:
        self.texts: dict[str, bytes] = {}
        self.project = Project(lambda file, path: among(self.texts)(file, path))
        self.put(**texts)

    def put(self, **texts: str) -> None:
        """Changes texts, by their names without .np."""
        self.texts |= {f"{name}.np": text.encode("utf-8", "surrogatepass") for name, text in texts.items()}
        self.look()

    def look(self) -> None:
        self.project.see(self.texts, check)

    def wrong(self) -> dict[str, list[str]]:
        """File -> `LINE:COLUMN: MESSAGE [CODE]`, of those with any."""
        return {
            name: [f"{one.span.line}:{one.span.column}: {printable(one.message)} [{one.code}]" for one in flaws]
            for name, flaws in self.project.flaws().items()
            if flaws
        }
