"""Jobs -> parts that an optimal order runs through one after the other, as fine as they are known without a search.

Sidney's theorem: an initial part (a set of jobs with all that comes before them) of the greatest ratio of weight to
cost comes first in some optimal order. Applied again and again, with the smallest such part, it leaves *blocks*, none
of which has an initial part with at least its own ratio. Where all of a first half of a block comes before all of its
second half the two are ordered each for itself, and may fall apart further. Jobs in series and side by side, nested as
you like, come out one by one so, as in Lawler's algorithm.

References: J. B. Sidney, "Decomposition algorithms for single-machine sequencing with precedence relations and deferral
costs" (1975); E. L. Lawler, "Sequencing jobs to minimize total weighted completion time subject to precedence
constraints" (1978).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import pairwise

from compiler.ordering.bits import members
from compiler.ordering.closure import Transport
from compiler.ordering.jobs import Jobs


def parts(jobs: Jobs) -> list[tuple[int, ...]]:
    """The parts in order, each with its jobs in the author's order."""
    return [part for block in blocks(jobs) for part in inner(block, jobs)]


def inner(block: tuple[int, ...], jobs: Jobs) -> list[tuple[int, ...]]:
    """The parts that a block falls into."""
    found: list[tuple[int, ...]] = []
    waiting = [(block, True)]
    while waiting:
        row, whole = waiting.pop()
        if len(row) == 1:
            found.append(row)
            continue
        own = jobs.only(row)
        pieces = _series(own.before) if whole else blocks(own)
        if len(pieces) > 1:
            waiting += [(tuple(row[job] for job in piece), not whole) for piece in reversed(pieces)]
        elif whole:
            found.append(row)
        else:
            waiting.append((row, True))
    return found


def blocks(jobs: Jobs) -> list[tuple[int, ...]]:
    """The finest decomposition by ratio, the author's order among equal ratios. Each block ascending."""
    found: list[tuple[int, ...]] = []
    every: Sequence[int] = range(len(jobs.weights))
    waiting = [(jobs, every, (1 << len(every)) - 1)]
    while waiting:
        own, numbers, inside = waiting.pop()
        if inside.bit_count() < 2:
            found += [(numbers[job],) for job in members(inside)]
            continue
        if 2 * inside.bit_count() < len(numbers):  # small sets are fast
            row = members(inside)
            own, numbers, inside = own.only(row), [numbers[job] for job in row], (1 << len(row)) - 1
        cut = Transport(inside, own.before, own.weights, own.costs)
        first = cut.initial()
        if first:
            waiting += [(own, numbers, inside & ~first), (own, numbers, first)]
        else:
            found += [tuple(numbers[job] for job in members(piece)) for piece in _tight(inside, own.before, cut)]
    return found


def _tight(inside: int, before: Sequence[int], cut: Transport) -> list[int]:
    """The parts of a set of which no initial part is above its ratio: what is held together by flow that nothing else
    can replace, the strongly connected parts of what the flow leaves (H. N. Gabow's search along a path)."""
    pieces: list[int] = []
    left, on_path = inside, 0
    path: list[tuple[int, int]] = []  # parts so far, and where one gets from each
    while left or path:
        if not path:
            path.append(_alone(left & -left, inside, before, cut))
            left &= ~path[-1][0]
            on_path |= path[-1][0]
        piece, ways = path.pop()
        if ways & left:
            path.append((piece, ways))
            path.append(_alone(1 << (ways & left).bit_length() - 1, inside, before, cut))
            left &= ~path[-1][0]
            on_path |= path[-1][0]
        elif ways & on_path & ~piece:
            while ways & on_path & ~piece:
                earlier, more = path.pop()
                piece, ways = piece | earlier, ways | more
            path.append((piece, ways))
        else:
            pieces.append(piece)
            on_path &= ~piece
    return _as_written(pieces, inside, before)


def _alone(own: int, inside: int, before: Sequence[int], cut: Transport) -> tuple[int, int]:
    job = own.bit_length() - 1
    return own, before[job] & inside | cut.senders(job)


def _as_written(pieces: Sequence[int], inside: int, before: Sequence[int]) -> list[int]:
    """Pieces of equal ratio: always the one that begins first among those that nothing is left before."""
    needs = {}
    for piece in pieces:
        need = 0
        for job in members(piece):
            need |= before[job]
        needs[piece] = need & inside & ~piece
    of = {job: piece for piece in pieces for job in members(piece)}
    ready: list[tuple[int, int]] = []
    held: dict[int, list[int]] = {}
    done = 0

    def ask(piece: int) -> None:
        missing = needs[piece] & ~done
        if missing:
            held.setdefault(of[missing.bit_length() - 1], []).append(piece)
        else:
            heappush(ready, (piece & -piece, piece))

    for piece in pieces:
        ask(piece)
    found = []
    while ready:
        _, piece = heappop(ready)
        found.append(piece)
        done |= piece
        for other in held.pop(piece, ()):
            ask(other)
    return found


def _series(before: Sequence[int]) -> list[range]:
    """Jobs as sets each of which comes before all of the next, as many as there are."""
    behind: list[int] = []  # what comes before all from there on
    common = (1 << len(before)) - 1
    for own in reversed(before):
        common &= own
        behind.append(common)
    behind.reverse()
    starts = [job for job, all_ in enumerate(behind) if all_ == (1 << job) - 1]
    return [range(*pair) for pair in pairwise([*starts, len(before)])]
