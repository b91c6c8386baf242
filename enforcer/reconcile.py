"""Keeps the rules of a node equal to what policies mean: collects what changes, compiles, proves, applies.

One thread calls `turn` again and again; a turn waits for news and makes rules of them, or looks whether the rules are
still what they were. What goes wrong is told and tried again; the rules that are in force stay meanwhile:

    the source is not synced yet        nothing is written
    the input cannot be compiled        the rules of before stay until it can
    the proof finds a packet            the pods concerned are closed (`compiling`)
    the tool is busy                    again, after a pause that doubles
    the tool refuses                    the same, and everything is loaded anew
    somebody else changed our rules     everything is loaded anew, at once
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from compiler.analysis.proof import NotProved
from compiler.errors import NetpolcError
from compiler.live.batch import Batch
from compiler.resources.language import Program
from enforcer.compiling import Compiled, Mismatch
from enforcer.dataplane import Actual, Busy, Dataplane, Foreign, Refused
from enforcer.picture import View
from enforcer.plan import Applied, Wanted, count, covers, differences, plan, told
from enforcer.sources.source import Problem, Source

__all__ = ["Counts", "Engine", "Pace", "Reconciler", "State", "View"]

log = logging.getLogger("netpolc")


class Engine(Protocol):
    """Makes the rules of the node (`compiling.Whole`)."""

    def take(self, batch: Batch, program: Program) -> Compiled:
        """The rules with what has changed. What was taken stays taken, also when NetpolcError is raised."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. News are collected until none came for `quiet`, but no longer than `latest`. Every `look` it is asked
    whether somebody else has changed our rules, every `check` they are read with all elements. `retry`: the first
    pause after a failure, `longest` the last."""

    quiet: float = 0.003
    latest: float = 0.05
    look: float = 0.25
    check: float = 60
    retry: float = 0.1
    longest: float = 30


@dataclass(slots=True)
class Counts:
    """Since the start. `mismatches`: proofs that found rules wrong."""

    batches: int = 0
    compiled: int = 0
    failed: int = 0
    mismatches: int = 0
    applied: int = 0
    busy: int = 0
    refused: int = 0
    drifts: int = 0


@dataclass(slots=True)
class State:
    """What the reconciler tells of itself. `in_sync`: what the source says is in force. `barred`: addresses that are
    closed because of a defect. `found`: what is wrong with the cluster that the rules were made of. `applied_at`: the
    clock's time of the last change."""

    synced: bool = False
    in_sync: bool = False
    view: View | None = None
    actual: Actual = field(default_factory=Actual)
    problems: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    found: tuple[Problem, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    barred: frozenset[str] = frozenset()
    proved: bool = False
    applied_at: float | None = None
    turned_at: float = 0.0
    counts: Counts = field(default_factory=Counts)


class Reconciler:
    """`clock`: seconds that never go back. `applied`: called when other rules are in force, with what the rules of
    before were made of (None: not known) and what these are."""

    def __init__(
        self,
        source: Source,
        dataplane: Dataplane,
        engine: Engine,
        clock: Callable[[], float],
        pace: Pace = Pace(),
        applied: Callable[[View | None, View], None] = lambda before, now: None,
    ) -> None:
        self._source, self._dataplane, self._engine = source, dataplane, engine
        self._clock, self._pace, self._told = clock, pace, applied
        self.state = State()
        #: The program that was compiled last, whatever came of it.
        self._program: Program | None = None
        #: What should be in force, and what it was made of.
        self._wanted: tuple[Wanted, View] | None = None
        self._applied: Applied | None = None
        self._deep = ""
        self._stale, self._due = False, False
        #: Whether somebody else may have changed something that was not looked at yet.
        self._unsure = False
        self._again_at, self._pause = 0.0, pace.retry
        self._check_at = clock() + pace.check

    def turn(self) -> None:
        """Waits for news, `Pace.look` at most, and does what is to be done."""
        batch = self._collect()
        self.state.turned_at = self._clock()
        self.state.synced = self._source.synced
        if not self.state.synced:
            return
        if batch or self._program != self._source.program:
            self._recompile(batch)
        if self._wanted is not None and (self._drifted() or self._due) and self._clock() >= self._again_at:
            self._enforce(*self._wanted)
        self.state.in_sync = self._wanted is not None and not self._stale and not self._due

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now, of source and rules."""
        own = (Problem(about, text) for about, text in self.state.problems.items())
        bypassed = (Problem(one.place, f"{one.why}: {one.rule}") for one in self.state.foreign)
        return (*self._source.problems(), *own, *self.state.found, *bypassed)

    # News

    def _collect(self) -> Batch:
        """Takes what there is."""
        timeout = self._pace.look
        if self._due:
            timeout = min(timeout, max(0.0, self._again_at - self._clock()))
        if not self._source.wait(timeout):
            return Batch()
        batch = self._source.take()
        first = self._clock()
        while batch and self._clock() - first < self._pace.latest and self._source.wait(self._pace.quiet):
            batch = batch.then(self._source.take())
        self.state.counts.batches += 1
        return batch

    def _recompile(self, batch: Batch) -> None:
        """Makes rules of what there is now; those of before stay wanted when that cannot be."""
        self._stale, self._program = True, self._source.program
        try:
            with _undisturbed():
                made = self._engine.take(batch, self._program)
        except Mismatch as error:
            self.state.counts.mismatches += 1
            self._fail("proof", error.render(), {"witnesses": list(error.witnesses)})
        except NotProved as error:
            self._fail("proof", f"rules that cannot be proved are not loaded: {error}")
        except NetpolcError as error:
            self._fail("compile", error.render())
        except Exception as error:  # a defect: the rules that are there stay, and the daemon lives on to hear of more
            log.exception("internal error: this is a defect of netpolc")
            self._fail("compile", f"internal error: {type(error).__name__}: {error}")
        else:
            self._take(made)

    def _take(self, made: Compiled) -> None:
        state = self.state
        state.problems.pop("compile", None)
        state.problems.pop("proof", None)
        state.counts.compiled += 1
        if made.barred:
            state.counts.mismatches += 1
            text = f"rules were found wrong, so these pods' addresses are closed: {', '.join(sorted(made.barred))}"
            state.problems["proof"] = text
            log.error(text, extra={"data": {"witnesses": list(made.witnesses)}})
        state.remarks, state.barred, state.proved = made.remarks, made.barred, made.proved
        for one in set(made.problems) - set(state.found):
            log.warning("%s: %s", one.about, one.text)
        state.found = made.problems
        self._wanted, self._stale, self._due = (made.desired, made.view), False, True

    def _fail(self, about: str, text: str, data: dict[str, object] | None = None) -> None:
        self.state.counts.failed += 1
        self.state.problems[about] = text
        log.error("the rules of before stay: %s", text, extra={"data": data or {}})

    # Rules

    def _drifted(self) -> bool:
        """Whether our rules are not what was loaded. What cannot be read now is read in the next turn."""
        try:
            return self._is_other()
        except Refused as error:
            log.warning("rules could not be looked at: %s", error.said)
            return False

    def _is_other(self) -> bool:
        heard, now = self._dataplane.wait(0), self._clock()
        self._unsure |= heard
        if self._applied is None or (not self._unsure and now < self._check_at):
            return False
        before, actual = self.state.actual, self._dataplane.read()
        same = actual.fingerprint == self._applied.fingerprint
        if now >= self._check_at:
            self.state.foreign = tuple(self._dataplane.foreign())
            deep = self._dataplane.read(deep=True).fingerprint
            self._deep = self._deep or deep  # the first look behind a change is what the next ones are held against
            same = same and deep == self._deep
            self._check_at = now + self._pace.check
            self._due |= "leftovers" in self.state.problems
        self._unsure = False
        if same:
            return False
        changed = told(list(differences(before, actual))) or "rules or elements are others"
        self.state.counts.drifts += 1
        log.warning("somebody else changed our rules: %s", changed)
        self._applied, self._due = None, True
        return True

    def _enforce(self, desired: Wanted, view: View) -> None:
        try:
            self._bring_in(desired, view)
        except Refused as error:
            busy = isinstance(error, Busy)
            if not busy or error.step:
                self._applied = None
            self.state.counts.busy += busy
            self.state.counts.refused += not busy
            self.state.problems["apply"] = f"{'busy' if busy else 'refused'}: {error.said}"
            log.log(logging.INFO if busy else logging.ERROR, "rules not loaded, again in %g s: %s", self._pause, error)
            self._again_at = self._clock() + self._pause
            self._pause = min(self._pause * 2, self._pace.longest)
        else:
            self._due, self._again_at, self._pause = False, 0.0, self._pace.retry
            self.state.problems.pop("apply", None)

    def _swept(self, desired: Wanted, actual: Actual) -> Actual:
        """What is there when leftovers are gone. Those that will not go do no harm; they are tried again."""
        try:
            if left := self._dataplane.sweep(desired.names):
                self._dataplane.apply(left)
                actual = self._dataplane.read()
            self.state.problems.pop("leftovers", None)
        except Refused as error:
            self.state.problems["leftovers"] = f"what earlier rules left behind stays: {error.said}"
            log.warning("leftovers stay: %s", error.said)
            actual = self._dataplane.read()
        return actual

    def _bring_in(self, desired: Wanted, view: View) -> None:
        """Raises Refused."""
        actual = self._dataplane.read()
        steps = plan(desired, actual, self._applied)
        if steps:
            began = self._clock()
            self._dataplane.apply(steps)
            actual = self._dataplane.read()
            if not covers(actual, desired.names):
                raise Refused(told(list(differences(desired.names, actual))), len(steps))
            self.state.counts.applied += 1
            self.state.applied_at = self._clock()
            log.info("rules are in force", extra={"data": {"bytes": count(steps), "seconds": self._clock() - began}})
        actual = self._swept(desired, actual)
        self._applied, self._deep, self.state.actual = Applied(desired.digest, actual.fingerprint), "", actual
        before, self.state.view = self.state.view, view
        if steps:
            self._told(before, view)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without looks for garbage: millions of objects are made that all live to the end, and go by themselves then. A
    compile and its proof take half as long again with them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
