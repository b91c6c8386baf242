"""What happens in folders, told by the kernel (inotify(7)); Python has no words for it, libc has."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_LIBC = ctypes.CDLL(None, use_errno=True)
_HEAD = struct.Struct("iIII")  # struct inotify_event, the name behind it

# linux/inotify.h
MODIFY, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
ATTRIB, DELETE_SELF, MOVE_SELF, OVERFLOW, IGNORED = 0x4, 0x400, 0x800, 0x4000, 0x8000
_WANTED = MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ATTRIB | DELETE_SELF | MOVE_SELF
_ONLY_FOLDERS = 0x01000000


@dataclass(frozen=True, slots=True)
class Event:
    """`path` of what it happened to; empty when events were lost. `mask` has the bits above."""

    path: str
    mask: int


class Inotify:
    """Folders that are watched, without what is in folders inside. `wake` ends a `read` from another thread."""

    def __init__(self) -> None:
        self._fd = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "")
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._folders: dict[int, str] = {}
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._poll.register(self._waker, select.POLLIN)

    def watch(self, folders: set[str]) -> None:
        """From now on these and no others. OSError, naming the folder, when one cannot be; those that are gone are
        passed over."""
        for number in [number for number, folder in self._folders.items() if folder not in folders]:
            _LIBC.inotify_rm_watch(self._fd, number)  # fails when the folder is gone already
            del self._folders[number]
        for folder in sorted(folders):
            try:
                found = _LIBC.inotify_add_watch(self._fd, os.fsencode(folder), _WANTED | _ONLY_FOLDERS)
                self._folders[_checked(found, folder)] = folder
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    raise

    def read(self, timeout: float) -> list[Event]:
        """What has happened, or happens within so many seconds."""
        self._poll.poll(max(0.0, timeout) * 1000)
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return []
        return list(self._events(data))

    def _events(self, data: bytes) -> Iterator[Event]:
        at = 0
        while at < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
            at += length
            if mask & OVERFLOW:
                yield Event("", mask)
            elif number in self._folders:
                yield Event(os.path.join(self._folders[number], name) if name else self._folders[number], mask)
            if mask & IGNORED:
                self._folders.pop(number, None)

    def wake(self) -> None:
        os.eventfd_write(self._waker, 1)

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._waker)


def _checked(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
