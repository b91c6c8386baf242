"""Objects of an API server -> the values that policies are resolved against.

What they mean and what of them is refused is settled by the code that reads manifests, too. Nothing that can't be read
is passed over: it is told about, and of a policy whatever can't be read is closed (`refused`).
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping
from sys import intern
from typing import NamedTuple, TypeAlias

from compiler.resources.cluster import Namespace, Node, Pod
from compiler.resources.validation import validate
from compiler.sources import cluster, fields
from compiler.sources.manifests import Located
from enforcer.api.refused import closed
from enforcer.api.sharing import Sharing
from enforcer.api.wire import Kind, Object
from enforcer.sources.source import Problem
from grammar.source import Source
from grammar.tree import Packed, Path

Value: TypeAlias = Pod | Namespace | Node | Located

#: Annotations under this prefix mean something to netpolc; others come and go unseen.
ANNOTATIONS = "netpolc.io/"


class Read(NamedTuple):
    """What an object means, None where that can't be told, and what is wrong with it."""

    value: Value | None
    problems: tuple[Problem, ...] = ()


class Reader:
    """Reads objects of one kind. Not for several threads at once."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        known: dict[str, Callable[[Object], Read]] = {
            "Pod": self._pod,
            "Namespace": self._namespace,
            "Node": self._node,
        }
        self.read: Callable[[Object], Read] = known.get(kind.name, self._policy)
        self._sharing = Sharing()

    def _pod(self, found: Object) -> Read:
        flaws = _Flaws(found)
        pod = cluster.pod(found, flaws)
        if flaws.messages:
            return self._unread(found, flaws)
        return Read(
            Pod(
                namespace=intern(pod.namespace),
                name=pod.name,
                labels=self._sharing.labels(pod.labels),
                ips=pod.ips,
                node=intern(pod.node),
                host_network=pod.host_network,
                phase=intern(pod.phase),
                ports=self._sharing.ports(pod.ports),
            )
        )

    def _namespace(self, found: Object) -> Read:
        flaws = _Flaws(found)
        space = cluster.namespace(found, flaws)
        if flaws.messages:
            return self._unread(found, flaws)
        return Read(Namespace(space.name, self._sharing.labels(space.labels), _ours(space.annotations)))

    def _node(self, found: Object) -> Read:
        flaws = _Flaws(found)
        node = cluster.node(found, flaws)
        return self._unread(found, flaws) if flaws.messages else Read(node)

    def _policy(self, found: Object) -> Read:
        """A policy always has a value. Of its metadata only what netpolc reads is looked at, for the server has
        taken the rest, and servers of other versions have other fields there."""
        metadata = found["metadata"]
        kept = {name: metadata[name] for name in ("name", "namespace") if metadata.get(name)}
        if isinstance(noted := metadata.get("annotations"), dict) and (ours := _ours(noted)):
            kept["annotations"] = ours
        value: Object = {"apiVersion": self.kind.version, "kind": self.kind.name, "metadata": kept}
        if found.get("spec") is not None:
            value["spec"] = found["spec"]
        place = self.kind.place((kept.get("namespace", ""), kept["name"]))
        model, flaws = validate(value, lenient=True)
        problems = tuple(Problem(place, flaw.message) for flaw in flaws)
        if model is None:
            model = closed(value, flaws)
            problems += (Problem(place, "what of it can't be read is closed: it allows nothing and denies everything"),)
        spec = self._sharing.model(model.spec)
        return Read(Located(model.model_copy(update={"spec": spec}), _nowhere(place)), problems)

    def _unread(self, found: Object, flaws: _Flaws) -> Read:
        metadata = found["metadata"]
        place = self.kind.place((metadata.get("namespace") or "", metadata["name"]))
        return Read(None, tuple(Problem(place, message) for message in flaws.messages))


class _Flaws:
    """Takes what is wrong with an object, in the words that manifests are told in."""

    __slots__ = ("messages", "value")

    def __init__(self, value: Object) -> None:
        self.value = value
        self.messages: list[str] = []

    def __call__(self, path: Path, expected: str, code: str, *, on_key: bool = False) -> None:
        self.messages.append(fields.worded(self.value, path, expected, code, on_key=on_key))


def same(one: Value | None, other: Value | None) -> bool:
    """Whether two states of an object mean the same."""
    if isinstance(one, Located) and isinstance(other, Located):
        return one.value == other.value
    return one == other


def _ours(annotations: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in annotations.items() if name.startswith(ANNOTATIONS)}


def _nowhere(place: str) -> Packed:
    """The text of an object that stands in no file: every part of it is at `place`."""
    return Packed(Source(place, "", first_line=0), marshal.dumps((None, 0)))
