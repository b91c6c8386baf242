"""Reading what the user named: files, folders and standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from compiler.errors import Unreadable

SUFFIXES = (".yaml", ".yml", ".json")
#: Files of the policy language, which only `compile`, `verify` and `fmt` read as yet.
LANGUAGE = ".np"


def texts(inputs: Sequence[str], suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[tuple[str, bytes]]:
    """(name as shown in messages, content) of every file named or found in a named folder, in a stable order; a
    file that is named twice, or stands in a named folder besides, comes once.

    Folders are searched to any depth for files with one of `suffixes`; hidden files and folders are passed over. `-`
    is standard input. Unreadable is raised for what is missing or cannot be read: for all of that at once, before any
    content. So it is for standard input without anything: a command before the pipe failed, and rules made of nothing
    would open all that earlier ones denied. And for policies in a language that was not asked for, those of folders
    among them: no policy is passed over.
    """
    problems: list[str] = []
    found = [path for name in inputs for path in _files(name, suffixes, problems)]
    if LANGUAGE not in suffixes:
        text = "only netpolc compile, verify and fmt read the policy language as yet"
        problems += [f"{path}: {text}" for path in found if path.endswith(LANGUAGE)]
    problems += [f"{path}: Permission denied" for path in found if path != "-" and not os.access(path, os.R_OK)]
    if problems:
        raise Unreadable(*problems)
    seen: set[str] = set()
    for path in found:
        real = path if path == "-" else os.path.realpath(path)
        if real not in seen:
            seen.add(real)
            yield path, _read(path)


def _files(name: str, suffixes: tuple[str, ...], problems: list[str]) -> list[str]:
    """The files that `name` stands for."""
    if name == "-":
        return [name]
    if not os.path.isdir(name):
        if not os.path.exists(name):
            problems.append(f"{name}: No such file or directory")
            return []
        return [name]
    found: list[str] = []
    errors: list[OSError] = []
    wanted = (*suffixes, LANGUAGE)
    for folder, folders, files in os.walk(name, onerror=errors.append):
        folders[:] = [f for f in folders if not f.startswith(".")]
        found += (os.path.join(folder, f) for f in files if not f.startswith(".") and f.endswith(wanted))
    found = sorted(filter(os.path.isfile, found))
    problems += map(_reason, errors)
    if not found and not errors:
        problems.append(f"{name}: no {', '.join(suffixes)} file in this folder")
    return found


def including(named: Iterable[str]) -> Callable[[str, str], tuple[str, bytes] | str]:
    """What finds the files that programs include, relative to the including one: (its name, path as written) -> name
    and content, or why it cannot be had. A file has one name: that of `named` if it is there, else as first met."""
    known = {os.path.realpath(path): path for path in reversed([*named])}

    def include(file: str, path: str) -> tuple[str, bytes] | str:
        there = os.path.join(os.path.dirname(file), path)
        name = known.setdefault(os.path.realpath(there), os.path.normpath(there))
        try:
            return name, Path(name).read_bytes()
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)

    return include


def _read(path: str) -> bytes:
    try:
        found = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise Unreadable(_reason(error) if error.filename else f"{path}: {error.strerror or error}") from None
    if path == "-" and not found.strip():
        raise Unreadable("-: nothing came from standard input")
    return found


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror or error}"
