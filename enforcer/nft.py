"""The nftables dataplane: the table `inet netpolc`, by libnftables in this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compiler.backends.nftables import TABLE
from compiler.profiles.profiles import Profile
from enforcer.dataplane import Actual, Busy, Foreign, Refused, Step, Tool
from enforcer.grace import settle
from enforcer.libnftables import Context, NotTaken
from enforcer.nft_tables import Tables, digest

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
        table, chains, sets = self._tables.table(), self._tables.chains(), self._tables.sets()
        if table is None:
            return Actual()
        parts = [table, *(part for name in sorted(chains) for part in (name.encode(), chains[name]))]
        parts += self._tables.rules()
        for name in sorted(sets):
            elements = sorted(self._tables.elements(name))
            parts += (name.encode(), sets[name], len(elements).to_bytes(8, "big"))
            if deep:
                parts += elements
        return Actual(frozenset(chains), frozenset(filter(_is_named, sets)), digest((b"deep" * deep, *parts)))

    def apply(self, steps: Sequence[Step]) -> None:
        for number, step in enumerate(steps):
            assert step.tool is Tool.NFT, f"a text for {step.tool.value}"
            self._run(step.text, number)
            if step.settle:
                self._settle()

    def sweep(self, keep: Actual) -> Sequence[Step]:
        """One transaction. No packet is left among what it removes: rules that are in force do not lead there, and
        those that began before the last change are waited for here."""
        chains = sorted(self._tables.chains().keys() - keep.chains)
        sets = sorted(filter(_is_named, self._tables.sets().keys() - keep.sets))
        lines = [f"flush chain {TABLE} {name}" for name in chains]
        lines += [f"delete set {TABLE} {name}" for name in sets]
        lines += [f"delete chain {TABLE} {name}" for name in chains]
        if not lines:
            return ()
        self._settle()
        return (Step(Tool.NFT, "\n".join(lines) + "\n"),)

    def remove(self) -> None:
        if self._tables.table() is not None:
            self._run(f"delete table {TABLE}", 0)

    def counters(self, at: float) -> Sequence[Profile]:
        return ()

    def foreign(self) -> Iterable[Foreign]:
        return ()

    def wait(self, seconds: float) -> bool:
        return False

    def close(self) -> None:
        self._context.close()
        self._tables.close()

    def _settle(self) -> None:
        if self._moving:
            settle()
        self._moving = False

    def _run(self, text: str, number: int) -> None:
        self._moving = True
        try:
            self._context.run(text)
        except NotTaken as error:
            said = str(error)
            kind = Busy if any(reason in said for reason in _PASSING) else Refused
            raise kind(said, number) from None


def _is_named(name: str) -> bool:
    """Whether it is not an anonymous set of a rule."""
    return not name.startswith("__")
