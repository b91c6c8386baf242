"""The nftables dataplane: the table `inet netpolc`, by libnftables in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from compiler.backends.nftables import TABLE
from compiler.profiles.profiles import Profile
from enforcer.dataplane import Actual, Busy, Foreign, Refused, Step, Tool
from enforcer.grace import Grace
from enforcer.nftables.counts import profile
from enforcer.nftables.foreign import found
from enforcer.nftables.libnftables import Context, NotTaken
from enforcer.nftables.tables import Tables

#: What the kernel says when it lacks room for the moment (ENOBUFS, ENOMEM, EMSGSIZE) or another transaction came
#: between (EAGAIN, EINTR, EBUSY).
_PASSING = (
    "No buffer space available",
    "Cannot allocate memory",
    "Message too long",
    "Resource temporarily unavailable",
    "Interrupted system call",
)


#: In every load, and in nothing else.
_EMPTIED = f"flush table {TABLE}\n"

log = logging.getLogger("netpolc")


@contextmanager
def _reading() -> Iterator[None]:
    """What the kernel does not tell now it tells later."""
    try:
        yield
    except OSError as error:
        raise Busy(f"the rules cannot be read: {error}", 0) from error


class Nft:
    """For the network namespace of the thread that makes it. Raises libnftables' Missing."""

    def __init__(self) -> None:
        self._context = Context()
        self._tables = Tables(self._context.ports)
        self._grace = Grace()
        #: What was found in which generation.
        self._foreign: tuple[int, list[Foreign]] | None = None

    def read(self, deep: bool = False) -> Actual:
        """Both kinds of fingerprint are of every element, which costs nothing where nothing changed."""
        with _reading():
            held = self._tables.now()
        if held.table is None:
            return Actual()
        sets = frozenset(name for name in held.sets if _is_named(name))
        return Actual(frozenset(held.chains), sets, "deep " * deep + held.fingerprint())

    def apply(self, steps: Sequence[Step]) -> None:
        """Returns when all are in force; packets that are among rules of before then are waited for by the next call
        that needs that."""
        try:
            self._apply(steps)
        except Busy:
            raise
        except Refused as error:
            if not any(_EMPTIED in step.text for step in steps):
                raise
            self._replace(steps, error)

    def _apply(self, steps: Sequence[Step]) -> None:
        wait = True
        for number, step in enumerate(steps):
            assert step.tool is Tool.NFT, f"a text for {step.tool.value}"
            if wait:
                self._grace.end()
            self._run(step.text, number)
            wait = step.settle

    def _replace(self, steps: Sequence[Step], error: Refused) -> None:
        """A load that is refused meets what others made of our table: a chain on another hook, a set of other elements
        by the same name. Then it comes in the table's stead, which a few packets may notice: without it nobody would
        be denied any more."""
        if self._tables.now().table is None:
            raise error
        text = "".join(step.text for step in steps)
        try:
            self._run(f"delete table {TABLE}\n{text}", error.step)
        except Refused:
            raise error from None
        log.warning("our table was replaced, for the rules did not fit what others made of it: %s", error.said)

    def sweep(self, keep: Actual) -> Sequence[Step]:
        """One transaction, of what no packet is among any more."""
        actual = self.read()
        chains, sets = sorted(actual.chains - keep.chains), sorted(actual.sets - keep.sets)
        lines = [f"flush chain {TABLE} {name}" for name in chains]
        lines += [f"delete set {TABLE} {name}" for name in sets]
        lines += [f"delete chain {TABLE} {name}" for name in chains]
        return (Step(Tool.NFT, "\n".join(lines) + "\n"),) if lines else ()

    def remove(self) -> None:
        with _reading():
            is_there = self._tables.now().table is not None
        if is_there:
            self._run(f"delete table {TABLE}", 0)

    def counters(self, at: float) -> Sequence[Profile]:
        """Of rules that were compiled to be counted."""
        with _reading():
            return (profile(self._tables.rules(), at),)

    def foreign(self) -> Iterable[Foreign]:
        """Asked anew when anybody has changed anything."""
        with _reading():
            generation = self._tables.generation()
            if self._foreign is None or self._foreign[0] != generation:
                self._foreign = generation, [*self._found()]
        return self._foreign[1]

    def _found(self) -> Iterator[Foreign]:
        printed: dict[tuple[str, str], dict[int, str]] = {}
        for one in found(*self._tables.everything()):
            place = one.table, one.chain
            if place not in printed:
                with suppress(NotTaken):  # it is gone
                    printed[place] = self._context.rules(*place)
            rule = printed.get(place, {}).get(one.handle)
            if rule is not None:
                yield Foreign(" ".join(place), rule, one.why)

    def wait(self, seconds: float) -> bool:
        with _reading():
            return self._tables.touched(seconds)

    def close(self) -> None:
        self._grace.close()
        self._context.close()
        self._tables.close()

    def _run(self, text: str, number: int) -> None:
        try:
            self._context.run(text)
            self._grace.begin()
        except NotTaken as error:
            said = str(error)
            kind = Busy if any(reason in said for reason in _PASSING) else Refused
            raise kind(said, number) from None


def _is_named(name: str) -> bool:
    """Whether it is not an anonymous set of a rule."""
    return not name.startswith("__")
