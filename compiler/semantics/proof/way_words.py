"""What becomes of a packet, in words."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.semantics.diagrams.space import address_text
from compiler.semantics.rules.effects import ALL_BITS, Asked, Change, Event, Outcome, Unknown, Value
from compiler.semantics.rules.netfilter import Field

_HOW = {"accept": "accepted", "drop": "dropped"}
_ADDRESSES = (Field.SOURCE, Field.DESTINATION)


def told(outcome: Outcome, version: int) -> str:
    """One line, like `accepted; destination address 10.0.0.5, destination port 8080; mark 0x1; told: -j LOG`."""
    how = _HOW.get(outcome.how) or outcome.how.replace("reject", "rejected with", 1)
    return "; ".join([how, *_changes(outcome.change, version), *map(_event, outcome.events)])


def _changes(change: Change, version: int) -> Iterator[str]:
    if change.given:
        yield ", ".join(f"{field.value} {_value(field, value, version)}" for field, value in change.given)
    if (change.keep, change.flip) != (ALL_BITS, 0):
        kept = f"& {change.keep:#x} ^ " if change.keep else ""
        yield f"mark {kept}{change.flip:#x}"
    if change.untracked:
        yield "untracked"
    add, low, high = change.hops
    if low == high:
        yield f"hop limit {low}"
    elif add:
        yield f"hop limit {add:+}"
    for what, texts in change.rewritten:
        yield f"{what}: {', '.join(texts)}"


def _value(field: Field, value: Value, version: int) -> str:
    if isinstance(value, Unknown):
        return f"({value.name})"
    return address_text(version, value) if field in _ADDRESSES else str(value)


def _event(event: Event) -> str:
    if isinstance(event.what, Asked):
        return f"asked: {event.what.text} (place {event.what.number})"
    return f"told: {event.what}"
