"""From one back end to another without a moment in which nobody denies: the new rules are in force before the old ones
go, and in between a packet has to be let pass by both, which say the same."""

from __future__ import annotations

from collections.abc import Callable

from enforcer.dataplane import Actual, Dataplane, Refused
from enforcer.nftables.libnftables import Missing
from enforcer.node.choose import NFTABLES, Choice


def leave(choice: Choice, opened: Callable[[str], Dataplane]) -> None:
    """Takes our rules away from the back ends that are not chosen; called when those of the chosen one are in force.
    Raises Refused, and what `opened` raises."""
    for name in choice.leave:
        old = opened(name)
        try:
            if NFTABLES in (name, choice.backend):
                old.remove()
            else:  # both variants of iptables have their sets in one place
                old.apply(old.sweep(Actual(sets=old.read().sets)))
        finally:
            old.close()


class Leaving:
    """Told of rules in force (`Reconciler`): leaves the other back ends when they are for the first time."""

    def __init__(self, choice: Choice, opened: Callable[[str], Dataplane]) -> None:
        self._choice, self._opened = choice, opened

    def __call__(self, before: object, now: object) -> None:
        """OSError when it cannot be."""
        if before is not None or not self._choice.leave:
            return
        try:
            leave(self._choice, self._opened)
        except (Refused, Missing) as error:
            raise OSError(f"rules in {', '.join(self._choice.leave)} could not be removed: {error}") from None
