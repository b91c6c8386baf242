"""The cluster as an API server shows it: a source of batches.

A thread for each kind lists and watches; what they see meets in the cache, under one lock. One more tells the cluster
of policies that cannot be enforced as they are written.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from random import Random

from compiler.live.batch import Batch
from compiler.resources.language import NO_PROGRAM, Program
from enforcer.api.cache import Cache
from enforcer.api.events import Events
from enforcer.api.objects import Read
from enforcer.api.reflector import TIMING, Reflector, Timing
from enforcer.api.transport import Transport
from enforcer.api.wire import KINDS, Key, Kind
from enforcer.sources.source import Problem

#: Seconds that `stop` waits for threads. One that is still being connected ends by itself, and is heard no more.
STOPPING = 0.9


class Cluster:
    """A `source.Source`. `random` makes the jitter: give each machine its own. `node`: whose enforcer makes Events; ""
    where nobody does."""

    def __init__(
        self,
        transport: Transport,
        kinds: Iterable[Kind] = KINDS,
        timing: Timing = TIMING,
        random: Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        node: str = "",
    ) -> None:
        kinds = tuple(kinds)
        random = random or Random()
        self._transport = transport
        self._cache = Cache(kinds)
        self._changed = threading.Condition()  # its lock guards the cache and the troubles
        self._troubles: dict[Kind, str] = {}
        self._over = threading.Event()
        self._lists, self._frozen = 0, False
        self._events = Events(transport, node, self.problems, monotonic) if node else None
        reflectors = [
            Reflector(kind, transport, self, self._over.wait, monotonic, Random(random.random()), timing)
            for kind in kinds
        ]
        self.threads = [
            threading.Thread(target=one.run, name=f"watch-{one.kind.resource}", daemon=True) for one in reflectors
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()
        if self._events is not None:
            self._events.start()

    def wait(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._cache.changed, timeout)

    def take(self) -> Batch:
        with self._changed:
            return self._cache.take()

    @property
    def synced(self) -> bool:
        return self._cache.synced

    @property
    def program(self) -> Program:
        """Policies of an API server say nothing in the policy language."""
        return NO_PROGRAM

    def problems(self) -> tuple[Problem, ...]:
        with self._changed:
            troubles = tuple(
                Problem(f"{kind.resource} of {self._transport.server}", text) for kind, text in self._troubles.items()
            )
            return troubles + self._cache.problems()

    def stop(self) -> None:
        self._over.set()
        self._transport.stop()
        if self._events is not None:
            self._events.stop()
        until = time.monotonic() + STOPPING
        for thread in self.threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    # What reflectors tell: `reflector.Sink`. Each kind is told of by one thread alone, which asks without the lock.

    def version(self, kind: Kind, key: Key) -> int | None:
        return self._cache.version(kind, key)

    def at(self, kind: Kind) -> int:
        return self._cache.at(kind)

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Many objects are made, all of which stay: Python's search for cycles among them would take as long as
        reading them. Once everything has been seen, what there is then is never looked through again."""
        with self._changed:
            self._lists += 1
            gc.disable()
        try:
            yield
        finally:
            with self._changed:
                self._lists -= 1
                if not self._lists:
                    gc.enable()
                if self.synced and not self._frozen:
                    self._frozen = True
                    gc.freeze()

    def listed(self, kind: Kind, version: int, found: Mapping[Key, tuple[int, Read] | None]) -> None:
        with self._changed:
            if not self._over.is_set():
                self._cache.listed(kind, version, found)
                self._changed.notify_all()

    def happened(self, kind: Kind, key: Key, version: int, read: Read | None) -> bool:
        with self._changed:
            if self._over.is_set():
                return True
            known = self._cache.happened(kind, key, version, read)
            self._changed.notify_all()
            return known

    def passed(self, kind: Kind, version: int) -> None:
        with self._changed:
            self._cache.passed(kind, version)

    def trouble(self, kind: Kind, text: str) -> None:
        with self._changed:
            if text:
                self._troubles[kind] = text
            else:
                self._troubles.pop(kind, None)
