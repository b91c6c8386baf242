"""What the enforcer asks of the firewall of its node, whichever tool that is.

A dataplane runs texts that others have made: what they mean was settled, and proved, before they come here. It owns
what carries netpolc's names (the table `inet netpolc`; chains `NETPOLC-...`; sets `netpolc-...`) and touches nothing
else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from compiler.backends.steps import Step, Tool
from compiler.profiles.profiles import Profile

__all__ = ["Actual", "Busy", "Dataplane", "Foreign", "Refused", "Step", "Tool"]


@dataclass(frozen=True, slots=True)
class Actual:
    """What of ours the kernel holds, by name; of iptables, chains by tool, table and name (`ip6tables filter
    NETPOLC-deny`). `fingerprint` changes when anybody changes any of it; equal content has equal fingerprints.
    `empty`: nothing is ours."""

    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    fingerprint: str = ""

    @property
    def empty(self) -> bool:
        return not self.chains and not self.sets


class Refused(Exception):
    """The tool did not take a step; `said` is its own message, `step` its number. Steps before it are in force."""

    def __init__(self, said: str, step: int) -> None:
        self.said, self.step = said, step
        super().__init__(f"step {step + 1}: {said}")


class Busy(Refused):
    """The same, for a reason that passes: a lock that another holds, a message that did not fit a buffer."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Rules of others that matter to us: they let packets pass before ours see them, or came in front of our jump.
    `place` is a chain in its tool's words, `rule` the rule as it is printed."""

    place: str
    rule: str
    why: str


class Dataplane(Protocol):
    """All calls are made by one thread. Whatever goes wrong is one of the exceptions above."""

    def read(self, deep: bool = False) -> Actual:
        """What is there of ours. The fingerprint is of all rules, and of sets of how many elements they have; when it
        is `deep`, of every element, at some 100 ms for 100,000. The two kinds are never equal."""

    def apply(self, steps: Sequence[Step]) -> None:
        """Runs the steps, in their order."""

    def sweep(self, keep: Actual) -> Sequence[Step]:
        """Steps that remove what is ours and not among these names: what an earlier version left."""

    def remove(self) -> None:
        """Removes everything of ours and nothing else; nothing there is no error."""

    def counters(self, at: float) -> Sequence[Profile]:
        """What our rules have counted, as of the second `at` since 1970; a profile for each tool."""

    def foreign(self) -> Iterable[Foreign]:
        """What others do in our hooks that matters to us."""

    def wait(self, seconds: float) -> bool:
        """Waits until somebody else has changed something of ours, so far as the kernel tells, or so long. Whether
        somebody has."""

    def close(self) -> None:
        """Gives back what is open. The rules stay."""
