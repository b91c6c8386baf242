"""`--cluster DIR`: the cluster is what a folder of manifests says, watched while people edit it.

Everything that an editor or a tool does to save a file is several steps (emptied, written, closed; or written beside
it and renamed; of a ConfigMap, a link that changes where it leads). So a file that is open for writing counts with what
it said before, and nothing is read until nothing has happened for a moment, a longer one when a file is missing.
Symbolic links are followed, and where they lead is watched, too.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Condition, Thread

from compiler.cli.inputs import LANGUAGE, SUFFIXES, including, texts
from compiler.errors import Unreadable
from compiler.live.batch import Batch
from compiler.resources.language import NO_PROGRAM, Program
from enforcer.sources.inotify import (
    CLOSE_WRITE,
    DELETE,
    IGNORED,
    MODIFY,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOW,
    Event,
    Inotify,
)
from enforcer.sources.saved import Saved, read
from enforcer.sources.source import Problem

log = logging.getLogger("netpolc")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds without any event before the folder is read: usually, and when a file of before is missing; `latest`:
    after which it is read whatever happens. `look`: how often it is looked at anyway, for file systems that tell
    nothing. `open`: after which a file that somebody keeps open for writing is reported."""

    settled: float = 0.05
    missing: float = 0.3
    latest: float = 2
    look: float = 10
    open: float = 5


