"""What all kinds of policies share: selectors and origins."""

from __future__ import annotations

from collections.abc import Callable

from compiler.policy import Origin, Requirement, Selector
from compiler.resources.labels import LabelSelector
from compiler.sources.manifests import Located
from compiler.translate.unknown import is_known_requirement

#: (field of the spec, index) -> where that rule was written; ("", None) is the policy itself.
Place = Callable[[str, int | None], Origin]


def places(located: Located, namespace: str) -> Place:
    """The origins of one policy's parts."""
    policy, tree = located.value, located.tree

    def place(field: str, index: int | None) -> Origin:
        if index is None:
            return Origin(policy.kind, namespace, policy.metadata.name, "", tree.span())
        where = tree.span("spec", field, index)
        return Origin(policy.kind, namespace, policy.metadata.name, f"{field}[{index}]", where)

    return place


def selector(found: LabelSelector | None) -> Selector | None:
    """metav1.LabelSelector: "The result of matchLabels and matchExpressions are ANDed. An empty label selector
    matches all objects. A null label selector matches no objects." None stays None: what an absent selector means
    is the caller's to say. Equal selectors become equal values, however they are written. Requirements that are none
    are left out; whoever lets them in has asked `unknown`."""
    if found is None:
        return None
    requirements = {Requirement(key, "In", (value,)) for key, value in (found.match_labels or {}).items()}
    for wanted in filter(is_known_requirement, found.match_expressions or ()):
        requirements.add(Requirement(wanted.key, wanted.operator, tuple(sorted(set(wanted.values or ())))))
    return Selector(tuple(sorted(requirements, key=lambda r: (r.key, r.operator, r.values))))
