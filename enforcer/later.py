"""What need not hold up the next change of rules: done in a thread of its own, several changes in one go."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from compiler.errors import NetpolcError

log = logging.getLogger("netpolc")

#: What rules in force were made of.
_View = TypeVar("_View")


class Later(Generic[_View]):
    """Tells `told` of changes soon: of the first at once, of those that come meanwhile together, as one from what was
    before the first to what is now. `rest`: seconds between two times at least; and as long as the last one took, so
    that half of the time is left for others. What goes wrong is logged."""

    def __init__(self, told: Callable[[_View | None, _View], None], rest: float = 0.1) -> None:
        self._told, self._rest = told, rest
        self._lock = threading.Lock()
        self._pending: tuple[_View | None, _View] | None = None
        self._news, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="later", daemon=True)
        self._thread.start()

    def __call__(self, before: _View | None, now: _View) -> None:
        """Returns at once."""
        with self._lock:
            self._pending = (before if self._pending is None else self._pending[0], now)
        self._news.set()

    def close(self) -> None:
        """When all has been told."""
        self._stop.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._news.wait()
            with self._lock:
                pending, self._pending = self._pending, None
                self._news.clear()
            if pending is not None:
                begun = time.monotonic()
                self._tell(*pending)
                self._stop.wait(max(self._rest, time.monotonic() - begun))
            elif self._stop.is_set():
                return
            if self._stop.is_set():
                self._news.set()  # once more: for what came last, or to end

    def _tell(self, before: _View | None, now: _View) -> None:
        try:
            self._told(before, now)
        except OSError as error:
            log.warning("after a change of rules: %s", error)
        except NetpolcError as error:
            log.warning("after a change of rules: %s", error.render())
