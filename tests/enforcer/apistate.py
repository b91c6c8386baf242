"""What an API server knows: objects with resourceVersions, and a history of some length, to be listed and watched.

Semantics are those of "Kubernetes API Concepts": one counter for everything; a list is of one moment, whatever happens
between its pages; a watch goes on behind a resourceVersion, silently where that is still to come, or is refused with
410 where it is forgotten.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
#: Namespace (empty where there is none) and name.
Key = tuple[str, str]

CRDS = "customresourcedefinitions"
#: Resource -> group and version, kind, whether it has namespaces. Custom resources come by their definitions.
BUILT_IN = {
    "pods": ("v1", "Pod", True),
    "namespaces": ("v1", "Namespace", False),
    "nodes": ("v1", "Node", False),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy", True),
    "events": ("events.k8s.io/v1", "Event", True),
    CRDS: ("apiextensions.k8s.io/v1", "CustomResourceDefinition", False),
}


class Problem(Exception):
    """An HTTP status, a reason of metav1.Status and a message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code, self.reason, self.message = code, reason, message
        super().__init__(message)

    @property
    def status(self) -> bytes:
        found = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return json.dumps({**found, "message": self.message, "reason": self.reason, "code": self.code}).encode()


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to an object at a version; `text` is the object as JSON."""

    version: int
    type: str
    resource: str
    text: bytes

    @property
    def event(self) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (self.type.encode(), self.text)


class State:
    """All methods may be called from any thread. `remembered`: how many changes the history holds."""

    def __init__(self, remembered: int = 100_000) -> None:
        self.changed = threading.Condition()
        self.version = 100
        self.resources = dict(BUILT_IN)
        self._objects: dict[str, dict[Key, tuple[int, bytes]]] = {name: {} for name in BUILT_IN}
        self._history: deque[Change] = deque(maxlen=remembered)
        self._forgotten = 100  # changes up to this version can't be told any more
        self._pages: dict[str, tuple[int, list[bytes]]] = {}

    # Objects

    def put(self, resource: str, value: Object, *, create: bool = False) -> Object:
        """Creates or replaces an object; what a server sets is set."""
        with self.changed:
            key = key_of(value)
            known = self._kind(resource).get(key)
            if create and known is not None:
                raise Problem(409, "AlreadyExists", f'{resource} "{key[1]}" already exists')
            version, kind, _ = self.resources[resource]
            metadata = {"uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"} | value["metadata"]
            if resource == "namespaces":
                metadata["labels"] = (metadata.get("labels") or {}) | {"kubernetes.io/metadata.name": key[1]}
            self.version += 1
            value = {"apiVersion": version, "kind": kind} | value
            value["metadata"] = metadata | {"resourceVersion": str(self.version)}
            self._happened("ADDED" if known is None else "MODIFIED", resource, key, value)
            if resource == CRDS:
                self._define(value)
            return value

    def get(self, resource: str, key: Key) -> Object:
        with self.changed:
            found = self._kind(resource).get(key)
            if found is None:
                raise Problem(404, "NotFound", f'{resource} "{key[1]}" not found')
            value: Object = json.loads(found[1])
            return value

    def delete(self, resource: str, key: Key) -> None:
        with self.changed:
            value = self.get(resource, key)
            self.version += 1
            value["metadata"]["resourceVersion"] = str(self.version)
            self._happened("DELETED", resource, key, value)
            if resource == CRDS:
                name = value["spec"]["names"]["plural"]
                for inner in list(self._objects[name]):
                    self.delete(name, inner)
                del self._objects[name], self.resources[name]

    def keep(self, resource: str, values: Iterable[Object]) -> None:
        """Many objects at once, without a history: as after a restart."""
        with self.changed:
            for value in values:
                self.version += 1
                value["metadata"]["resourceVersion"] = str(self.version)
                self._objects[resource][key_of(value)] = (self.version, json.dumps(value).encode())
            self._history.clear()
            self._forgotten = self.version

    # What clients ask for

    def page(self, resource: str, limit: int, token: str) -> tuple[int, list[bytes], str, int]:
        """A page: version, objects, the token of the next page, how many are left."""
        with self.changed:
            kind = self._kind(resource)
            if not token:
                version, left = self.version, [text for _, (_, text) in sorted(kind.items())]
            elif token in self._pages:
                version, left = self._pages.pop(token)
            else:
                raise Problem(410, "Expired", "The provided continue parameter is too old")
            found, left = (left[:limit], left[limit:]) if limit else (left, [])
            more = uuid.uuid4().hex if left else ""
            if more:
                self._pages[more] = (version, left)
            return version, found, more, len(left)

    def since(self, resource: str, version: int, seconds: float) -> tuple[list[Change], int]:
        """What happened to a kind behind a version, and up to which version that is all. Waits so long at most."""
        with self.changed:
            self._kind(resource)
            found: list[Change] = []

            def any_news() -> bool:
                if version < self._forgotten:
                    raise Problem(410, "Expired", f"too old resource version: {version} ({self._forgotten})")
                found[:] = self._behind(resource, version)
                return bool(found) or resource not in self.resources

            self.changed.wait_for(any_news, seconds)
            return found, self.version

    # Faults

    def forget(self) -> None:
        """Compaction: no watch may begin before now, and no list go on."""
        with self.changed:
            self._history.clear()
            self._forgotten = self.version
            self._pages.clear()

    def copy(self) -> tuple[int, dict[str, dict[Key, tuple[int, bytes]]]]:
        """A backup."""
        with self.changed:
            return self.version, {name: dict(objects) for name, objects in self._objects.items()}

    def restore(self, backup: tuple[int, dict[str, dict[Key, tuple[int, bytes]]]]) -> None:
        """Everything as it was, the versions as well: time goes back."""
        with self.changed:
            self.version, self._objects = backup[0], {name: dict(objects) for name, objects in backup[1].items()}
            self._history.clear()
            self._pages.clear()
            self._forgotten = self.version  # a watch behind now is not refused: it waits

    def _kind(self, resource: str) -> dict[Key, tuple[int, bytes]]:
        if resource not in self.resources:
            raise Problem(404, "NotFound", "the server could not find the requested resource")
        return self._objects[resource]

    def _happened(self, what: str, resource: str, key: Key, value: Object) -> None:
        text = json.dumps(value).encode()
        if what == "DELETED":
            del self._objects[resource][key]
        else:
            self._objects[resource][key] = (self.version, text)
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version
        self._history.append(Change(self.version, what, resource, text))
        self.changed.notify_all()

    def _behind(self, resource: str, version: int) -> list[Change]:
        found = []
        for change in reversed(self._history):
            if change.version <= version:
                break
            if change.resource == resource:
                found.append(change)
        return found[::-1]

    def _define(self, definition: Object) -> None:
        spec = definition["spec"]
        served = next(version["name"] for version in spec["versions"] if version["served"])
        names, namespaced = spec["names"], spec["scope"] == "Namespaced"
        self.resources[names["plural"]] = (f"{spec['group']}/{served}", names["kind"], namespaced)
        self._objects.setdefault(names["plural"], {})


def key_of(value: Object) -> Key:
    return value["metadata"].get("namespace") or "", value["metadata"]["name"]
