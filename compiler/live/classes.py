"""The classes of a node (`resolve.classes`) with their reaches, kept up to date.

Steps of the index go to the classes whose selectors mean the group, or that ask it for a named port. `settle` makes
anew what they broke, and finds out which classes the ruleset has and whose pairs it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from compiler.backends.target import Target
from compiler.live.groups import Step, Watched
from compiler.live.index import Index
from compiler.live.kept import Kept
from compiler.live.objects import Objects
from compiler.live.pairs import LivePairs
from compiler.lower import fastpath
from compiler.net import Family, PortSet
from compiler.policy import Direction
from compiler.resolve import reach
from compiler.resolve.classes import Known, PodClass, classes


class _Identity(NamedTuple):
    """What a class is known by. Its policies are compared by identity; they live as long as it does."""

    family: Family
    direction: Direction
    policies: tuple[int, ...]
    ports: tuple[PortSet, ...]


class Classes:
    """`lowered`: the classes of the ruleset, all of a family in a row."""

    def __init__(self, index: Index, target: Target, pairs: Mapping[Family, LivePairs]) -> None:
        self._index = index
        self._target = target
        self._pairs = pairs
        self._kept: dict[_Identity, Kept] = {}
        self._known: Known = {}
        self.lowered: tuple[Kept, ...] = ()
        self._users: dict[Family, dict[Watched, set[Kept]]] = {}
        self._named: dict[Family, dict[str, set[Kept]]] = {}
        self._touched: set[Kept] = set()
        self._resized: set[Watched] = set()
        #: Of the selectors that are asked: whether they mean many.
        self._many: dict[Watched, bool] = {}
        #: The large ones, in the order in which classes ask them.
        self._large: list[Watched] = []
        self._costs: dict[Kept, int] = {}
        self._paired: dict[Family, bool] = {}

    # What happens

    def step(self, step: Step) -> None:
        """An address comes or goes."""
        watched = step.group.watched
        self._resized |= watched
        users, named = self._users.get(step.family), self._named.get(step.family)
        if users is None or named is None:
            return
        concerned = set[Kept]().union(*(users[one] for one in watched if one in users))
        for port in step.group.ports if named else ():
            concerned |= named.get(port.name, set())
        for one in concerned:
            if not one.broken:
                self._touched.add(one)
                moved = one.take(step)
                if moved is not None:
                    self._pairs[step.family].changed(one, step.address, *moved)

    def asked_anew(self, moved: Iterable[Watched]) -> None:
        """These selectors mean other groups."""
        for watched in moved:
            for users in self._users.values():
                for one in users.get(watched, ()):
                    one.broken = True

    def nodes_moved(self) -> None:
        """Selectors of nodes may mean other addresses."""
        for one in self._kept.values():
            one.broken |= one.asks_nodes

    # What follows from it

    def settle(self, objects: Objects | None) -> bool:
        """Makes anew what is broken; with `objects`, also looks which classes there are. Whether anything but
        elements may be other than before."""
        self._look_at_sizes()
        if objects is not None:
            self._arrange(self._found(objects))
        elif any(one.broken for one in self._kept.values()):
            self._arrange([(identity, one.pods) for identity, one in self._kept.items()])
        elif any(one.reshaped for one in self._touched) or self._is_spent():
            shaped = self._arrange([(identity, one.pods) for identity, one in self._kept.items()])
            if not (shaped or any(one.reshaped for one in self._touched)):
                return self._paired_anew()
        else:
            return self._paired_anew()
        self._paired_anew()
        return True

    def clear(self) -> None:
        """Forgets what has changed."""
        for one in self._touched:
            one.before.clear()
            one.reshaped = False
        self._touched.clear()

    def forget_names(self) -> None:
        """Forgets what is made of names."""
        for one in self._kept.values():
            one.chain, one.part = "", None

    def _paired_anew(self) -> bool:
        before, self._paired = self._paired, {family: bool(pairs.count) for family, pairs in self._pairs.items()}
        return before != self._paired

    def _look_at_sizes(self) -> None:
        for watched in self._resized:
            many = watched.size >= reach.SHARED_MINIMUM
            if self._many.get(watched, many) != many:
                self.asked_anew([watched])
                self._many[watched] = many
        self._resized.clear()
        if any(_rank(one) > _rank(two) for one, two in pairwise(self._large)):
            self._large.sort(key=_rank)
            for kept in self._kept.values():
                kept.broken |= any(_rank(one) > _rank(two) for (_, one), (_, two) in pairwise(kept.covering))

    def _is_spent(self) -> bool:
        """Whether the budget of pairs is, or was, too small for all classes."""
        for one in self._touched:
            self._costs[one] = fastpath.cost(one.addresses, one.tally)
        spent = dict.fromkeys(Family, 0)
        for one, cost in self._costs.items():
            spent[one.family] += cost
        return max(spent.values()) > fastpath.PAIR_BUDGET or any(one.lowered and not one.counted for one in self._costs)

    def _found(self, objects: Objects) -> list[tuple[_Identity, PodClass]]:
        """The classes that there are, in a stable order."""
        node = self._target.node
        policies = objects.concerning({group.namespace for group in self._index.local(node)})
        found = classes(self._index, policies, node, self._known)
        order = [*Direction]
        named = [
            (order.index(c.direction), not c.policies, c.pods[0].namespace, c.pods[0].name, n)
            for n, c in enumerate(found)
        ]
        return [
            (_identity(pods, family), pods)
            for family in self._target.families
            for pods in (found[n] for *_, n in sorted(named))
            if pods.addresses(family)
        ]

    def _arrange(self, found: list[tuple[_Identity, PodClass]]) -> bool:
        """Takes over these classes; whether any is other than before."""
        before = self._kept
        made: dict[_Identity, tuple[Kept, PodClass]] = {}
        for identity, pods in found:
            known = before.get(identity)
            if known is None or known.broken:
                known = Kept(self._index, pods, identity.family)
            made[identity] = (known, pods)
        states = self._states(list(made.values()))
        concerned: dict[Family, set[int]] = {family: set() for family in self._target.families}
        for identity, one in before.items():
            if identity not in made:
                concerned[identity.family].update(one.addresses)
        for identity, (one, pods) in made.items():
            known = before.get(identity)
            if known is None or (known.lowered, known.counted) != states[one] or not known.allows_as(one):
                concerned[identity.family].update(pods.addresses(identity.family))
                concerned[identity.family].update(known.addresses if known is not None else ())
        for family, addresses in concerned.items():
            self._pairs[family].detach(addresses)
        for one, pods in made.values():
            one.pods, one.addresses = pods, pods.addresses(one.family)
            one.lowered, one.counted = states[one]
        self._kept = {identity: one for identity, (one, _) in made.items()}
        self.lowered = tuple(one for one in self._kept.values() if one.lowered)
        for family in concerned:
            self._pairs[family].attach(one for one in self.lowered if one.family is family)
        self._register()
        self._index.forget_but([one.selector for kept in self._kept.values() for one in kept.watched])
        return any(concerned.values())

    def _states(self, made: list[tuple[Kept, PodClass]]) -> dict[Kept, tuple[bool, bool]]:
        """Whether classes are lowered, and whether their pairs are counted."""
        states = {one: (not one.reach.is_open, False) for one, _ in made}
        self._costs = {one: fastpath.cost(pods.addresses(one.family), one.tally) for one, pods in made}
        for family in self._target.families:
            here = [(one, pods) for one, pods in made if one.family is family and states[one][0]]
            for n in fastpath.within_budget([(pods, self._costs[one]) for one, pods in here]):
                states[here[n][0]] = (True, True)
        return states

    def _register(self) -> None:
        self._users = {family: {} for family in self._target.families}
        self._named = {family: {} for family in self._target.families}
        for one in self._kept.values():
            for watched in one.watched:
                self._users[one.family].setdefault(watched, set()).add(one)
            for name in one.reach.names:
                self._named[one.family].setdefault(name, set()).add(one)
        asked = {watched for users in self._users.values() for watched in users}
        self._many = {watched: watched.size >= reach.SHARED_MINIMUM for watched in asked}
        self._large = sorted({watched for one in self._kept.values() for _, watched in one.covering}, key=_rank)


def _identity(pods: PodClass, family: Family) -> _Identity:
    ports = tuple(clause.ports for clause in pods.clauses)
    return _Identity(family, pods.direction, tuple(map(id, pods.policies)), ports)


def _rank(watched: Watched) -> tuple[int, str]:
    return watched.size, watched.text
