"""Two lists of rules that do the same, told without a diagram: by pairs of rules that stand otherwise.

Rules that ask and do the same stand for each other, the n-th in one list for the n-th in the other. Of a packet let x
in the first list and y in the second be the first two on its way that do not stand for each other. Then, since nothing
on its way so far has changed what is asked here (`entries.changes`: lists are cut where something does):

- both stand in both lists: then they stand there in turned order, and the packet meets both;
- else no rule in front of x in its list, nor in front of y in its own, ends the packet's way.

So lists do the same to every packet when each such pair that some packet meets and that does not end ways alike lies
within what rules ahead of the two, in their lists, end. Rules that do more than end ways, or ask what depends on
others, keep their order so against all that meet the same packets: a packet asks the same questions of its way,
stateful ones included, in the same order in both lists.

What is not found so is left to diagrams: nobody is told that lists differ.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.semantics.proof.crossings import AT_A_TIME, Few, Spans, holds, meet, numbers
from compiler.semantics.proof.entries import Axes, Entry, common, without
from compiler.semantics.rules.netfilter import Intervals

#: Of so many pairs that stand in turned order it is asked what lies ahead of them; regions fall into so many pieces.
_PAIRS, _PIECES = 100, 128
#: Points: what they lie in, by axis.
Region = Mapping[int, Intervals]


def alike(one: Sequence[Entry], two: Sequence[Entry], axes: Axes) -> bool:
    """Whether it is found that the lists do the same to every packet. The last entry of each, its end, asks nothing and
    ends the way."""
    ahead, mates = _paired(one, two)
    return (
        _crossings(one, two, ahead, axes)
        and _Odd(one, two, mates, axes).settled()
        and _Odd(two, one, [ahead.get(place) for place in range(len(one))], axes).settled()
    )


def _paired(one: Sequence[Entry], two: Sequence[Entry]) -> tuple[dict[int, int], list[int | None]]:
    """Places in the second list by those in the first of entries that stand for each other, and the other way round."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place in range(len(one) - 1, -1, -1):
        places[one[place][:3]].append(place)
    mates: list[int | None] = []
    for entry in two:
        waiting = places.get(entry[:3])
        mates.append(waiting.pop() if waiting else None)
    return {mate: place for place, mate in enumerate(mates) if mate is not None}, mates


