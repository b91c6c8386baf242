"""What has changed in a cluster since it was looked at last, object by object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compiler.resources.cluster import Namespace, Node, Pod
from compiler.sources.manifests import Located

#: Namespace and name.
PodKey = tuple[str, str]
#: Kind, namespace (empty where there is none) and name.
PolicyKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """The last state of every object that has changed, None of one that is gone; several changes of one object are
    one. The order within a batch means nothing."""

    pods: Mapping[PodKey, Pod | None] = field(default_factory=dict)
    namespaces: Mapping[str, Namespace | None] = field(default_factory=dict)
    nodes: Mapping[str, Node | None] = field(default_factory=dict)
    policies: Mapping[PolicyKey, Located | None] = field(default_factory=dict)

    def then(self, later: Batch) -> Batch:
        """Both as one, of which `later` came behind."""
        return Batch(
            {**self.pods, **later.pods},
            {**self.namespaces, **later.namespaces},
            {**self.nodes, **later.nodes},
            {**self.policies, **later.policies},
        )

    def __bool__(self) -> bool:
        """Whether anything has changed."""
        return any((self.pods, self.namespaces, self.nodes, self.policies))
