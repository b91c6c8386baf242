"""Waiting until no packet is among rules of before.

The kernel takes packets through rules inside RCU read sections; who waits for a grace period (synchronize_rcu) has
seen all of them out that began before. That takes some milliseconds, 8 at a clock of 250 Hz.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time

_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "loongarch64": 283, "ppc64le": 365, "s390x": 356}
_GLOBAL = 1  # MEMBARRIER_CMD_GLOBAL
#: Longer than any packet is among rules, where nothing else can be had.
_LONG = 0.25


def settle() -> None:
    """Returns when every packet that was among rules at the call is through."""
    if not _barrier() and not _closed_socket():
        time.sleep(_LONG)


def _barrier() -> bool:
    """membarrier(2): "all running threads [...] pass through a state where all memory accesses match program order";
    kernel/sched/membarrier.c waits for a grace period, but not on a machine with one processor, and refuses on one with
    nohz_full."""
    number = _MEMBARRIER.get(os.uname().machine)
    if number is None or len(os.sched_getaffinity(0)) == 1:
        return False
    return bool(ctypes.CDLL(None).syscall(number, _GLOBAL, 0, 0) == 0)


def _closed_socket() -> bool:
    """A packet socket waits for a grace period when it is closed (packet_release, net/packet/af_packet.c)."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError:  # no CAP_NET_RAW
        return False
    return True


class Grace:
    """The same while something else is done: whoever has just changed rules begins it, whoever changes them next, or
    takes away what old ones led to, waits for the end."""

    def __init__(self) -> None:
        self._changed = threading.Event()
        self._through = threading.Condition()
        self._begun = self._ended = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="grace", daemon=True)
        self._thread.start()
        self.begin()  # whoever was here before may have changed something a moment ago

    def begin(self) -> None:
        """Packets that are among rules now are waited for."""
        self._begun += 1
        self._changed.set()

    def end(self) -> None:
        """Returns when all these are through, at once when there are none."""
        with self._through:
            self._through.wait_for(lambda: self._ended == self._begun)

    def close(self) -> None:
        self._closed = True
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while self._changed.wait() and not self._closed:
            self._changed.clear()
            begun = self._begun
            settle()
            with self._through:
                self._ended = begun
                self._through.notify_all()
