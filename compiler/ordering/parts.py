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

from compiler.ordering.bits import members
from compiler.ordering.closure import Transport
from compiler.ordering.jobs import Jobs


def parts(jobs: Jobs) -> list[tuple[int, ...]]:
    """The parts in order, each with its jobs in the author's order."""
    return [part for block in blocks((1 << len(jobs.weights)) - 1, jobs) for part in inner(block, jobs)]


def inner(block: int, jobs: Jobs) -> list[tuple[int, ...]]:
    """The parts that a block falls into."""
    found: list[tuple[int, ...]] = []
    waiting = [(block, True)]
    while waiting:
        inside, whole = waiting.pop()
        pieces = [inside] if whole else blocks(inside, jobs)
        if len(pieces) > 1:
            waiting += [(piece, True) for piece in reversed(pieces)]
            continue
        row = members(inside)
        halves = _series(row, jobs.before)
        if len(halves) > 1:
            waiting += [(half, False) for half in reversed(halves)]
        elif row:
            found.append(tuple(row))
    return found


def blocks(inside: int, jobs: Jobs) -> list[int]:
    """The finest decomposition of a set of jobs by ratio, the author's order among equal ratios."""
    found: list[int] = []
    waiting = [inside]
    while waiting:
        inside = waiting.pop()
        if not inside & inside - 1:
            found += [inside] * bool(inside)
            continue
        cut = Transport(inside, jobs.before, jobs.weights, jobs.costs)
        first = cut.initial()
        if first:
            waiting += [inside & ~first, first]
        else:
            found += _tight(inside, jobs.before, cut)
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


def _series(row: Sequence[int], before: Sequence[int]) -> list[int]:
    """A set as sets each of which comes before all of the next, as many as there are."""
    whole = 0
    for job in row:
        whole |= 1 << job
    behind: list[int] = []  # what comes before all from there on
    common = whole
    for job in reversed(row):
        common &= before[job]
        behind.append(common)
    behind.reverse()
    found, start, seen = [], 0, 0
    for number, job in enumerate(row):
        if number and not seen & ~behind[number]:
            found.append(seen & ~start)
            start = seen
        seen |= 1 << job
    return [*found, seen & ~start] if row else []
