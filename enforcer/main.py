"""The daemon: a source, a dataplane and the reconciler between them, and everybody who wants to know how it is."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from types import FrameType

from compiler.errors import NetpolcError
from enforcer.dataplane import Dataplane
from enforcer.place import Place
from enforcer.reconcile import Engine, Pace, Reconciler, View
from enforcer.sources.source import Source
from enforcer.telling.answers import Answer, Answers, Server, as_json, text
from enforcer.telling.hearing import Hearing
from enforcer.telling.logs import utc
from enforcer.telling.manifests import objects
from enforcer.telling.metrics import CONTENT_TYPE, Metrics, Seen
from enforcer.telling.notify import Notifier

log = logging.getLogger("netpolc")

#: Seconds without a turn after which something hangs. The first compile of a large cluster takes some.
HANGS = 120
VERSION = importlib.metadata.version("netpolc")


@dataclass(frozen=True, slots=True)
class Settings:
    """`cluster`: what the source is, in words. `listen`: address and port for everybody; None: only the socket.
    `log_group`: the NFLOG group that rules copy denied packets to; None: nobody tells of them."""

    node: str
    backend: str
    cluster: str
    listen: tuple[str, int] | None
    once: bool = False
    log_group: int | None = None


#: Told of rules that are in force now, with what those of before were made of.
Applied = Callable[[View | None, View], None]


class Daemon:
    """`place` is taken by whoever makes it. `applied`: who else is told of changes."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        dataplane: Dataplane,
        engine: Engine,
        place: Place,
        applied: Sequence[Applied] = (),
    ) -> None:
        self._settings, self._source, self._dataplane, self._place = settings, source, dataplane, place
        self._applied = tuple(applied)
        self._reconciler = Reconciler(source, dataplane, engine, time.monotonic, Pace(), self._after_a_change)
        self._notifier = Notifier()
        self._meter = Metrics(self._seen)
        self._started = time.time()
        self._stopping = ""
        self._hearing: Hearing | None = None

    def run(self) -> int:
        """Until a signal asks to stop; `once`: until the rules are in force. Exit status 0; 1 when `once` and something
        is wrong. The rules stay."""
        with ExitStack() as ending:
            ending.enter_context(self._signals())
            ending.callback(self._dataplane.close)
            ending.callback(self._notifier.stopping)
            ending.callback(Server(self._place.socket, self._answers(local=True)).close)
            if self._settings.listen is not None:
                ending.callback(Server(self._settings.listen, self._answers(local=False)).close)
            if (hearing := self._hear()) is not None:
                ending.callback(hearing.close)
            self._source.start()
            ending.callback(self._source.stop)
            log.info("started", extra={"data": {**asdict(self._settings), "pid": os.getpid()}})
            return self._turns()

    def _turns(self) -> int:
        state, ready = self._reconciler.state, False
        while not self._stopping:
            self._reconciler.turn()
            self._notifier.alive()
            self._notifier.status(self._summary())
            if state.in_sync and not ready:
                ready = True
                gc.collect()
                gc.freeze()  # what was listed stays: looks for garbage pass it over from now on
                self._notifier.ready()
            failed = self._settings.once and bool(self._reconciler.problems())
            if self._settings.once and (state.in_sync or failed):
                return 1 if failed else 0
        log.info("stopped by %s; the rules stay", self._stopping)
        return 1 if self._settings.once else 0

    def _after_a_change(self, before: View | None, now: View) -> None:
        """The rules are in force whatever becomes of this."""
        for told in self._applied:
            try:
                told(before, now)
            except OSError as error:
                log.warning("after a change of rules: %s", error)
            except NetpolcError as error:
                log.warning("after a change of rules: %s", error.render())
            except Exception:
                log.exception("after a change of rules: internal error: this is a defect of netpolc")

    def _hear(self) -> Hearing | None:
        """Begins to tell of denied packets. Where somebody else hears of them already, nobody does here."""
        group = self._settings.log_group
        if group is None:
            return None
        try:
            self._hearing = Hearing(group, self._settings.node, lambda: self._reconciler.state.view)
        except OSError as error:
            log.warning("denied packets are not told of: NFLOG group %d: %s", group, error.strerror)
        return self._hearing

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self._stopping = signal.Signals(number).name

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # For others

    def _summary(self) -> str:
        state = self._reconciler.state
        if not state.synced:
            return "waiting for the cluster; nothing is written before"
        problems = len(self._reconciler.problems())
        wrong = f", {problems} problem{'s' * (problems > 1)}" if problems else ""
        return f"{'in sync' if state.in_sync else 'not in sync'}{wrong}"

    def _answers(self, local: bool) -> Answers:
        everybody: Answers = {"/healthz": self._health, "/readyz": self._readiness, "/metrics": self._metrics}
        return {**everybody, "/status": self._status, "/snapshot": self._snapshot} if local else everybody

    def _health(self) -> Answer:
        behind = time.monotonic() - self._reconciler.state.turned_at
        return text(200, "ok") if behind < HANGS or not self._reconciler.state.turned_at else text(503, "hangs")

    def _readiness(self) -> Answer:
        return text(200 if self._reconciler.state.in_sync else 503, self._summary())

    def _metrics(self) -> Answer:
        return 200, CONTENT_TYPE, self._meter.page()

    def _seen(self) -> Seen:
        state, problems = self._reconciler.state, len(self._reconciler.problems())
        applied_at = None if state.applied_at is None else _since_1970(state.applied_at)
        told = 0 if self._hearing is None else self._hearing.told
        return Seen(self._settings.node, self._settings.backend, VERSION, state, problems, applied_at, told)

    def _status(self) -> Answer:
        state, view = self._reconciler.state, self._reconciler.state.view
        found: dict[str, object] = {
            "node": self._settings.node,
            "backend": self._settings.backend,
            "cluster": self._settings.cluster,
            "pid": os.getpid(),
            "started": utc(self._started),
            "summary": self._summary(),
            "synced": state.synced,
            "in_sync": state.in_sync,
            "proved": state.proved,
            "problems": [asdict(problem) for problem in self._reconciler.problems()],
            "remarks": list(state.remarks),
            "closed": sorted(state.barred),
            "chains": len(state.actual.chains),
            "sets": len(state.actual.sets),
            "counts": asdict(state.counts),
        }
        if state.applied_at is not None:
            found["last_change"] = utc(_since_1970(state.applied_at))
        if view is not None:
            local = sum(pod.node == self._settings.node for pod in view.snapshot.pods)
            found |= {"policies": len(view.policies), "pods": len(view.snapshot.pods), "local_pods": local}
        return as_json(found)

    def _snapshot(self) -> Answer:
        view = self._reconciler.state.view
        if view is None:
            return text(503, "no rules of this run are in force yet")
        lines = (json.dumps(one, ensure_ascii=False) for one in objects(view.policies, view.snapshot))
        return 200, "application/yaml", "".join(f"---\n{line}\n" for line in lines).encode()


def _since_1970(at: float) -> float:
    """The seconds of a moment that the clock of the daemon, which never goes back, gave."""
    return time.time() - (time.monotonic() - at)
