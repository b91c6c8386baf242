"""Packets at full speed, each judged: a process of its own sends them through a rig and compares what comes out with
what is expected at that moment."""

from __future__ import annotations

import mmap
import os
import signal
import struct
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from tests.kernel.packets import Sendable, encode, serial_of
from tests.kernel.rig import Rig

#: What is expected of a packet.
EITHER, PASSES, DENIED = 0, 1, 2
_BATCH = 128  # the rig's device holds 500
_MOST = 255


class Flood:
    """`with Flood(rig, packets) as flood:`, then `expect` again and again. `sent` counts packets that were judged;
    `lost` and `leaked` have the numbers of packets that did not do what was expected, 255 times at most each."""

    def __init__(self, rig: Rig, packets: Sequence[Sendable]) -> None:
        self._rig, self._count = rig, len(packets)
        self._raw = [encode(packet, n + 1) for n, packet in enumerate(packets)]
        #: A number that is odd while expectations are written, then those, then what was lost and leaked, then `sent`.
        self._shared = mmap.mmap(-1, 1 + 3 * self._count + 8)
        self._child = 0

    def __enter__(self) -> Flood:
        self._child = os.fork()
        if not self._child:
            with suppress(BaseException):
                self._run()
            os._exit(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        ended, _ = os.waitpid(self._child, os.WNOHANG)
        assert not ended, "the sender has died"
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        self._passed(self._rig.ends[1])  # what it was about to read

    def expect(self, expected: Sequence[int]) -> None:
        """From now on; packets on their way are not judged."""
        shared = self._shared
        shared[0] = (shared[0] + 1) % 256
        shared[1 : 1 + self._count] = bytes(expected)
        shared[0] = (shared[0] + 1) % 256

    @property
    def sent(self) -> int:
        (number,) = struct.unpack_from("=Q", self._shared, 1 + 3 * self._count)
        return int(number)

    @property
    def lost(self) -> dict[int, int]:
        return self._counted(1 + self._count)

    @property
    def leaked(self) -> dict[int, int]:
        return self._counted(1 + 2 * self._count)

    def _counted(self, at: int) -> dict[int, int]:
        return {n: times for n, times in enumerate(self._shared[at : at + self._count]) if times}

    # In the process of its own

    def _run(self) -> None:
        shared, total = self._shared, 0
        tin, tout = self._rig.ends
        while True:
            for first in range(0, self._count, _BATCH):
                number = shared[0]
                wanted = shared[1 + first : 1 + min(first + _BATCH, self._count)]
                for n, one in enumerate(wanted, first):
                    if one:
                        os.write(tin, self._raw[n])
                passed = self._passed(tout)
                if number % 2 or shared[0] != number:
                    continue
                for n, one in enumerate(wanted, first):
                    if one and (n in passed) != (one == PASSES):
                        at = 1 + n + self._count * (1 if one == PASSES else 2)
                        shared[at] = min(shared[at] + 1, _MOST)
                total += len(wanted) - wanted.count(EITHER)
                struct.pack_into("=Q", shared, 1 + 3 * self._count, total)

    @staticmethod
    def _passed(tout: int) -> set[int]:
        found = set()
        with suppress(BlockingIOError):
            while True:
                serial = serial_of(os.read(tout, 2048))
                if serial is not None:
                    found.add(serial - 1)
        return found
