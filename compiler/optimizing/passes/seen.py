"""Which rules of a chain have to be looked at again, when some went, came or moved since they were looked at.

A rule is judged by those that some packet meets as well as it, and by the order in which they stand to it. Where none
of these changed, nor the rule itself, it is as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.optimizing.passes.cover import Entry, Query, first_other
from compiler.optimizing.passes.lines import Line
from compiler.ordering.ordered import standing

_FAR = 1 << 62
#: Where more than one of so many changed, all are looked at.
_SHARE = 2
#: What a rule says, by its identity, and whether it counted anything.
Key = tuple[int, bool]


def key(line: Line) -> Key:
    """The same for a rule in another place, or with other counters."""
    return id(line.rule.said), bool(line.rule.packets or line.rule.bytes)


class Seen:
    """A chain as it was looked at."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines  # what they say is kept, so that nothing else has its identity
        self._places = {key(line): number for number, line in enumerate(lines)}

    def again(self, lines: Sequence[Line], *, ordered: bool) -> set[int] | None:
        """Numbers of the lines that are to be looked at again; None: all of them. `ordered`: it matters which rules
        that end no packet's way stand in between, whatever they match."""
        if any(line.rule.said is None for line in lines) or len(self._places) != len(self.lines):
            return None
        places = [self._places.get(key(line)) for line in lines]
        numbers = {place: number for number, place in enumerate(places) if place is not None}
        if len(numbers) + places.count(None) < len(lines):
            return None
        stay = {numbers[place] for place in standing(list(numbers))}
        changed = [line for number, line in enumerate(lines) if number not in stay]
        kept = {places[number] for number in stay}
        changed += (line for number, line in enumerate(self.lines) if number not in kept)
        if len(changed) * _SHARE > len(lines) or (ordered and any(not line.asked.ends for line in changed)):
            return None
        entries = [Entry(box, number) for number, line in enumerate(changed) for box in line.touched]
        asked = [(number, box) for number in sorted(stay) for box in lines[number].touched]
        met = first_other(entries, [Query(box, -1, _FAR, ()) for _, box in asked])
        again = {number for (number, _), one in zip(asked, met, strict=True) if one is not None}
        return again | (set(range(len(lines))) - stay)
