"""Writing results: all files whole, or everything as it was before."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from compiler.errors import Unwritable


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Writes `files` (relative path -> text) below `folder`.

    All files are complete, on disk and beside their places before the first one is moved there, so that a full disk
    changes nothing. When a move fails the earlier ones are taken back, and folders made for them are removed. A file
    that exists keeps its mode and owner; a symbolic link stays one, and its target is written, in a folder that must
    exist. Readers may see some new files beside some old ones while this runs. Raises Unwritable, which names the file.
    """
    place = folder
    try:
        # Left in this order: the way back needs what is left over, and a folder must be empty to go.
        with ExitStack() as folders, ExitStack() as leftovers, ExitStack() as moves:
            staged: list[tuple[Path, Path]] = []
            for name, text in files.items():
                place = folder / name
                target = _target(place)
                _make_folders(place.parent, folders)
                staged.append((_stage(target, text, leftovers), target))
            for temporary, place in staged:
                _move(temporary, place, moves, leftovers)
            moves.pop_all()  # it worked: nothing to take back
            folders.pop_all()
    except OSError as error:
        raise Unwritable(f"{place}: {error.strerror or error}") from None


def _target(place: Path) -> Path:
    """Where to write for `place`: what a link leads to. Only regular files are ever replaced."""
    target = Path(os.path.realpath(place))
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(target.stat().st_mode):
            raise OSError(f"not a regular file: {target}")
    return target


def _make_folders(folder: Path, made: ExitStack) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir()
        made.callback(_remove_folder, one)


def _remove_folder(folder: Path) -> None:
    with suppress(OSError):  # someone else put something there meanwhile
        folder.rmdir()


def _stage(place: Path, text: str, leftovers: ExitStack) -> Path:
    """The text in a file of its own in the folder of `place`, safely on disk."""
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    temporary = Path(name)
    leftovers.callback(temporary.unlink, missing_ok=True)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        _take_after(place, out.fileno())
        os.fsync(out.fileno())
    return temporary


def _take_after(place: Path, handle: int) -> None:
    """Gives a new file the mode and owner of the one that it will replace, or those that open() would give it."""
    try:
        model = place.stat()
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(handle, 0o666 & ~umask)
        return
    with suppress(PermissionError):  # only root gives files away
        os.fchown(handle, model.st_uid, model.st_gid)
    os.fchmod(handle, stat.S_IMODE(model.st_mode))


def _move(temporary: Path, place: Path, back: ExitStack, leftovers: ExitStack) -> None:
    """Puts the new file in its place, remembering the way back."""
    if place.exists():
        backup = temporary.with_name(temporary.name + ".old")
        leftovers.callback(backup.unlink, missing_ok=True)
        try:
            os.link(place, backup)
        except OSError:  # a file system without hard links
            shutil.copy2(place, backup)
        back.callback(os.replace, backup, place)
    else:
        back.callback(place.unlink, missing_ok=True)
    os.replace(temporary, place)
