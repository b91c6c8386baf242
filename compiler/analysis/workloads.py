"""Pods by workload: those that the same owner made, as far as pods themselves tell.

Pods of one namespace with equal labels and equal ports are one workload; labels that controllers give to single pods
or revisions do not count. Its name is that of the template in the input that has these labels, or what the pods' own
names have in common once the random part is taken off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from compiler.resources.cluster import Pod

#: Labels with which controllers tell pods or versions of one workload apart.
REVISION_LABELS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "job-name",
        "batch.kubernetes.io/job-name",
        "batch.kubernetes.io/job-completion-index",
    }
)
#: What controllers append to a name: k8s.io/apimachinery/pkg/util/rand draws from these letters; a CronJob appends
#: the minute, a StatefulSet the ordinal.
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIXES = (
    re.compile(rf"-[{_SAFE}]{{6,10}}-[{_SAFE}]{{5}}$"),
    re.compile(rf"-\d{{8,}}-[{_SAFE}]{{5}}$"),
    re.compile(rf"-[{_SAFE}]{{5}}$"),
    re.compile(r"-\d{1,5}$"),
)


@dataclass(frozen=True, slots=True)
class Workload:
    """`name` is unique in the namespace; pods are in the order of their names."""

    namespace: str
    name: str
    pods: tuple[Pod, ...]

    @property
    def title(self) -> str:
        return f"{self.namespace}/{self.name}"


def workloads(pods: Iterable[Pod], templates: Iterable[Pod] = ()) -> tuple[Workload, ...]:
    """These pods by workload, in the order of namespace and name."""
    found: dict[object, list[Pod]] = {}
    for pod in pods:
        key = (pod.namespace, frozenset(lasting(pod.labels).items()), pod.ports)
        found.setdefault(key, []).append(pod)
    known: dict[str, list[Pod]] = {}
    for template in templates:
        known.setdefault(template.namespace, []).append(template)
    made: list[Workload] = []
    used: dict[tuple[str, str], int] = {}
    groups = (sorted(group, key=lambda pod: pod.name) for group in found.values())
    for group in sorted(groups, key=lambda group: (group[0].namespace, group[0].name)):
        namespace, name = group[0].namespace, _name(group, known.get(group[0].namespace, ()))
        count = used[namespace, name] = used.get((namespace, name), 0) + 1
        made.append(Workload(namespace, name if count == 1 else f"{name}~{count}", tuple(group)))
    return tuple(sorted(made, key=lambda workload: (workload.namespace, workload.name)))


def lasting(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that all pods of a workload share, those of later versions too; in order."""
    return {key: value for key, value in sorted(labels.items()) if key not in REVISION_LABELS}


def _name(group: Sequence[Pod], templates: Iterable[Pod]) -> str:
    labels = lasting(group[0].labels)
    named = sorted({t.name for t in templates if t.name and lasting(t.labels) == labels and t.ports == group[0].ports})
    if len(named) == 1:
        return named[0]
    stems = sorted({stem(pod) for pod in group})
    first, last = stems[0].split("-"), stems[-1].split("-")
    common = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))]
    return "-".join(common) or group[0].name  # what the first and the last begin with, all begin with


def stem(pod: Pod) -> str:
    """A pod's name without what its controller appended."""
    template = pod.labels.get("pod-template-hash", "")
    before, found, _ = pod.name.rpartition(f"-{template}-") if template else ("", "", "")
    if found and before:
        return before
    for suffix in _SUFFIXES:
        if (match := suffix.search(pod.name)) is not None and match.start():
            return pod.name[: match.start()]
    return pod.name
