"""What becomes of a packet on its way through rules: how its header and what travels with it change, and what others
learn of it. Standard library only."""

from __future__ import annotations

from typing import NamedTuple

from compiler.semantics.rules.netfilter import End, Field, Interval, NoTrack, Rewrite, SetHops, SetMark, Translate

ALL_BITS = Field.MARK.top


class Unknown(NamedTuple):
    """A number between `low` and `high` that the text leaves open, by what it depends on: the same name is the same
    number for a packet. `own`: an address of the node."""

    name: str
    low: int
    high: int
    own: bool = False


Value = int | Unknown


class Change(NamedTuple):
    """mark = (mark & keep) ^ flip; `untracked`: conntrack leaves it alone; hops = hops + add within bounds, as
    (add, low, high); `given`: what NAT has put into addresses and ports, by field, the last of each; `rewritten`:
    other parts of the header, with the texts of what happened to each."""

    keep: int = ALL_BITS
    flip: int = 0
    untracked: bool = False
    hops: tuple[int, int, int] = (0, 0, 255)
    given: tuple[tuple[Field, Value], ...] = ()
    rewritten: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def but_mark(self) -> Change:
        """What a match that is not modelled may look at."""
        return self._replace(keep=ALL_BITS, flip=0)

    @property
    def translated(self) -> frozenset[End]:
        """The ends that NAT has decided on."""
        return frozenset(end for end, fields in FIELDS.items() if any(field in fields for field, _ in self.given))


#: Address and port of an end.
FIELDS = {
    End.SOURCE: (Field.SOURCE, Field.SOURCE_PORT),
    End.DESTINATION: (Field.DESTINATION, Field.DESTINATION_PORT),
}
AS_IT_CAME = Change()
#: What a router takes off between PREROUTING and FORWARD (ip_forward, ip6_forward).
ROUTED = Change(hops=(-1, 0, 254))


class Asked(NamedTuple):
    """A stateful match. `number`: of the place that has it; `time`: how often this packet has asked it, from 1."""

    text: str
    number: int
    time: int = 1


class Event(NamedTuple):
    """Somebody is told of the packet, in these words, or a stateful match is asked, which remembers it; `change`: what
    had become of the packet then."""

    what: str | Asked
    change: Change = AS_IT_CAME


class Effect(NamedTuple):
    """The change, and events in their order."""

    change: Change = AS_IT_CAME
    events: tuple[Event, ...] = ()


NO_EFFECT = Effect()


class Outcome(NamedTuple):
    """The end of a way. `how`: "accept", "drop", "reject KIND", or "unknown: TEXT" for a statement that is not
    modelled, where `then` tells two of them apart by what comes behind. `change`: of accepted packets, since they came
    or were sent."""

    how: str
    change: Change = AS_IT_CAME
    events: tuple[Event, ...] = ()
    then: tuple[int, ...] = ()


def changed(first: Change, later: Change) -> Change:
    """Both, one after the other."""
    (one, low, high), (two, floor, ceiling) = first.hops, later.hops
    hops = _bounded(one + two, min(max(low + two, floor), ceiling), min(max(high + two, floor), ceiling))
    if not later.given and not later.rewritten:
        given, rewritten = first.given, first.rewritten
    else:
        given = _ordered({**dict(first.given), **dict(later.given)})
        before, after = dict(first.rewritten), dict(later.rewritten)
        rewritten = tuple((what, before.get(what, ()) + after.get(what, ())) for what in sorted({*before, *after}))
    return Change(
        first.keep & later.keep,
        (first.flip & later.keep) ^ later.flip,
        first.untracked or later.untracked,
        hops,
        given,
        rewritten,
    )


def followed(first: Effect, later: Effect) -> Effect:
    """Both, one after the other."""
    if first == NO_EFFECT:
        return later
    events = (Event(what, changed(first.change, change)) for what, change in later.events)
    return Effect(changed(first.change, later.change), (*first.events, *events))


def change_of(part: SetMark | NoTrack | SetHops | Rewrite) -> Change:
    """What a statement does."""
    match part:
        case SetMark(keep, flip):
            return Change(keep, flip)
        case NoTrack():
            return Change(untracked=True)
        case SetHops(add, low, high):
            return Change(hops=_bounded(add, min(max(add, low), high), min(max(255 + add, low), high)))
        case Rewrite(what, text):
            return Change(rewritten=((what, (text,)),))


def translation_of(part: Translate) -> Change:
    """What NAT gives. A choice among several is made by the packet, the range and what is in use already."""
    address, port = FIELDS[part.end]
    given: dict[Field, Value] = {}
    if part.own:
        given[address] = own_address(part.end)
    for field, interval in ((address, part.addresses), (port, part.ports)):
        if interval is not None:
            given[field] = _one_of(field, interval, part.how)
    return Change(given=_ordered(given))


def own_address(end: End) -> Unknown:
    """MASQUERADE's and REDIRECT's."""
    side = "incoming" if end is End.DESTINATION else "outgoing"
    return Unknown(f"the address of the {side} interface", 0, Field.SOURCE.top, own=True)


def _bounded(add: int, low: int, high: int) -> tuple[int, int, int]:
    """One triple for one function: the bounds are what becomes of 0 and 255."""
    return 0 if low == high else add, low, high


def _one_of(field: Field, interval: Interval, how: str) -> Value:
    low, high = interval
    return low if low == high else Unknown(f"the {field.value} out of {low}-{high}{how and ' '}{how}", low, high)


def _ordered(given: dict[Field, Value]) -> tuple[tuple[Field, Value], ...]:
    return tuple(sorted(given.items(), key=lambda pair: pair[0].value))
