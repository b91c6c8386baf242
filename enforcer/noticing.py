"""Tells people how the node is wired where that keeps policies from holding: at the start, and of what is new later."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from enforcer import agents
from enforcer.reconcile import View
from enforcer.wiring import Finding, Severity, interpret
from enforcer.wiring_read import read

log = logging.getLogger("netpolc")

_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}
#: Seconds between two looks; changes of rules come much faster than changes of wires.
_AGAIN = 60.0


class Noticing:
    """For one node; called when other rules are in force (`Reconciler`). `given`: pod ranges of the command line."""

    def __init__(
        self,
        node: str,
        given: Iterable[str] = (),
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._given, self._root, self._clock = node, tuple(given), root, clock
        self._seen: frozenset[Finding] = frozenset()
        self._due = float("-inf")

    def __call__(self, before: View | None, now: View) -> None:
        """OSError when devices cannot be listed."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + _AGAIN
        node = now.snapshot.nodes.get(self._node)
        ranges = (*self._given, *(node.pod_cidrs if node else ()))
        found = interpret(read(self._root, ranges, agents.findings().uses)).findings
        for one in found:
            if one not in self._seen:
                log.log(_LEVELS[one.severity], "%s", one)
        self._seen = frozenset(found)
