"""The pipeline for one node, kept up to date by what changes in its cluster.

`take` gets what has changed and says what that changes in the rules; `ruleset` is always what a compile from scratch
of the same objects would make. A pod of another node changes elements of sets and maps, found through the groups and
selectors that name it (`index`, `kept`, `pairs`). What concerns pods of this node, policies, namespaces or nodes makes
the classes anew that it touches, and the skeleton.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from compiler.backends.target import Target
from compiler.ir.change import Change
from compiler.ir.names import Namer
from compiler.ir.ruleset import Ruleset
from compiler.live.batch import Batch, PodKey
from compiler.live.changes import change
from compiler.live.classes import Classes
from compiler.live.groups import Step
from compiler.live.index import Index
from compiler.live.objects import Moved, Objects, put
from compiler.live.pairs import LivePairs
from compiler.live.ranges import LiveRanges, with_ranges
from compiler.live.skeleton import Skeleton, skeleton
from compiler.net import Family, parse_address
from compiler.resources.cluster import Namespace, Pod
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located

#: So many names are remembered, and four for each class, before those are forgotten that nothing has any more.
_MOST_NAMES = 1000


class LiveCompiler:
    """Rules of the target's node; without a node, every pod of the cluster is a subject. In the beginning there is
    nothing, not even a chain. `closed`: as of a snapshot; `ranges`: the pod ranges of the node, where the cluster does
    not say them."""

    def __init__(self, target: Target, closed: bool = False, ranges: Sequence[str] = ()) -> None:
        self._target = target
        self._closed = closed
        self._given = tuple(ranges)
        self._ranges = LiveRanges(target.families)
        self._objects = Objects()
        self._index = Index(target.node, self._step)
        self._namer = Namer()
        self._pairs = {family: LivePairs(family) for family in target.families}
        self._classes = Classes(self._index, target, self._pairs)
        self._skeleton: Skeleton | None = None

    def take(self, batch: Batch) -> Change:
        """What makes the rules of now out of those of before. The first change starts from nothing at all."""
        moved = self._put_pods(batch.pods)
        around = self._around(moved, batch.namespaces)
        for family, pairs in self._pairs.items():
            pairs.detach(around.get(family, ()))
        anew = self._put(batch) or bool(around) or self._skeleton is None
        self._index.many(len(moved))
        for old, new in moved:
            self._index.move(old, new)
        shaped = self._classes.settle(self._objects if anew else None)
        if self._skeleton is None or shaped or self._ranges.moved:
            return self._become(self._new_skeleton())
        return self._become(self._skeleton)

    def ruleset(self) -> Ruleset:
        """All rules of now, with their elements; `canonical`."""
        if self._skeleton is None:
            return Ruleset((), families=self._target.families, counted=self._target.counters)
        return self._skeleton.filled(self._index, self._pairs)

    def policies(self) -> tuple[Located, ...]:
        """Every policy, in the order of their keys."""
        return tuple(self._objects.located())

    def snapshot(self) -> Snapshot:
        """The cluster of now, all of it."""
        found = self._objects.snapshot()
        nodes = with_ranges(found.nodes, self._target.node, self._given)
        return replace(found, nodes=dict(sorted(nodes.items())), complete=True, closed=self._closed)

    def _step(self, step: Step) -> None:
        self._classes.step(step)

    def _around(self, moved: Iterable[Moved], namespaces: Mapping[str, Namespace | None]) -> dict[Family, set[int]]:
        """The addresses of the node's pods that a batch is about."""
        found: dict[Family, set[int]] = {}
        for pod in self._concerned(moved, namespaces):
            for family, address in map(parse_address, pod.ips):
                found.setdefault(family, set()).add(address)
        return found

    def _concerned(self, moved: Iterable[Moved], namespaces: Mapping[str, Namespace | None]) -> Iterator[Pod]:
        is_local = self._index.is_local
        for pod in (pod for both in moved for pod in both if pod is not None and pod.holds_addresses):
            if is_local(pod):
                yield pod
            yield from filter(is_local, self._index.rivals(pod))
        for group in self._index.local(self._target.node) if namespaces else ():
            if group.namespace in namespaces:
                yield from group.pods

    def _put_pods(self, pods: Mapping[PodKey, Pod | None]) -> list[Moved]:
        for key, pod in pods.items():
            self._ranges.pod(self._objects.pods.get(key), pod)
        return self._objects.put_pods(pods)

    def _put(self, batch: Batch) -> bool:
        """Takes everything but pods; whether classes may be other ones now."""
        objects, index = self._objects, self._index
        had_some = bool(objects.policies)
        places = objects.put_policies(batch.policies)
        local = {group.namespace for group in index.local(self._target.node)} if places else set()
        anew = bool(places & (local | {""})) or had_some is not bool(objects.policies)
        for name, space in batch.namespaces.items():
            put(objects.namespaces, name, space)
            moved = index.relabelled(name, space)
            self._classes.asked_anew(moved)
            anew |= bool(moved)
        renewed = False
        for name, node in batch.nodes.items():
            self._ranges.node(objects.nodes.get(name), node)
            put(objects.nodes, name, node)
            renewed |= index.renewed(name, node)
        if renewed:
            self._classes.nodes_moved()
        if self._closed and self._target.node is not None:
            own = with_ranges(objects.nodes, self._target.node, self._given).get(self._target.node)
            self._ranges.set_blocks(own, objects.pods.values(), objects.nodes.values())
        return anew

    def _new_skeleton(self) -> Skeleton:
        if len(self._namer) > _MOST_NAMES + 4 * len(self._classes.lowered):
            self._namer = Namer()
            self._classes.forget_names()
        some = [family for family, pairs in self._pairs.items() if pairs.count]
        self._ranges.moved = False
        return skeleton(self._classes.lowered, some, self._target, self._namer, self._ranges.now())

    def _become(self, new: Skeleton) -> Change:
        made = change(self._skeleton, new, self._index, self._pairs)
        self._skeleton = new
        for pairs in self._pairs.values():
            pairs.clear()
        self._classes.clear()
        self._index.count({watched for watched, _ in new.shared.values()})
        return made
