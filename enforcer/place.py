"""Where a daemon stands in its machine: the lock and the socket of a network namespace, in a folder for all of them.

INODE.lock   held as long as an enforcer runs in the namespace of that inode
INODE.sock   where it answers (`answers`)
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from compiler.errors import Unwritable

STATE_DIR = Path("/run/netpolc")


class Running(Exception):
    """An enforcer runs in this network namespace already; `pid` is its process, "" when nobody can tell."""

    def __init__(self, pid: str) -> None:
        self.pid = pid
        super().__init__(f"an enforcer runs in this network namespace already (process {pid or 'unknown'})")


class Place:
    """The network namespace of the calling thread. `folder` is made when it is not there; only root may look in."""

    def __init__(self, folder: Path) -> None:
        self._inode = os.stat("/proc/thread-self/ns/net").st_ino
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Unwritable(f"{folder}: {error.strerror}") from None
        self._lock: int | None = None

    @property
    def socket(self) -> str:
        """The path of the socket, short enough for any folder (sun_path has 108 characters)."""
        return f"/proc/self/fd/{self._folder}/{self._inode}.sock"

    def take(self) -> None:
        """Takes the place, until `leave` or the end of the process. Raises Running."""
        lock = os.open(f"{self._inode}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 20).decode("ascii", "replace").strip()
            os.close(lock)
            raise Running(pid) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock
        with suppress(FileNotFoundError):  # of one that was killed
            os.unlink(f"{self._inode}.sock", dir_fd=self._folder)

    def leave(self) -> None:
        if self._lock is not None:
            with suppress(FileNotFoundError):
                os.unlink(f"{self._inode}.sock", dir_fd=self._folder)
            os.close(self._lock)  # the file stays: who waits for it holds the same one
            self._lock = None
        os.close(self._folder)
