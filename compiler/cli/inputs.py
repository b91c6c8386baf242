"""Reading what the user named: files, folders and standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from compiler.errors import Unreadable

SUFFIXES = (".yaml", ".yml", ".json")


def texts(inputs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """(name as shown in messages, content) of every file named or found in a named folder, in a stable order.

    Folders are searched to any depth for YAML and JSON; hidden files and folders are passed over. `-` is standard
    input. Unreadable is raised for what is missing or cannot be read.
    """
    for name in inputs:
        path = Path(name)
        if name == "-":
            yield "-", sys.stdin.buffer.read()
        elif path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file() and not _hidden(p, path))
            if not found:
                raise Unreadable(f"{name}: no {', '.join(SUFFIXES)} file in this folder")
            for inner in found:
                yield str(inner), _read(inner)
        else:
            yield name, _read(path)


def _hidden(path: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(top).parts)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from None
