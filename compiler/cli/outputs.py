"""Writing results: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from compiler.errors import Unwritable


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Writes `files` (relative paths) below `folder`: all are complete beside their places before the first one is
    moved there. Unwritable is raised when that fails; then no file was changed that is not whole."""
    pending: list[tuple[str, Path]] = []
    try:
        for name, text in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
            pending.append((temporary, place))
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(temporary, 0o644)
        while pending:
            temporary, place = pending[0]
            os.replace(temporary, place)
            pending.pop(0)
    except OSError as error:
        raise Unwritable(f"{folder}: {error.strerror or error}") from None
    finally:
        for temporary, _ in pending:
            Path(temporary).unlink(missing_ok=True)
