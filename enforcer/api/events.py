"""Kubernetes Events on policies that cannot be enforced as they are written, for their authors to find.

An Event is named after what it says: the enforcers of all nodes, which see the same, make one of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from threading import Event, Thread

from enforcer.api.transport import Lost, Refusal, Transport
from enforcer.api.wire import POLICIES, Key, Kind, Object
from enforcer.sources.source import Problem

log = logging.getLogger("netpolc")

CONTROLLER, REASON, ACTION = "netpolc.io/enforcer", "NotEnforcedAsWritten", "Enforce"
#: Where Events on objects without a namespace are (events.k8s.io/v1: regarding).
_DEFAULT = "default"
_LONGEST = 1024  # events.k8s.io/v1, note: "less than 1kB"
#: Seconds: between two looks; after which an Event that still holds is made again, as servers forget them
#: (kube-apiserver, --event-ttl); of silence of the server.
LOOK, AGAIN, SILENCE = 2.0, 3600.0, 10.0
#: Events at one look. Those beyond come with the next.
MOST = 20
_EXISTS, _FORBIDDEN = 409, 403
_KINDS = {kind.name.lower(): kind for kind in POLICIES}


def regarding(problem: Problem) -> tuple[Kind, Key] | None:
    """The policy that a problem is about (`wire.Kind.place`); None when it is about something else."""
    name, _, place = problem.about.partition(" ")
    kind = _KINDS.get(name)
    if kind is None or not place:
        return None
    namespace, _, policy = place.rpartition("/")
    return kind, (namespace, policy)


def event(problem: Problem, node: str, at: float) -> tuple[str, Object] | None:
    """Where an Event is made, and what it says, `at` seconds since 1970; None when the problem is about no policy."""
    found = regarding(problem)
    if found is None:
        return None
    kind, (namespace, name) = found
    where = namespace or _DEFAULT
    digest = hashlib.sha256("\0".join((kind.name, namespace, name, problem.text)).encode()).hexdigest()
    policy = {
        "apiVersion": kind.version,
        "kind": kind.name,
        "name": name,
        **({"namespace": namespace} if namespace else {}),
    }
    note = problem.text if len(problem.text) < _LONGEST else f"{problem.text[: _LONGEST - 4]}..."
    return f"/apis/events.k8s.io/v1/namespaces/{where}/events", {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"netpolc-{digest[:20]}", "namespace": where},
        "eventTime": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": node,
        "action": ACTION,
        "reason": REASON,
        "type": "Warning",
        "regarding": policy,
        "note": note,
    }


class Events:
    """Makes them in a thread of its own. `problems`: what is wrong now; `clock`: seconds that never go back; `now`:
    seconds since 1970. Nothing of what goes wrong here matters to anybody else: it is logged."""

    def __init__(
        self,
        transport: Transport,
        node: str,
        problems: Callable[[], Iterable[Problem]],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._transport, self._node, self._problems = transport, node, problems
        self._clock, self._now = clock, now
        self._told: dict[Problem, float] = {}
        self._ending = Event()
        self._thread = Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended, a second later at most."""
        self._ending.set()
        self._thread.join(1)

    def look(self) -> None:
        """Makes Events of what is news."""
        current = list(self._problems())
        self._told = {problem: at for problem, at in self._told.items() if problem in current}
        due = [problem for problem in current if self._clock() - self._told.get(problem, -AGAIN) >= AGAIN]
        for problem in due[:MOST]:
            found = event(problem, self._node, self._now())
            if found is None or self._made(*found):
                self._told[problem] = self._clock()

    def _made(self, path: str, body: Object) -> bool:
        """Whether there is nothing left to be done; another node may have made it before."""
        try:
            self._transport.post(path, json.dumps(body).encode(), SILENCE)
        except Lost:
            return False
        except Refusal as refusal:
            if refusal.code != _EXISTS:
                log.warning("no Event on %s: %s", body["regarding"]["name"], refusal)
            return refusal.code in (_EXISTS, _FORBIDDEN) or 400 <= refusal.code < 429
        return True

    def _run(self) -> None:
        while not self._ending.wait(LOOK):
            self.look()
