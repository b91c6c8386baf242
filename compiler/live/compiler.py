"""The pipeline for one node, kept up to date by what changes in its cluster.

`take` gets what has changed and says what that changes in the rules; `ruleset` is always what a compile from scratch
of the same objects would make.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TypeVar

from compiler.backends.target import Target
from compiler.ir.change import Change, canonical, difference
from compiler.ir.ruleset import Ruleset
from compiler.live.batch import Batch, PodKey, PolicyKey
from compiler.live.steady import steady
from compiler.lower.pods import lower
from compiler.resolve.classes import classes
from compiler.resolve.inventory import Inventory
from compiler.resolve.reach import Reacher
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import Located
from compiler.translate import translate

_K = TypeVar("_K")
_V = TypeVar("_V")


class LiveCompiler:
    """Rules of the target's node; without a node, every pod of the cluster is a subject. In the beginning there is
    nothing in the cluster."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pods: dict[PodKey, Pod] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._nodes: dict[str, Node] = {}
        self._policies: dict[PolicyKey, Located] = {}
        self._ruleset = Ruleset((), families=target.families, counted=target.counters)

    def take(self, batch: Batch) -> Change:
        """What makes the rules of now out of those of before. The first change starts from nothing at all."""
        _put(self._pods, batch.pods)
        _put(self._namespaces, batch.namespaces)
        _put(self._nodes, batch.nodes)
        _put(self._policies, batch.policies)
        before, self._ruleset = self._ruleset, canonical(self._whole())
        return difference(before, self._ruleset)

    def ruleset(self) -> Ruleset:
        """All rules of now, with their elements; `canonical`."""
        return self._ruleset

    def policies(self) -> tuple[Located, ...]:
        """Every policy, in the order of their keys."""
        return tuple(located for _, located in sorted(self._policies.items()))

    def snapshot(self) -> Snapshot:
        """The cluster of now."""
        own = {namespace for kind, namespace, _ in self._policies if kind == "NetworkPolicy"}
        return build(self._pods.values(), self._namespaces.values(), self._nodes.values(), own)

    def _whole(self) -> Ruleset:
        inventory = Inventory(self.snapshot())
        found = classes(inventory, translate(self.policies()), self._target.node)
        made = lower(found, Reacher(inventory), self._target)
        return steady(made, self._target)


def _put(known: MutableMapping[_K, _V], changed: Mapping[_K, _V | None]) -> None:
    for key, value in changed.items():
        if value is None:
            known.pop(key, None)
        else:
            known[key] = value
