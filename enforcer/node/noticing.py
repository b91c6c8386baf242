"""Tells people how the node is wired where that keeps policies from holding: at the start, and of what is new later."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from enforcer.node import agents
from enforcer.node.wiring import Finding, Severity, interpret
from enforcer.node.wiring_read import read
from enforcer.reconcile import View

log = logging.getLogger("netpolc")

_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}


class Noticing:
    """For one node; called when other rules are in force (`Reconciler`). `given`: pod ranges of the command line."""

    def __init__(self, node: str, given: Iterable[str] = (), root: Path = Path("/")) -> None:
        self._node, self._given, self._root = node, tuple(given), root
        self._seen: frozenset[Finding] = frozenset()

    def __call__(self, before: View | None, now: View) -> None:
        """OSError when devices cannot be listed."""
        node = now.snapshot.nodes.get(self._node)
        ranges = (*self._given, *(node.pod_cidrs if node else ()))
        found = interpret(read(self._root, ranges, agents.findings().uses)).findings
        for one in found:
            if one not in self._seen:
                log.log(_LEVELS[one.severity], "%s", one)
        self._seen = frozenset(found)