def paired(one: Sequence[Entry], two: Sequence[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Those that stand for each other."""
    return ((one[first], two[second]) for first, second in _paired(one, two)[0].items())


def _crossings(one: Sequence[Entry], two: Sequence[Entry], ahead: Mapping[int, int], axes: Axes) -> bool:
    """Whether all pairs that stand in turned order may."""
    left = _PAIRS
    for x, y in _turned(one, ahead, axes.spans):
        if meet(one[x], one[y], axes.spans):
            left -= 1
            region = _common(_region(one[x], axes), one[y], axes)
            if not left or not _covered([region], [*one[:x], *two[: ahead[y]]], axes):
                return False
    return True


def _turned(one: Sequence[Entry], ahead: Mapping[int, int], spans: Spans) -> Iterator[tuple[int, int]]:
    """At least the pairs in which a packet may meet both, the first in front of the second in the first list and behind
    it in the second, and that do not end its way alike: by their places in the first list."""
    row = sorted(ahead, key=ahead.__getitem__)
    for start in range(0, len(row), AT_A_TIME):
        few = row[start : start + AT_A_TIME]
        index = Few([one[place] for place in few], spans)
        alike: dict[Hashable, int] = defaultdict(int)
        for number, place in enumerate(few):
            if one[place].ends:
                alike[one[place].does] |= 1 << number
        in_order = sorted(range(len(few)), key=few.__getitem__)
        places = [few[number] for number in in_order]
        behind = [index.every]
        for number in in_order:
            behind.append(behind[-1] & ~(1 << number))
        last = places[-1]
        for number in range(start, len(row)):
            place = row[number]
            if place > last:
                continue
            found = behind[bisect_right(places, place)]
            if number < start + len(few):
                found &= (1 << number - start) - 1
            if found and one[place].ends:
                found &= ~alike[one[place].does]
            if found:
                for other in numbers(index.meeting(one[place], found)):
                    yield place, few[other]


@dataclass(frozen=True, slots=True)
class _Odd:
    """Entries of the list `own` that stand for none of the `other` list. `mates`: of each in the other list the place
    of the one that it stands for."""

    own: Sequence[Entry]
    other: Sequence[Entry]
    mates: Sequence[int | None]
    axes: Axes

    def settled(self) -> bool:
        """Whether each of them may stand where it does."""
        known = {mate for mate in self.mates if mate is not None}
        odd = [place for place in range(len(self.own)) if place not in known]
        odd = self._met(odd) if odd else []
        unsettled: list[tuple[int, list[Entry], list[Region]]] = []
        for place, others in self._meeting(odd).items():
            unsettled += self._walk(place, others)
        if not unsettled:
            return True
        inner = self._in_front({place for place, _, _ in unsettled})
        return all(_covered(pieces, [*inner[place], *others], self.axes) for place, others, pieces in unsettled)

    def _met(self, odd: Iterable[int]) -> list[int]:
        """Those for which packets are left by each single entry in front of them."""
        left = list(odd)
        for start, index, few in _in_turn(self.own, self.axes.spans):
            last = [place for place in left if place <= start]
            for place in left:
                if place > start:
                    among = index.ends & ((1 << place - start) - 1)
                    found = numbers(index.few.holding(self.own[place], among))
                    if not any(holds(few[number], self.own[place], self.axes.spans) for number in found):
                        last.append(place)
            left = last
        return left

    def _meeting(self, odd: Sequence[int]) -> dict[int, list[int]]:
        """For each of them all of the other list that some packet meets, too, up to the first that has all packets."""
        found: dict[int, list[int]] = {place: [] for place in odd}
        left = list(odd)
        for start, index, few in _in_turn(self.other, self.axes.spans):
            waiting = []
            for place in left:
                own, among = self.own[place], index.few.every
                holding = numbers(index.few.holding(own, index.ends))
                first = next((n for n in holding if holds(few[n], own, self.axes.spans)), None)
                if first is None:
                    waiting.append(place)
                else:
                    among = (2 << first) - 1
                met = numbers(index.few.meeting(own, among))
                found[place] += (start + n for n in met if meet(own, few[n], self.axes.spans))
            left = waiting
        return found

    def _walk(self, place: int, others: Sequence[int]) -> Iterator[tuple[int, list[Entry], list[Region]]]:
        """Where packets of the entry come to one that does something else, though it may stand otherwise in the two
        lists: the place, what stands in front of the other, and those packets."""
        own, axes = self.own[place], self.axes
        pieces = [_region(own, axes)]
        ahead: list[Entry] = []
        for number in others:
            entry, mate = self.other[number], self.mates[number]
            same = own.ends and entry.ends and own.does == entry.does
            if not same and (mate is None or mate > place):
                hit = [_common(piece, entry, axes) for piece in pieces if _meets(piece, entry, axes)]
                if hit:
                    yield place, list(ahead), hit
            if entry.ends:
                ahead.append(entry)
                if holds(own, entry, axes.spans) or holds(entry, own, axes.spans):
                    pieces = [rest for piece in pieces for rest in _less(piece, entry, axes)]
                    if not pieces:
                        return

    def _in_front(self, odd: set[int]) -> dict[int, list[Entry]]:
        """For each of them all in front of it that end ways and that some of its packets meet."""
        found: dict[int, list[Entry]] = {place: [] for place in odd}
        for start, index, few in _in_turn(self.own, self.axes.spans):
            for place in odd:
                if place > start:
                    among = index.ends & ((1 << place - start) - 1)
                    found[place] += (few[n] for n in numbers(index.few.meeting(self.own[place], among)))
        return found


@dataclass(frozen=True, slots=True)
class _Index:
    few: Few
    ends: int


def _in_turn(entries: Sequence[Entry], spans: Spans) -> Iterator[tuple[int, _Index, Sequence[Entry]]]:
    for start in range(0, len(entries), AT_A_TIME):
        few = entries[start : start + AT_A_TIME]
        ends = sum(1 << number for number, entry in enumerate(few) if entry.ends)
        yield start, _Index(Few(few, spans), ends), few


# Regions


def _region(entry: Entry, axes: Axes) -> Region:
    return {axis: axes.spans[span] for axis, span in entry.asks}


def _meets(region: Region, entry: Entry, axes: Axes) -> bool:
    return all(axis not in region or common(region[axis], axes.spans[span]) for axis, span in entry.asks)


def _common(region: Region, entry: Entry, axes: Axes) -> Region:
    found = dict(region)
    for axis, span in entry.asks:
        found[axis] = common(found[axis], axes.spans[span]) if axis in found else axes.spans[span]
    return found


def _less(region: Region, entry: Entry, axes: Axes) -> Iterator[Region]:
    """What is left of a region without what the entry asks, in pieces that do not meet."""
    if not _meets(region, entry, axes):
        yield region
        return
    rest = dict(region)
    for axis, span in entry.asks:
        here, asked = rest.get(axis, axes.whole[axis]), axes.spans[span]
        outside = without(here, asked)
        if outside:
            yield {**rest, axis: outside}
            rest[axis] = common(here, asked)


def _covered(pieces: Sequence[Region], covers: Iterable[Entry], axes: Axes) -> bool:
    """Whether no point of the pieces is left by entries that end ways, those that take a whole piece first."""
    near = [entry for entry in covers if entry.ends and any(_meets(piece, entry, axes) for piece in pieces)]
    left = list(pieces)
    for entry in sorted(near, key=lambda entry: len(entry.asks)):
        left = [rest for piece in left for rest in _less(piece, entry, axes)]
        if not left:
            return True
        if len(left) > _PIECES:
            return False
    return False
