"""An immutable view of a cluster at one moment: what policies are resolved against.

The snapshot decides two things for everyone behind it: every namespace carries the label
`kubernetes.io/metadata.name` (the API server sets it on each namespace, KEP-2161), and a namespace that is only
referred to exists with that label alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from compiler.resources.cluster import Namespace, Node, Pod

NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Pods in (namespace, name) order; namespaces and nodes by name. `complete`: this is all that there is, so that
    without pods there are none, rather than pods that nobody has named. `closed`: nothing may come from or go to an
    address of a node's pod ranges that nobody here has (docs/SEMANTICS.md)."""

    pods: tuple[Pod, ...] = ()
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    complete: bool = False
    closed: bool = False

    def node_names(self) -> tuple[str, ...]:
        """Every node that is declared or that some pod is scheduled to, sorted."""
        return tuple(sorted({*self.nodes, *(p.node for p in self.pods if p.node)}))

    def contested(self) -> dict[str, tuple[Pod, ...]]:
        """Address -> the pods that hold it, where they are several: the snapshot contradicts itself, and the address
        is nobody's. Manifests that say so are refused; a cluster that is watched may be seen so for a moment."""
        held = [pod for pod in self.pods if pod.holds_addresses]
        counts = Counter(address for pod in held for address in set(pod.ips))
        several = {address for address, count in counts.items() if count > 1}
        if not several:
            return {}
        return {a: tuple(pod for pod in held if a in pod.ips) for a in sorted(several)}


def build(
    pods: Iterable[Pod] = (),
    namespaces: Iterable[Namespace] = (),
    nodes: Iterable[Node] = (),
    referred: Iterable[str] = (),
) -> Snapshot:
    """The snapshot of these objects; `referred` names namespaces that exist because a policy is in them."""
    ordered = tuple(sorted(pods, key=lambda p: (p.namespace, p.name, p.template_of)))
    named = {n.name: n for n in namespaces}
    for name in {*referred, *(p.namespace for p in ordered)} - named.keys():
        named[name] = Namespace(name)
    complete = {name: replace(ns, labels={**ns.labels, NAME_LABEL: name}) for name, ns in sorted(named.items())}
    return Snapshot(ordered, complete, {n.name: n for n in sorted(nodes, key=lambda node: node.name)})