class Folder:
    """A source (`enforcer.sources.source`)."""

    def __init__(self, path: str, patience: Patience = Patience(), clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._patience, self._clock = os.path.normpath(path), patience, clock
        self._inotify = Inotify()
        self._thread = Thread(target=self._watch, name="folder", daemon=True)
        self._stopped = False
        #: Guards what both threads use: everything down to the empty line.
        self._news = Condition()
        self._saved: Saved | None = None
        self._taken = Saved()
        self._waiting = False
        self._problems: tuple[Problem, ...] = ()

        #: Files that somebody is writing, and since when.
        self._writing: dict[str, float] = {}
        self._included: set[str] = set()
        #: Real paths: folders that are searched, and files of others that count.
        self._inside: set[str] = set()
        self._targets: set[str] = set()
        self._seen: object = None

    # For the reconciler

    def start(self) -> None:
        self._thread.start()

    def wait(self, timeout: float) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self._waiting, timeout)

    def take(self) -> Batch:
        with self._news:
            self._waiting = False
            if self._saved is None:
                return Batch()
            before, self._taken = self._taken, self._saved
            return self._taken.since(before)

    @property
    def synced(self) -> bool:
        with self._news:
            return self._saved is not None

    @property
    def program(self) -> Program:
        with self._news:
            return self._taken.program if self._saved is not None else NO_PROGRAM

    def problems(self) -> tuple[Problem, ...]:
        with self._news:
            return self._problems

    def stop(self) -> None:
        self._stopped = True
        self._inotify.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._inotify.close()

    # The thread

    def _watch(self) -> None:
        begun: float | None = self._clock()
        read_at = self._clock() + self._patience.settled
        self._watch_folders()
        while not self._stopped:
            events = self._inotify.read(min(read_at - self._clock(), self._patience.look))
            relevant = [event for event in events if self._is_ours(event)]
            for event in relevant:
                self._note_writer(event)
            now = self._clock()
            if relevant:
                begun = begun if begun is not None else now
                quiet = self._patience.missing if self._misses() else self._patience.settled
                read_at = min(now + quiet, begun + self._patience.latest)
            elif now >= read_at:
                begun = None
                self._watch_folders()
                read_at = now + (self._patience.look if self._read() else self._patience.settled)

    def _is_ours(self, event: Event) -> bool:
        """Whether it may change what the folder says. Beside it are folders that links lead to."""
        if event.mask & OVERFLOW:
            return True
        folder, name = os.path.split(event.path)
        if event.mask & IGNORED or (folder not in self._inside and event.path not in self._targets):
            return False
        wanted = name.endswith((*SUFFIXES, LANGUAGE)) or name.startswith("..")
        return wanted or event.path in self._targets or "." not in name or os.path.isdir(event.path)

    def _note_writer(self, event: Event) -> None:
        if event.mask & OVERFLOW:
            self._writing.clear()
        elif event.mask & MODIFY:
            self._writing.setdefault(event.path, self._clock())
        elif event.mask & (CLOSE_WRITE | MOVED_TO | MOVED_FROM | DELETE):
            self._writing.pop(event.path, None)

    def _misses(self) -> bool:
        """Whether a file is gone that counts as yet."""
        return self._saved is not None and not all(map(os.path.exists, self._saved.files))

    def _read(self) -> bool:
        """Looks at the folder, and tells when it says something else. False: somebody changed it meanwhile."""
        before = self._saved
        try:
            seen = tuple(self._signature())
            late = [path for path, since in self._writing.items() if self._clock() - since >= self._patience.open]
            if (seen, late) == self._seen:
                return True
            files = dict(self._contents(before))
            saved, problems = read(files, before, self._including(files))
            if seen != tuple(self._signature()):
                return False
        except Unreadable as error:
            saved, problems = before, (Problem(self._path, error.render()),)
        except OSError as error:
            saved, problems = before, (Problem(self._path, f"{error.filename}: {error.strerror}"),)
        else:
            self._seen = (seen, late)
            problems += tuple(Problem(path, f"{path}: is being written; it counts as before") for path in late)
        self._publish(saved, problems)
        return True

    def _publish(self, saved: Saved | None, problems: tuple[Problem, ...]) -> None:
        for problem in problems:
            if problem not in self._problems:
                log.error("%s\nwhat was there before counts", problem.text, extra={"data": {"about": problem.about}})
        with self._news:
            known = self._saved
            other = saved is not None and (
                known is None or saved.files != known.files or saved.program != known.program
            )
            self._saved, self._problems = saved, problems
            self._waiting |= other
            self._news.notify_all()

    def _contents(self, before: Saved | None) -> Iterator[tuple[str, bytes]]:
        """The files of the folder, those that are being written as they were before. Raises Unreadable."""
        known = {} if before is None else before.files
        for name, data in texts([self._path], (*SUFFIXES, LANGUAGE)):
            if os.path.realpath(name) not in self._writing:
                yield name, data
            elif name in known:
                yield name, known[name]

    def _including(self, files: dict[str, bytes]) -> Callable[[str, str], tuple[str, bytes] | str]:
        """As `netpolc compile` finds included files, which are watched from then on; those of the folder count as
        they were read."""
        find = including(name for name in files if name.endswith(LANGUAGE))

        def include(file: str, path: str) -> tuple[str, bytes] | str:
            found = find(file, path)
            if isinstance(found, str):
                return found
            self._included.add(found[0])
            return found[0], files.get(found[0], found[1])

        return include

    def _signature(self) -> Iterator[tuple[object, ...]]:
        """Changes whenever some file does."""
        for path in sorted({*self._files(), *self._included}):
            real = os.path.realpath(path)
            try:
                found = os.stat(real)
            except FileNotFoundError:
                continue
            yield path, real, real in self._writing, found.st_ino, found.st_size, found.st_mtime_ns

    def _folders(self) -> Iterator[tuple[str, list[str]]]:
        for folder, folders, files in os.walk(self._path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield folder, files

    def _files(self) -> Iterator[str]:
        for folder, files in self._folders():
            yield from (os.path.join(folder, name) for name in files if name.endswith((*SUFFIXES, LANGUAGE)))

    def _watch_folders(self) -> None:
        """All that may change what is read: the folders, those that links lead to, and the one around."""
        around, name = os.path.split(os.path.abspath(self._path))
        self._inside = {os.path.realpath(folder) for folder, _ in self._folders()}
        self._targets = {os.path.realpath(path) for path in (*self._files(), *self._included)}
        beside = {os.path.dirname(path) for path in self._targets} | {os.path.realpath(around)}
        self._targets.add(os.path.join(os.path.realpath(around), name))
        try:
            self._inotify.watch(self._inside | beside)
        except OSError as error:
            text = "%s: cannot be watched (%s); it is looked at every %g s"
            log.warning(text, error.filename, error.strerror, self._patience.look)
