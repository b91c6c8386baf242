"""A dataplane in memory, for tests of what drives one: atomic, with faults on demand."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence

from compiler.profiles.profiles import Profile
from enforcer.dataplane import Actual, Busy, Foreign, Refused, Step
from enforcer.plan import Desired


class FakeDataplane:
    """Knows of a text only which chains and sets it declares and what it is. `faults`: each apply takes the first one:
    None, or an exception that its step raises, those before it being in force. `applied` has every step that was.
    What is wrong with how it is used is an AssertionError."""

    def __init__(self, faults: Iterable[Refused | None] = ()) -> None:
        self.faults = deque(faults)
        self.applied: list[Step] = []
        self.bypass: list[Foreign] = []
        #: Reads that fail, the last one first.
        self.unreadable: list[Refused] = []
        self.closed = False
        self._chains: dict[str, str] = {}
        self._sets: dict[str, str] = {}
        self._touched = False

    def read(self, deep: bool = False) -> Actual:
        assert not self.closed, "closed"
        if self.unreadable:
            raise self.unreadable.pop()
        text = repr((deep, sorted(self._chains.items()), sorted(self._sets.items())))
        return Actual(frozenset(self._chains), frozenset(self._sets), hashlib.sha256(text.encode()).hexdigest())

    def apply(self, steps: Sequence[Step]) -> None:
        assert not self.closed, "closed"
        fault = self.faults.popleft() if self.faults else None
        for number, step in enumerate(steps):
            if fault is not None and fault.step == number:
                raise fault
            self._run(step)

    def _run(self, step: Step) -> None:
        self.applied.append(step)
        if step.text.startswith("sweep\n"):
            for name in step.text.splitlines()[1:]:  # names of chains have spaces
                self._chains.pop(name, None)
                self._sets.pop(name, None)
            return
        names = Desired((step,)).names
        self._chains.update(dict.fromkeys(names.chains, step.text))
        self._sets.update(dict.fromkeys(names.sets, step.text))

    def sweep(self, keep: Actual) -> Sequence[Step]:
        left = sorted({*self._chains} - keep.chains | {*self._sets} - keep.sets)
        tool = self.applied[-1].tool if self.applied else None
        return (Step(tool, "\n".join(("sweep", *left))),) if left and tool is not None else ()

    def remove(self) -> None:
        self._chains.clear()
        self._sets.clear()

    def counters(self, at: float) -> Sequence[Profile]:
        return ()

    def foreign(self) -> Iterable[Foreign]:
        return tuple(self.bypass)

    def wait(self, seconds: float) -> bool:
        touched, self._touched = self._touched, False
        return touched

    def close(self) -> None:
        self.closed = True

    def contents(self) -> frozenset[str]:
        """The texts that what is there came with."""
        return frozenset({*self._chains.values(), *self._sets.values()})

    # What others do

    def lose(self, name: str, heard: bool = True) -> None:
        """Somebody removes a chain or set of ours; `heard`: and the kernel tells."""
        self._chains.pop(name, None)
        self._sets.pop(name, None)
        self._touched = heard

    def leave(self, chain: str) -> None:
        """An earlier version left this chain."""
        self._chains[chain] = "left"


def busy(step: int = 0) -> Busy:
    return Busy("the lock is held", step)


def refused(step: int = 0) -> Refused:
    return Refused("no such table", step)
