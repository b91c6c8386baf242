"""Who selectors mean, kept up to date pod by pod: the census of a cluster that moves.

Groups and selectors are as in `resolve.inventory`. A selector that was asked about once is *watched*: it knows its
groups, and each group the watched selectors that mean it, so that one pod touches what names it and nothing else. Of
pods elsewhere nothing is kept but their addresses, as integers.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.live.claims import Claims
from compiler.live.groups import LiveGroup, Step, Watched, group_key, is_one
from compiler.net import Family, Prefix
from compiler.policy import NodeSelector, PodSelector, Policy
from compiler.resolve.inventory import Group, node_addresses, stretches_of
from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod
from compiler.snapshot import NAME_LABEL

#: A batch of more pods than this is cheaper sorted at once than put in order one by one.
_MANY = 1000


class Index:
    """A census (`resolve.inventory.Census`). `told` hears of every step."""

    def __init__(self, node: str | None, told: Callable[[Step], None]) -> None:
        self._node = node
        self._told = told
        self._last = -1
        self._groups: dict[int, LiveGroup] = {}
        self._by_key: dict[object, LiveGroup] = {}
        self._by_namespace: dict[str, dict[int, LiveGroup]] = {}
        self._serving: dict[str, dict[int, LiveGroup]] = {}
        self._watched: dict[PodSelector, Watched] = {}
        #: The same by identity, which is quicker than equality.
        self._by_object: dict[int, tuple[PodSelector, Watched]] = {}
        #: The same by namespace; None: those that mean namespaces by their labels.
        self._watched_in: dict[str | None, dict[PodSelector, Watched]] = {None: {}}
        self._alike = 0
        #: Policies that were asked about last, and their positions by subject.
        self._selecting: tuple[Sequence[Policy], dict[Watched, list[int]]] | None = None
        self._likenesses: dict[object, int] = {}
        self._counting: set[Watched] = set()
        self._holding: dict[Family, set[int]] = {family: set() for family in Family}
        self._every: dict[Family, list[int]] = {}
        self._local: dict[int, LiveGroup] = {}
        self._local_addresses: dict[tuple[Family, int], LiveGroup] = {}
        self._claims = Claims()
        self._spaces: dict[str, Namespace] = {}
        self._nodes: dict[str, Node] = {}

    # What is asked: see `Census`

    @property
    def contested(self) -> Mapping[str, Sequence[Pod]]:
        return self._claims.contested

    def group(self, number: int) -> LiveGroup:
        return self._groups[number]

    def local(self, node: str | None) -> Collection[LiveGroup]:
        assert node == self._node, "an index of another node"
        return [group for _, group in sorted(self._local.items())]

    def selecting(self, policies: Sequence[Policy], groups: Collection[Group]) -> Mapping[int, Sequence[Policy]]:
        if self._selecting is None or self._selecting[0] is not policies:
            subjects: dict[Watched, list[int]] = {}
            for n, policy in enumerate(policies):
                subjects.setdefault(self.watch(policy.subject), []).append(n)
            self._selecting = policies, subjects
        by_subject = self._selecting[1]
        found = {}
        for group in groups:
            order = sorted(n for watched in self._groups[group.number].watched for n in by_subject.get(watched, ()))
            found[group.number] = [policies[n] for n in order]
        return found

    def holding(self, family: Family) -> set[int]:
        return self._holding[family]

    def numbers(self, chosen: PodSelector) -> set[int]:
        return self.watch(chosen).numbers

    def size(self, chosen: PodSelector) -> int:
        return self.watch(chosen).size

    def addresses(self, chosen: PodSelector, family: Family) -> list[int]:
        return sorted(a for n in self.numbers(chosen) for a in self._groups[n].addresses(family))

    def stretches(self, chosen: PodSelector, family: Family, starts: Sequence[int]) -> frozenset[int]:
        if len(starts) > 1:
            used = stretches_of(self._sorted(family), starts)
            if len(used) > 1:
                groups = (self._groups[n].addresses(family) for n in self.numbers(chosen))
                return frozenset().union(*(stretches_of(found, starts) for found in groups))
        holds = any(self._groups[n].addresses(family) for n in self.numbers(chosen))
        return frozenset(used if len(starts) > 1 else {0}) if holds else frozenset()

    def serving(self, name: str) -> Iterable[LiveGroup]:
        return self._serving.get(name, {}).values()

    def nodes(self, chosen: NodeSelector, family: Family) -> tuple[Prefix, ...]:
        return node_addresses(self._nodes.values(), chosen, family)

    # What is asked besides

    def watch(self, chosen: PodSelector) -> Watched:
        """The selector with all that it means, from now on."""
        known = self._by_object.get(id(chosen))
        if known is not None and known[0] is chosen:
            return known[1]
        found = self._watched.get(chosen)
        if found is None:
            found = self._watched[chosen] = Watched(chosen)
            self._watched_in.setdefault(_place(chosen), {})[chosen] = found
            for namespace in self._namespaces(chosen):
                for group in self._by_namespace.get(namespace, {}).values():
                    if chosen.pods.matches(group.labels):
                        self._join(found, group)
        self._by_object[id(chosen)] = chosen, found
        return found

    def count(self, counted: Collection[Watched]) -> None:
        """From now on, these count what comes and goes; what was counted so far is forgotten."""
        for watched in self._counting - set(counted):
            watched.moved = None
        for watched in counted:
            watched.moved = {}
        self._counting = set(counted)

    def forget_but(self, used: Sequence[PodSelector]) -> None:
        """Stops to watch all but these selectors and subjects that were asked about last, when many are not among
        them."""
        subjects = len(self._selecting[1]) if self._selecting is not None else 0
        if len(self._by_object) <= 4 * (len(used) + subjects) + _MANY:
            return
        kept = {*used, *(watched.selector for watched in (self._selecting[1] if self._selecting is not None else ()))}
        self._by_object.clear()
        for chosen in self._watched.keys() - kept:
            gone = self._watched.pop(chosen)
            del self._watched_in[_place(chosen)][chosen]
            for number in gone.numbers:
                self._groups[number].watched.discard(gone)
                self._groups[number].likeness = 0

    def holder(self, family: Family, address: int) -> LiveGroup | None:
        """The group of the node's pod with that address; None for addresses that no such pod has for itself."""
        return self._local_addresses.get((family, address))

    def rivals(self, pod: Pod) -> Iterator[Pod]:
        """Other pods that claim addresses of a pod."""
        return self._claims.rivals(pod)

    # What moves

    def many(self, count: int) -> None:
        """So many pods are about to move."""
        if count > _MANY:
            self._every.clear()

    def move(self, old: Pod | None, new: Pod | None) -> None:
        """One pod was, and is now; None: it was not there, or is gone."""
        was, comes = ([pod] if pod is not None and pod.holds_addresses else [] for pod in (old, new))
        rivals = {(pod.namespace, pod.name): pod for one in (*was, *comes) for pod in self.rivals(one)}
        for pod in (*was, *rivals.values()):
            self._withdraw(pod)
        for pod in was:
            self._claims.release(pod)
        for pod in comes:
            self._claims.take(pod)
        for pod in (*comes, *rivals.values()):
            self._settle(pod)

    def _settle(self, pod: Pod) -> None:
        own = self._claims.own(pod)
        if not own:
            return
        group = self._group_of(pod)
        group.size += 1
        for watched in group.watched:
            watched.size += 1
        if self.is_local(pod):
            group.pods.append(pod if len(own) == len(pod.ips) else replace(pod, ips=tuple(own)))
            self._local[group.number] = group
        likeness = self._likeness(group)
        for family, address in own.values():
            found = group.addresses(family)
            insort(found, address)
            if family in self._every:
                insort(self._every[family], address)
            if self.is_local(pod):
                self._local_addresses[family, address] = group
            if len(found) == 1:
                self._holding[family].add(group.number)
            for watched in group.watched:
                watched.move(family, address, 1)
            self._told(Step(True, group, likeness, family, address, len(found) == 1))

    def _withdraw(self, pod: Pod) -> None:
        own = self._claims.own(pod)
        if not own:
            return
        group = self._by_key[group_key(pod)]
        likeness = self._likeness(group)
        for family, address in own.values():
            found = group.addresses(family)
            self._told(Step(False, group, likeness, family, address, len(found) == 1))
            del found[bisect_left(found, address)]
            if family in self._every:
                del self._every[family][bisect_left(self._every[family], address)]
            self._local_addresses.pop((family, address), None)
            if not found:
                self._holding[family].discard(group.number)
            for watched in group.watched:
                watched.move(family, address, -1)
        group.size -= 1
        for watched in group.watched:
            watched.size -= 1
        if self.is_local(pod):
            group.pods[:] = [one for one in group.pods if not is_one(one, pod)]
            if not group.pods:
                del self._local[group.number]
        if not group.size:
            self._dissolve(group, group_key(pod))

    def _likeness(self, group: LiveGroup) -> int:
        if not group.likeness:
            if len(self._likenesses) > _MANY * 10:
                self._likenesses.clear()  # numbers are not given again
            self._alike += 1
            key = frozenset(group.watched), group.ports
            group.likeness = self._likenesses.setdefault(key, self._alike)
        return group.likeness

    def is_local(self, pod: Pod) -> bool:
        """Whether the pod is one of the node."""
        return self._node is None or pod.node == self._node

    def _group_of(self, pod: Pod) -> LiveGroup:
        key = group_key(pod)
        group = self._by_key.get(key)
        if group is None:
            self._last += 1
            group = self._by_key[key] = LiveGroup(self._last, pod.namespace, pod.labels, pod.ports, [])
            self._groups[group.number] = group
            self._by_namespace.setdefault(pod.namespace, {})[group.number] = group
            for name in _names(group.ports):
                self._serving.setdefault(name, {})[group.number] = group
            for watched in (*self._watched_in[None].values(), *self._watched_in.get(pod.namespace, {}).values()):
                if self._means(watched.selector, group):
                    self._join(watched, group)
        return group

    def _dissolve(self, group: LiveGroup, key: object) -> None:
        del self._by_key[key], self._groups[group.number]
        for parts, name in ((self._by_namespace, group.namespace), *((self._serving, n) for n in _names(group.ports))):
            del parts[name][group.number]
            if not parts[name]:
                del parts[name]
        for watched in group.watched:
            watched.numbers.discard(group.number)

    def _join(self, watched: Watched, group: LiveGroup) -> None:
        watched.numbers.add(group.number)
        watched.size += group.size
        group.watched.add(watched)
        group.likeness = 0
        for family in Family if watched.moved is not None else ():
            for address in group.addresses(family):
                watched.move(family, address, 1)

    def _leave(self, watched: Watched, group: LiveGroup) -> None:
        watched.numbers.discard(group.number)
        watched.size -= group.size
        group.watched.discard(watched)
        group.likeness = 0
        for family in Family if watched.moved is not None else ():
            for address in group.addresses(family):
                watched.move(family, address, -1)

    # Namespaces and nodes

    def relabelled(self, name: str, space: Namespace | None) -> list[Watched]:
        """Takes the labels of a namespace, or that it has none of its own, and returns the watched selectors that mean
        other groups now. No step is told: these selectors are to be asked anew."""
        if space is None:
            self._spaces.pop(name, None)
        else:
            self._spaces[name] = space
        moved = []
        groups = self._by_namespace.get(name, {}).values()
        for watched in self._watched_in[None].values() if groups else ():
            found = [g for g in groups if self._means(watched.selector, g) is not (g.number in watched.numbers)]
            for group in found:
                (self._leave if group.number in watched.numbers else self._join)(watched, group)
            if found:
                moved.append(watched)
        return moved

    def renewed(self, name: str, node: Node | None) -> bool:
        """Takes a node, or that it is gone; whether selectors of nodes may mean other addresses now."""
        old = self._nodes.pop(name, None)
        if node is not None:
            self._nodes[name] = node
        return _of_node(old) != _of_node(node)

    def _means(self, chosen: PodSelector, group: Group) -> bool:
        spaces = chosen.namespaces
        if isinstance(spaces, str):
            return spaces == group.namespace and chosen.pods.matches(group.labels)
        return chosen.pods.matches(group.labels) and spaces.matches(self._space_labels(group.namespace))

    def _namespaces(self, chosen: PodSelector) -> Iterable[str]:
        spaces = chosen.namespaces
        if isinstance(spaces, str):
            return (spaces,)
        return (name for name in self._by_namespace if spaces.matches(self._space_labels(name)))

    def _space_labels(self, name: str) -> Mapping[str, str]:
        space = self._spaces.get(name)
        return {**(space.labels if space is not None else {}), NAME_LABEL: name}

    def _sorted(self, family: Family) -> list[int]:
        found = self._every.get(family)
        if found is None:
            every = (a for n in self._holding[family] for a in self._groups[n].addresses(family))
            found = self._every[family] = sorted(every)
        return found


def _place(chosen: PodSelector) -> str | None:
    return chosen.namespaces if isinstance(chosen.namespaces, str) else None


def _names(ports: Iterable[ContainerPort]) -> set[str]:
    return {port.name for port in ports if port.name}


def _of_node(node: Node | None) -> object:
    return None if node is None else (node.labels, node.ips)
