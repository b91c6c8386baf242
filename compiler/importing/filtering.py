"""Lists of the filter table -> those that see every packet and those that replies pass by.

The language asks `node` and `forward` about first packets only; lists of `packets` see all and can only take away.
Where a chain accepts replies, what stands before can only matter to them if it takes away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from compiler.importing.values import (
    EVERYTHING,
    FIRST_STATES,
    REPLIES,
    STATES,
    Account,
    Item,
    Opaque,
    Statement,
    Verdict,
    Within,
)

_ALLOW = Verdict("allow")


@dataclass(frozen=True, slots=True)
class Halves:
    """`packets` are asked about all packets, then `first` about those that are no replies."""

    packets: tuple[Item, ...]
    first: tuple[Item, ...]


def halves(items: tuple[Item, ...], account: Account) -> Halves:
    """A base chain's list as two, which together do the same."""
    at = next((n for n, item in enumerate(items) if _passes_replies(item)), None)
    if at is None:
        return Halves(_trimmed(items), ()) if _matters(items) else Halves((), ())
    before, behind = items[:at], tuple(_first(items[at:], account))
    if not any(map(_takes_from_replies, before)):
        return Halves((), (*_first(before, account), *behind))
    if any(isinstance(one.action, Opaque) and one.action.verdict in ("allow", "leave") for one in _all(before)):
        return Halves(_trimmed(items), ())
    return Halves(_trimmed(before), (*_first(_only_allowing(before), account), *behind))


def _passes_replies(item: Item) -> bool:
    """Accepts all that belongs to a connection, and nothing else is asked for."""
    if not isinstance(item, Statement) or item.action != _ALLOW:
        return False
    return item.asked.states >= REPLIES and replace(item.asked, states=STATES) == EVERYTHING


def _matters(items: Iterable[Item]) -> bool:
    """Whether it does anything but accept."""
    return any(one.action != _ALLOW for one in _all(items))


def _takes_from_replies(item: Item) -> bool:
    """Whether it may end a reply or tell somebody of it."""
    if not item.asked.states & REPLIES:
        return False
    if isinstance(item, Within):
        return any(map(_takes_from_replies, item.items))
    return not (isinstance(item.action, Verdict) and item.action.verb in ("allow", "leave"))


def _trimmed(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Without what accepts at the end: behind a list of packets everything goes on."""
    while items and not _matters(items[-1:]):
        items = items[:-1]
    return items


def _all(items: Iterable[Item]) -> Iterator[Statement]:
    for item in items:
        if isinstance(item, Within):
            yield from _all(item.items)
        else:
            yield item


def _only_allowing(items: Iterable[Item]) -> Iterator[Item]:
    """What is left to do behind a list of packets: what was taken away there is gone, what was told is told."""
    for item in items:
        if isinstance(item, Within):
            inner = tuple(_only_allowing(item.items))
            if any(one.action == _ALLOW for one in _all(inner)):
                yield replace(item, items=inner)
        elif isinstance(item.action, Verdict) and item.action.verb in ("allow", "leave"):
            yield item


def _first(items: Iterable[Item], account: Account) -> Iterator[Item]:
    """Of first packets: states that only replies have are not asked for."""
    for item in items:
        states = item.asked.states & FIRST_STATES
        if item.asked.states == STATES:
            found = item
        elif not states:
            why = "replies pass before"
            account.dropped += [(origin, why) for one in _all([item]) for origin in one.origins]
            continue
        else:
            asked = replace(item.asked, states=STATES if states == FIRST_STATES else states)
            found = replace(item, asked=asked)
        yield replace(found, items=tuple(_first(found.items, account))) if isinstance(found, Within) else found
