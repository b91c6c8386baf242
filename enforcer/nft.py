"""The nftables dataplane: the table `inet netpolc`, by libnftables in this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compiler.backends.nftables import TABLE
from compiler.profiles.profiles import Profile
from enforcer.dataplane import Actual, Busy, Foreign, Refused, Step, Tool
from enforcer.grace import settle
from enforcer.libnftables import Context, NotTaken
from enforcer.nft_tables import Tables

#: What the kernel says when it lacks room for the moment (ENOBUFS, ENOMEM, EMSGSIZE) or another transaction came
#: between (EAGAIN, EINTR, EBUSY).
_PASSING = (
    "No buffer space available",
    "Cannot allocate memory",
    "Message too long",
    "Resource temporarily unavailable",
    "Interrupted system call",
)


class Nft:
    """For the network namespace of the thread that makes it. Raises libnftables' Missing."""

    def __init__(self) -> None:
        self._context = Context()
        self._tables = Tables()
        #: Whether packets may still be among rules of before.
        self._moving = True

    def read(self, deep: bool = False) -> Actual:
        """Both kinds of fingerprint are of every element, which costs nothing where nothing changed."""
        held = self._tables.now()
        if held.table is None:
            return Actual()
        sets = frozenset(name for name in held.sets if _is_named(name))
        return Actual(frozenset(held.chains), sets, "deep " * deep + held.fingerprint())

    def apply(self, steps: Sequence[Step]) -> None:
        for number, step in enumerate(steps):
            assert step.tool is Tool.NFT, f"a text for {step.tool.value}"
            self._run(step.text, number)
            if step.settle:
                self._settle()

    def sweep(self, keep: Actual) -> Sequence[Step]:
        """One transaction. No packet is left among what it removes: rules that are in force do not lead there, and
        those that began before the last change are waited for here."""
        actual = self.read()
        chains, sets = sorted(actual.chains - keep.chains), sorted(actual.sets - keep.sets)
        lines = [f"flush chain {TABLE} {name}" for name in chains]
        lines += [f"delete set {TABLE} {name}" for name in sets]
        lines += [f"delete chain {TABLE} {name}" for name in chains]
        if not lines:
            return ()
        self._settle()
        return (Step(Tool.NFT, "\n".join(lines) + "\n"),)

    def remove(self) -> None:
        if self._tables.now().table is not None:
            self._run(f"delete table {TABLE}", 0)

    def counters(self, at: float) -> Sequence[Profile]:
        return ()

    def foreign(self) -> Iterable[Foreign]:
        return ()

    def wait(self, seconds: float) -> bool:
        return self._tables.touched(seconds)

    def close(self) -> None:
        self._context.close()
        self._tables.close()

    def _settle(self) -> None:
        if self._moving:
            settle()
        self._moving = False

    def _run(self, text: str, number: int) -> None:
        self._moving = True
        self._tables.own |= self._context.ports
        try:
            self._context.run(text)
            self._tables.own |= self._context.ports  # it opens another socket when it was interrupted
        except NotTaken as error:
            said = str(error)
            kind = Busy if any(reason in said for reason in _PASSING) else Refused
            raise kind(said, number) from None


def _is_named(name: str) -> bool:
    """Whether it is not an anonymous set of a rule."""
    return not name.startswith("__")
