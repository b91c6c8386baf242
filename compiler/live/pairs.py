"""Pairs (`lower.fastpath`) of one family, as what comes and goes.

No pair is stored: which there are follows from the classes. For addresses of the node whose classes are about to change
all that they take part in is taken away before (`detach`) and added again after; what remains of that is what changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from compiler.live.kept import Kept
from compiler.lower.fastpath import Pair, ends, opposite, points
from compiler.net import Family, PortSet
from compiler.policy import Direction

_Points = tuple[tuple[int, int], ...]


class LivePairs:
    """`added` and `removed` are what has changed since `clear`; `count` is how many there are."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._subjects: Mapping[Direction, Mapping[int, Kept]] = {direction: {} for direction in Direction}
        self._classes: tuple[Kept, ...] = ()
        self._detached: set[int] = set()
        self.added: set[Pair] = set()
        self.removed: set[Pair] = set()
        self.count = 0

    def clear(self) -> None:
        """Forgets what has changed."""
        self.added, self.removed = set(), set()

    def detach(self, addresses: Iterable[int]) -> None:
        """Takes away all pairs with these addresses of the node."""
        more = set(addresses) - self._detached
        for pair in set(self._with(more)):
            self._remove(pair)
        self._detached |= more

    def attach(self, classes: Iterable[Kept]) -> None:
        """Puts back what was taken away, as it is with these classes, the lowered ones of the family."""
        self._classes = tuple(classes)
        self._subjects = {
            direction: {a: one for one in self._classes if one.pods.direction is direction for a in one.addresses}
            for direction in Direction
        }
        back, self._detached = self._detached, set()
        for pair in set(self._with(back)):
            self._add(pair)

    def changed(self, own: Kept, peer: int, was: PortSet | None, now: PortSet | None) -> None:
        """An exact address of a class has other ports. It is nobody's on this node, or detached."""
        if not own.counted or peer in self._detached:
            return
        before, after = (set(points(ports) or ()) if ports is not None else set() for ports in (was, now))
        for address in own.addresses:
            if address not in self._detached:
                both = ends(own.pods.direction, address, peer)
                for point in before - after:
                    self._remove((*both, *point))
                for point in after - before:
                    self._add((*both, *point))

    def whole(self) -> Iterator[Pair]:
        """Every pair, some several times."""
        for one in self._classes:
            for address in one.addresses:
                yield from self._of(one, address)

    def _with(self, addresses: Collection[int]) -> Iterator[Pair]:
        """Every pair with one of these addresses of the node, some several times, but for detached ones."""
        for one in self._classes if addresses else ():
            for own in one.addresses:
                if own in addresses:
                    yield from self._of(one, own)
            for peer in addresses & one.reach.exact.keys():
                for own in one.addresses:
                    yield from self._between(one, own, peer, points(one.reach.exact[peer]) or ())

    def _of(self, one: Kept, own: int) -> Iterator[Pair]:
        """What a class has with all its exact addresses, as far as the other end's class allows it."""
        wanted: dict[int, _Points] = {}  # by identity: few sets of ports, which many addresses share
        for peer, ports in one.reach.exact.items():
            asked = wanted.get(id(ports))
            if asked is None:
                asked = wanted[id(ports)] = points(ports) or ()
            if asked:
                yield from self._between(one, own, peer, asked)

    def _between(self, one: Kept, own: int, peer: int, asked: _Points) -> Iterator[Pair]:
        if not one.counted or own in self._detached or peer in self._detached:
            return
        source, destination = ends(one.pods.direction, own, peer)
        other = self._subjects[opposite(one.pods.direction)].get(peer)
        if other is None:
            for protocol, port in asked:
                yield source, destination, protocol, port
        else:
            allowed = other.ask(own)
            for protocol, port in asked:
                if allowed.has(protocol, port):
                    yield source, destination, protocol, port

    def _add(self, pair: Pair) -> None:
        self.count += 1
        if pair in self.removed:
            self.removed.remove(pair)
        else:
            self.added.add(pair)

    def _remove(self, pair: Pair) -> None:
        self.count -= 1
        if pair in self.added:
            self.added.remove(pair)
        else:
            self.removed.add(pair)
