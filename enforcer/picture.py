"""The cluster as the daemon knows it: batches put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from compiler.ir.ruleset import Ruleset
from compiler.live.batch import Batch, PodKey, PolicyKey
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.resources.language import NO_PROGRAM, Program
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import Located

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

#: The namespace of pods that close an address. No API server has it: names have no dots (DNS labels).
BARRED = "netpolc.io"


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing may use an address of a node's pod ranges that nobody known has; `ranges`: those of this node, where the
    cluster does not say them."""

    node: str
    ranges: tuple[str, ...] = ()


#: Policies and cluster.
Objects = tuple[tuple[Located, ...], Snapshot]


class View:
    """What rules were made of, and the rules."""

    def __init__(
        self,
        policies: Sequence[Located],
        snapshot: Snapshot,
        program: Program,
        ruleset: Ruleset | None = None,
    ) -> None:
        self._objects: Callable[[], Objects] = lambda: (tuple(policies), snapshot)
        self._local: tuple[Pod, ...] | None = None
        self.program, self.ruleset = program, Ruleset(()) if ruleset is None else ruleset

    @classmethod
    def later(cls, look: Callable[[], Objects], local: tuple[Pod, ...], ruleset: Ruleset) -> View:
        """One whose objects are put together when somebody asks for them, and may be some seconds newer or older than
        the rules then. `local`: pods of the node, exactly."""
        found = cls((), Snapshot(), NO_PROGRAM, ruleset)
        found._objects, found._local = look, local
        return found

    @property
    def policies(self) -> tuple[Located, ...]:
        return self._objects()[0]

    @property
    def snapshot(self) -> Snapshot:
        return self._objects()[1]

    def local(self, node: str) -> tuple[Pod, ...]:
        """The pods of the node that has the rules."""
        if self._local is None:
            self._local = tuple(pod for pod in self.snapshot.pods if pod.node == node)
        return self._local


class Picture:
    """What all batches taken so far leave. `closed` None: addresses that nobody has are nobody's business."""

    def __init__(self, closed: Closed | None = None) -> None:
        self._closed = closed
        self._pods: dict[PodKey, Pod] = {}
        self._namespaces: dict[str, Namespace] = {}
        self._nodes: dict[str, Node] = {}
        self._policies: dict[PolicyKey, Located] = {}

    def take(self, batch: Batch) -> None:
        _put(self._pods, batch.pods)
        _put(self._namespaces, batch.namespaces)
        _put(self._nodes, batch.nodes)
        _put(self._policies, batch.policies)

    @property
    def policies(self) -> tuple[Located, ...]:
        """In the order of their keys."""
        return tuple(located for _, located in sorted(self._policies.items()))

    def node(self, name: str) -> Node | None:
        return self._nodes.get(name)

    def knows(self, node: str) -> bool:
        """Whether there is such a node, or a pod of it."""
        return node in self._nodes or any(pod.node == node for pod in self._pods.values())

    def snapshot(self) -> Snapshot:
        """The cluster at this moment."""
        own = {namespace for kind, namespace, _ in self._policies if kind == "NetworkPolicy"}
        nodes = dict(self._nodes)
        if self._closed is not None and self._closed.ranges:
            name = self._closed.node
            nodes[name] = replace(nodes.get(name, Node(name)), pod_cidrs=self._closed.ranges)
        found = build(self._pods.values(), self._namespaces.values(), nodes.values(), own)
        return replace(found, complete=True, closed=self._closed is not None)


def barring(snapshot: Snapshot, node: str, addresses: frozenset[str]) -> Snapshot:
    """The snapshot, in which somebody else on the node claims these addresses, too. They are nobody's then, and
    nothing may connect from or to them (docs/SEMANTICS.md)."""
    ghosts = (Pod(BARRED, f"barred-{n}", ips=(address,), node=node) for n, address in enumerate(sorted(addresses)))
    return replace(snapshot, pods=(*snapshot.pods, *ghosts))


def _put(known: MutableMapping[_Key, _Value], changed: Mapping[_Key, _Value | None]) -> None:
    for key, value in changed.items():
        if value is None:
            known.pop(key, None)
        else:
            known[key] = value
