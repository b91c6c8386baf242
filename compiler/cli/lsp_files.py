"""The files that an editor works on: its buffers where it has some, else what is on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import pathname2url

from compiler.cli.inputs import LANGUAGE

#: Files and folders that are looked at when a workspace is searched; a larger one is searched so far.
MOST = 100_000
_Made = TypeVar("_Made")


class Files:
    """Buffers by URI, and the disk. A file goes by its path below the workspace's folder if it has but one, else by its
    whole path; what is no file at all by its URI."""

    def __init__(self) -> None:
        self.folders: tuple[str, ...] = ()
        self._buffers: dict[str, str] = {}  # URI -> text
        self._uris: dict[str, str] = {}  # name -> URI, of buffers
        self._found: tuple[str, ...] = ()
        self._disk: dict[str, tuple[object, bytes]] = {}

    # ---- Names

    def name(self, uri: str) -> str:
        """What the file of a URI is called."""
        path = path_of(uri)
        return self._called(path) if path is not None else uri

    def uri(self, name: str) -> str:
        """The URI by which the editor knows a file."""
        if name in self._uris or "://" in name:
            return self._uris.get(name, name)
        return "file://" + pathname2url(self.path(name))

    def path(self, name: str) -> str:
        """Where a file is, or would be."""
        return os.path.join(self.folders[0] if self.folders else os.getcwd(), name)

    def _called(self, path: str) -> str:
        real = os.path.realpath(path)
        root = os.path.realpath(self.folders[0]) if len(self.folders) == 1 else ""
        return os.path.relpath(real, root) if root and real.startswith(root.rstrip("/") + "/") else real

    # ---- Buffers

    def put(self, uri: str, text: str) -> None:
        """A buffer as it is now."""
        self._buffers[uri] = text
        self._uris[self.name(uri)] = uri

    def drop(self, uri: str) -> None:
        """The editor closed a buffer: its file is what is on disk."""
        self._buffers.pop(uri, None)
        self._uris.pop(self.name(uri), None)

    def buffer(self, uri: str) -> str | None:
        """The text of a buffer; None when there is none."""
        return self._buffers.get(uri)

    # ---- Contents

    def search(self, folders: Sequence[str]) -> bool:
        """Looks for files in the folders of the workspace. Whether all of it was looked at."""
        self.folders = tuple(folders)
        self._uris = {self.name(uri): uri for uri in self._buffers}
        found: list[str] = []
        seen = 0
        for folder in folders:
            for place, inner, files in os.walk(folder):
                inner[:] = sorted(one for one in inner if not one.startswith(".") and one != "node_modules")
                found += (os.path.join(place, one) for one in files if one.endswith(LANGUAGE) and one[0] != ".")
                seen += len(inner) + len(files)
                if seen > MOST:
                    break
        self._found = tuple(dict.fromkeys(map(self._called, sorted(found))))
        return seen <= MOST

    def texts(self) -> Mapping[str, bytes]:
        """Name -> content of every file of the workspace, and of every buffer."""
        found = {name: one for name in (*self._found, *self._uris) if not isinstance(one := self._read(name), str)}
        return dict(sorted(found.items()))

    def include(self, file: str, path: str) -> tuple[str, bytes] | str:
        """The file that another one includes: its name and content, or why it cannot be had."""
        if "\0" in path:
            return "embedded null byte"
        name = self._called(os.path.join(os.path.dirname(self.path(file) if "://" not in file else ""), path))
        found = self._read(name)
        return found if isinstance(found, str) else (name, found)

    def _read(self, name: str) -> bytes | str:
        uri = self._uris.get(name)
        if uri is not None:
            return self._buffers[uri].encode("utf-8", "surrogatepass")
        path = self.path(name)
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                return "Is a directory" if stat.S_ISDIR(status.st_mode) else "not a file"
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if path not in self._disk or self._disk[path][0] != state:
                self._disk[path] = state, Path(path).read_bytes()
            return self._disk[path][1]
        except (OSError, ValueError) as error:
            return getattr(error, "strerror", None) or str(error)


def path_of(uri: str) -> str | None:
    """The path of a file's URI; None for what is no file."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote(parts.path)
    return path if parts.scheme == "file" and path.startswith("/") and "\0" not in path else None


class Watched(Generic[_Made]):
    """Something made of files and folders, made again when any of them has changed."""

    def __init__(self, paths: Sequence[str], make: Callable[[], _Made]) -> None:
        self._paths, self._make = paths, make
        self._made: tuple[object, _Made] | None = None

    @property
    def last(self) -> _Made:
        """What was made last: nothing is looked at."""
        return self._made[1] if self._made is not None else self.get()

    def get(self) -> _Made:
        """What was made last, or anew."""
        state = tuple(sorted(_states(self._paths)))
        if self._made is None or self._made[0] != state:
            self._made = state, self._make()
        return self._made[1]


def _states(paths: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    for path in paths:
        inside = [path] if not os.path.isdir(path) else []
        for place, folders, files in os.walk(path):
            folders[:] = [one for one in folders if not one.startswith(".")]
            inside += (os.path.join(place, one) for one in files)
        for one in inside:
            try:
                status = os.stat(one)
            except OSError:
                continue
            yield one, status.st_mtime_ns, status.st_size
