"""The objects of a cluster as batches leave them, and the policies among them that may concern a node."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import NamedTuple, TypeVar

from compiler.live.batch import PodKey, PolicyKey
from compiler.policy import Policy
from compiler.resources import NetworkPolicy
from compiler.resources.cluster import Namespace, Node, Pod
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import Located
from compiler.translate import translate

_K = TypeVar("_K")
_V = TypeVar("_V")
Moved = tuple[Pod | None, Pod | None]


class _Translated(NamedTuple):
    located: Located
    order: tuple[int, int, str, str, str]
    policy: Policy


class Objects:
    """Pods, namespaces, nodes and policies, by their keys."""

    def __init__(self) -> None:
        self.pods: dict[PodKey, Pod] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.nodes: dict[str, Node] = {}
        self.policies: dict[PolicyKey, Located] = {}
        self._placed: dict[str, dict[PolicyKey, None]] = {}
        self._concerning: tuple[frozenset[str], tuple[Policy, ...]] | None = None
        self._translated: dict[PolicyKey, _Translated] = {}

    def put_pods(self, pods: Mapping[PodKey, Pod | None]) -> list[Moved]:
        """Takes pods; what was and is now of those whose change may mean something to somebody."""
        moved = []
        for key, new in pods.items():
            old = self.pods.get(key)
            put(self.pods, key, new)
            if _meant(old) != _meant(new):
                moved.append((old, new))
        return moved

    def put_policies(self, policies: Mapping[PolicyKey, Located | None]) -> frozenset[str]:
        """Takes policies; the namespaces of those that are other ones now, empty for policies of the cluster."""
        places = set()
        for key, new in policies.items():
            old = self.policies.get(key)
            put(self.policies, key, new)
            self._concerning = None
            if old is not None and old is not new:
                places.add(_place(old))
                del self._placed[_place(old)][key]
            if new is not None and old is not new:
                places.add(_place(new))
            if new is not None:
                self._placed.setdefault(_place(new), {})[key] = None
        return frozenset(places)

    def concerning(self, namespaces: Collection[str]) -> tuple[Policy, ...]:
        """In evaluation order, the policies that may select pods of these namespaces, and one at least if there is
        any. Equal policies, and equal answers, are the same object as long as nothing else was asked."""
        asked = frozenset(namespaces)
        if self._concerning is None or self._concerning[0] != asked:
            self._concerning = asked, self._concerned(sorted(asked))
        return self._concerning[1]

    def _concerned(self, namespaces: Collection[str]) -> tuple[Policy, ...]:
        keys = [key for place in ("", *namespaces) for key in self._placed.get(place, ())]
        if not keys and self.policies:
            keys = [min(self.policies)]
        self._translated = {key: self._translate(key) for key in keys}
        return tuple(found.policy for found in sorted(self._translated.values(), key=lambda found: found.order))

    def _translate(self, key: PolicyKey) -> _Translated:
        located, known = self.policies[key], self._translated.get(key)
        if known is not None and known.located is located:
            return known
        (policy,) = translate([located])
        if known is not None and known.policy == policy:
            policy = known.policy
        return _Translated(located, policy.order, policy)

    def snapshot(self) -> Snapshot:
        own = {_place(located) for located in self.policies.values()} - {""}
        return build(self.pods.values(), self.namespaces.values(), self.nodes.values(), own)

    def located(self) -> Iterator[Located]:
        """Every policy, in the order of their keys."""
        return (located for _, located in sorted(self.policies.items(), key=lambda entry: entry[0]))


def put(known: MutableMapping[_K, _V], key: _K, value: _V | None) -> None:
    """Takes one object, or that it is gone."""
    if value is None:
        known.pop(key, None)
    else:
        known[key] = value


def _meant(pod: Pod | None) -> object:
    """What of a pod rules depend on."""
    if pod is None or not pod.holds_addresses:
        return None
    return pod.ips, pod.labels, pod.node, pod.ports


def _place(located: Located) -> str:
    policy = located.value
    return (policy.metadata.namespace or "default") if isinstance(policy, NetworkPolicy) else ""
