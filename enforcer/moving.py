"""What should be in force on a node, kept up to date by what changes: elements of sets come and go, and what else is
there stays in the kernel as it is.

Rules that are new are proved as a whole ruleset is, from the text that would load them; mere elements of sets come from
the same compiler and are not proved again. Programs of the policy language, and whatever goes wrong here, are for the
compile from scratch (`compiling.Whole`): its rules take the place of these until all is well again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from threading import RLock
from typing import Protocol

from compiler.analysis.proof import Prover
from compiler.backends import iptables_live, nftables_live
from compiler.backends.steps import Step, Tool
from compiler.backends.target import Backend, Target
from compiler.errors import NetpolcError
from compiler.ir.change import Change
from compiler.ir.moved import moved
from compiler.ir.ruleset import Ruleset
from compiler.live.batch import Batch, PodKey
from compiler.live.compiler import LiveCompiler
from compiler.resources.cluster import Pod
from compiler.resources.language import NO_PROGRAM, Program
from enforcer.compiling import Compiled, Whole
from enforcer.dataplane import Actual
from enforcer.picture import Closed, Objects, View

log = logging.getLogger("netpolc")

#: Policies and cluster are put together for those who ask for them, while much changes in this part of the time.
_SHARE = 0.05
#: So many versions may wait for a tool that is busy.
_WAITING = 1000
_FILES = {
    Tool.NFT: "netpolc.nft",
    Tool.IPSET: "ipset.save",
    Tool.IPTABLES: "iptables.save",
    Tool.IP6TABLES: "ip6tables.save",
}


class Told(Protocol):
    """What the kernel was told (`backends.nftables_live.Live` and its fellow)."""

    @property
    def chains(self) -> frozenset[str]: ...

    @property
    def sets(self) -> frozenset[str]: ...

    def load(self, ruleset: Ruleset) -> tuple[Step, ...]: ...

    def update(self, change: Change, after: Ruleset) -> tuple[Step, ...]: ...


def told(backend: Backend, sets: frozenset[str] = frozenset()) -> Told:
    """Nothing yet; `sets`: those of ours that the kernel has, whose names are taken."""
    if backend is Backend.NFTABLES:
        return nftables_live.Live(nftables_live.next_version(sets))
    return iptables_live.Live(iptables_live.next_version(sets))


class Moving:
    """An engine (`reconcile.Engine`). `there`: what of ours the kernel holds, asked before the first load."""

    def __init__(
        self,
        target: Target,
        closed: Closed | None,
        there: Callable[[], Actual],
        proving: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert target.node is not None, "the daemon is a node's"
        self._target, self._node, self._closed, self._there = target, target.node, closed, there
        self._proving, self._clock = proving, clock
        self._whole = Whole(target, closed, proving)
        self._live = self._new()
        #: Guards the objects.
        self._lock = RLock()
        self._objects: Objects | None = None
        self._moved, self._again_at = True, 0.0
        self._local: dict[PodKey, Pod] = {}
        self._told: Told | None = None
        self._is_broken = False
        #: Versions of the rules, and the steps from each to the next.
        self._version = 0
        self._steps: list[tuple[str, tuple[Step, ...]]] = []
        self.ruleset = Ruleset(())

    def _new(self) -> LiveCompiler:
        closed = self._closed
        return LiveCompiler(self._target, closed is not None, closed.ranges if closed is not None else ())

    def take(self, batch: Batch, program: Program) -> Compiled:
        """Raises as `Whole.take` does."""
        with self._lock:
            self._whole.keep(batch)
            self._keep_local(batch)
            self._moved = True
            change = self._change(batch)
        if change is None or program != NO_PROGRAM or not self._is_right(change):
            self._told = None
            return self._whole.made(program)
        if change:
            self._tell(change)
        view = View.later(self._look, tuple(self._local.values()), self.ruleset)
        made = Compiled(_Moved(self, self._digest), view, self._whole.left_open(), self._proving)
        return replace(made, problems=self._whole.lost())

    def _tell(self, change: Change) -> None:
        """Notes the steps of a change; where they cannot be had, or many are waiting, everything will be loaded."""
        before, known = self._digest, self._told
        self._version += 1
        self._told = None
        if known is None or len(self._steps) >= _WAITING:
            self._steps.clear()
            return
        try:
            self._steps.append((before, known.update(change, self.ruleset)))
            self._told = known
        except NetpolcError:
            raise
        except Exception:
            log.exception("internal error: this is a defect of netpolc; everything is loaded anew")

    def _change(self, batch: Batch) -> Change | None:
        """What changes; None behind a defect, from which only a restart leads back."""
        if self._is_broken:
            return None
        try:
            change = self._live.take(batch)
            known = change.moves_only and bool(self.ruleset.chains)
            self.ruleset = moved(self.ruleset, change) if known else self._live.ruleset()
        except Exception:
            log.exception("internal error: this is a defect of netpolc; rules are compiled from scratch from now on")
            self._is_broken = True
            return None
        return change

    @property
    def _digest(self) -> str:
        return f"version {self._version}"

    def _keep_local(self, batch: Batch) -> None:
        for key, pod in batch.pods.items():
            if pod is not None and pod.node == self._node:
                self._local[key] = pod
            else:
                self._local.pop(key, None)

    def _look(self) -> Objects:
        with self._lock:
            began = self._clock()
            if self._objects is None or (self._moved and began >= self._again_at):
                self._objects, self._moved = self._whole.objects(), False
                self._again_at = began + (self._clock() - began) / _SHARE
            return self._objects

    # The proof

    def _is_right(self, change: Change) -> bool:
        """Whether new rules mean what the policies say; those of before were proved. Raises NotProved."""
        if not self._proving or (change.moves_only and self._told is not None):
            return True
        texts: dict[str, str] = {}
        for step in told(self._target.backend).load(self.ruleset):
            text = step.text
            if step.tool is Tool.IPSET:  # sets are new to the kernel, so there is nothing to flush
                text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("flush "))
            texts[_FILES[step.tool]] = texts.get(_FILES[step.tool], "") + text
        prover = Prover(*self._whole.objects())
        families = [family.value for family in self._target.families]
        return prover.prove(self._node, texts.items(), families, mark_mask=self._target.mark_mask).equal

    # The steps

    def names(self) -> Actual:
        assert self._told is not None, "rules of this engine are in force"
        return Actual(self._told.chains, self._told.sets)

    def steps(self, digest: str, before: str | None) -> tuple[Step, ...]:
        """From `before` to the newest rules; whole when nobody knows the way."""
        if before == self._digest and self._told is not None:
            return ()
        known = [one for one, _ in self._steps]
        if self._told is not None and before in known:
            del self._steps[: known.index(before)]
            return tuple(step for _, steps in self._steps for step in steps)
        if self._told is None:
            self._told = told(self._target.backend, self._there().sets)
        self._steps.clear()
        return self._told.load(self.ruleset)


class _Moved:
    """Rules that move (`plan.Wanted`): always the newest of their engine."""

    def __init__(self, engine: Moving, digest: str) -> None:
        self._engine, self.digest = engine, digest

    @property
    def names(self) -> Actual:
        return self._engine.names()

    def steps(self, before: str | None) -> tuple[Step, ...]:
        return self._engine.steps(self.digest, before)
