"""Texts of the policy language -> one `Program`: files that include each other, names, types and families.

What one file says wrong by itself is told by the parser; everything else here, all problems of a run together. A file
that cannot be parsed ends the run before names are asked: what it would have defined is not known.
"""

from __future__ import annotations

from collections.abc import Iterable

from compiler.errors import Collector
from compiler.resources.language import Program
from compiler.sources.language.files import Include, Reader, read
from compiler.sources.language.names import Names
from compiler.sources.language.statements import statements
from grammar import dsl


def load(texts: Iterable[tuple[str, bytes]], include: Include, reader: Reader = dsl.read) -> Program:
    """The program that these texts are, each with the name that messages give it, and those that they include.
    Raises InvalidInput with every problem of the run."""
    problems = Collector()
    files = read(texts, include, problems, reader)
    problems.check()
    found = statements(files, Names(files, problems), problems)
    problems.check()
    return found
