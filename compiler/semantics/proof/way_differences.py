"""Packets that end differently by two diagrams of outcomes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from fractions import Fraction
from itertools import islice

from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.odds import Odds
from compiler.semantics.diagrams.space import MARK_BITS, Space
from compiler.semantics.diagrams.variables import Variables
from compiler.semantics.diagrams.way_settled import Settled, as_seen
from compiler.semantics.proof.routing_tables import impossible
from compiler.semantics.proof.way_witness import Witnesses
from compiler.semantics.rules.effects import Outcome

#: So many differences of two diagrams are looked at one by one before all are settled at once.
_MOST_TRIED = 100


def differing(one: int, two: int, over: Space, variables: Variables, witnesses: Witnesses) -> Iterator[dict[int, int]]:
    """Packets, by the numbers of all levels, that do not end alike. Raises Unprovable where that cannot be told."""
    if one == two:
        return
    made = over.made
    never = impossible(over, variables)
    found = False
    for box, _, _ in islice(made.differences(one, two), _MOST_TRIED):
        packet = witnesses.packet(box)
        if packet is None:
            continue
        ends = made.says(one, packet), made.says(two, packet)
        if made.says(never, packet) != "in" and _seen(ends[0], over, packet) != _seen(ends[1], over, packet):
            found = True
            yield packet
    if found:
        return
    finer = Settled(over)
    bits = finer.marked(one) | finer.marked(two)
    pairs = [(finer.but_mark(one), finer.but_mark(two))]
    pairs += [(finer.mark_bit(one, n), finer.mark_bit(two, n)) for n in range(MARK_BITS) if bits >> n & 1]
    possible = made.outside(never)
    for a, b in pairs:
        unclear = False
        for box, _, _ in made.differences(made.where(possible, a), made.where(possible, b)):
            packet = witnesses.packet(box)
            unclear |= packet is None
            if packet is not None:
                found = True
                yield packet
        if unclear and not found:
            raise Unprovable("whether rules agree that ask for addresses under a mask that is no prefix")


def _seen(value: Hashable, over: Space, packet: Mapping[int, int]) -> Hashable:
    """What an outcome, or several by chance, is for the packet."""
    if isinstance(value, Odds):
        shares: dict[Hashable, Fraction] = {}
        for outcome, share in value.outcomes:
            seen = _seen(outcome, over, packet)
            shares[seen] = shares.get(seen, Fraction(0)) + share
        return next(iter(shares)) if len(shares) == 1 else frozenset(shares.items())
    # What comes behind a statement that is not modelled is a diagram: other ones are other functions.
    return as_seen(value, over, packet) if isinstance(value, Outcome) and not value.then else value
