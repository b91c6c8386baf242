"""Packets without a pause, each judged the moment it is sent: what a change of rules loses or leaks cannot hide."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from tests.kernel.packets import Sendable, encode
from tests.kernel.rig import Rig


class Stream:
    """`with Stream(rig, allowed, denied) as stream:` sends both kinds in turn, from a thread of its own, to the end of
    the block. `lost` counts allowed packets that were not forwarded, `leaked` denied ones that were; `sent` all."""

    def __init__(self, rig: Rig, allowed: Sequence[Sendable], denied: Sequence[Sendable]) -> None:
        self.sent = 0
        self.lost: Counter[str] = Counter()
        self.leaked: Counter[str] = Counter()
        self._rig = rig
        self._packets: list[tuple[bytes, bool, str]] = []
        self.with_more(allowed, denied)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def with_more(self, allowed: Sequence[Sendable], denied: Sequence[Sendable]) -> Stream:
        """The same stream, before it begins, with these, too."""
        for packet, expected in [*((p, True) for p in allowed), *((p, False) for p in denied)]:
            self._packets.append((encode(packet, len(self._packets)), expected, str(packet)))
        return self

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        passes = self._rig.passes
        while not self._stop.is_set():
            for raw, expected, text in self._packets:
                if passes(raw) != expected:
                    (self.lost if expected else self.leaked)[text] += 1
            self.sent += len(self._packets)
