"""Lists and events of an API server -> plain objects, holding what is asked for and nothing else.

Of a pod of three kilobytes, some two hundred bytes are kept, and the rest is never made into values.
"""

from __future__ import annotations

from dataclasses import dataclass
from sys import intern
from typing import Any, NamedTuple, TypeAlias

import msgspec

from enforcer.api.shapes import POLICY, SHAPES

#: Namespace (empty where there is none) and name.
Key: TypeAlias = tuple[str, str]
#: A decoded object: dicts, lists, str, int, float, bool and None.
Object: TypeAlias = dict[str, Any]


class Malformed(Exception):
    """What the server sent is no list, event or object: whatever it was about is unknown."""


class Ended(Exception):
    """The server ended a watch by an event of type ERROR: `code` is an HTTP status, `said` its message."""

    def __init__(self, code: int, said: str) -> None:
        self.code, self.said = code, said
        super().__init__(f"{said or 'no reason given'} (status {code})")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects and where they are. `version`: "v1", or a group and a version. `optional`: a custom resource,
    which a cluster may lack."""

    name: str
    resource: str
    version: str
    optional: bool = False

    @property
    def path(self) -> str:
        """Where the objects of all namespaces are listed."""
        return f"/{'apis' if '/' in self.version else 'api'}/{self.version}/{self.resource}"

    def place(self, key: Key) -> str:
        """`networkpolicy shop/backend`, as messages name an object."""
        return f"{self.name.lower()} {'/'.join(filter(None, key))}"


PODS = Kind("Pod", "pods", "v1")
NAMESPACES = Kind("Namespace", "namespaces", "v1")
NODES = Kind("Node", "nodes", "v1")
_V1ALPHA1 = "policy.networking.k8s.io/v1alpha1"
POLICIES = (
    Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io/v1"),
    Kind("ClusterNetworkPolicy", "clusternetworkpolicies", "policy.networking.k8s.io/v1alpha2", optional=True),
    Kind("AdminNetworkPolicy", "adminnetworkpolicies", _V1ALPHA1, optional=True),
    Kind("BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies", _V1ALPHA1, optional=True),
)
#: Everything that is watched. Services are not: rules ask where a packet goes once it has been translated.
KINDS = (*POLICIES, NAMESPACES, NODES, PODS)


class Page(NamedTuple):
    """Some objects of a list as of `version`; `more` is the token that the next ones are asked for with."""

    objects: list[Object]
    version: int
    more: str


class Event(NamedTuple):
    """ADDED, MODIFIED, DELETED or BOOKMARK, and the object as it is, or was last."""

    type: str
    object: Object


class _ListMeta(msgspec.Struct):
    resourceVersion: str
    more: str = msgspec.field(default="", name="continue")


class _RawList(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    """metav1.Status, as far as it says what is wrong."""

    code: int = 0
    reason: str = ""
    message: str = ""


class _Version(msgspec.Struct):
    groupVersion: str


class _Group(msgspec.Struct):
    """metav1.APIGroup."""

    versions: list[_Version]


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct):
    """metav1.APIResourceList."""

    resources: list[_Resource]


_RAW_LIST = msgspec.json.Decoder(_RawList)
_EVENT = msgspec.json.Decoder(_RawEvent)
#: What decoding raises: not JSON, not UTF-8, too deep.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_STATUS = msgspec.json.Decoder(_Status)
_ANYTHING = msgspec.json.Decoder()
_GROUP = msgspec.json.Decoder(_Group)
_RESOURCES = msgspec.json.Decoder(_Resources)


class Decoder:
    """Reads lists and events of one kind. An object that is not of its kind's shape is decoded whole: what is wrong
    with it is told where its meaning is asked for."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        shape, objects = SHAPES.get(kind.name, POLICY)
        listed = msgspec.defstruct("List", [("metadata", _ListMeta), ("items", objects)])
        self._list = msgspec.json.Decoder(listed)
        self._one = msgspec.json.Decoder(shape)

    def page(self, data: bytes) -> Page:
        """A page of a list. Raises Malformed."""
        try:
            found: Any = self._list.decode(data)
            objects = found.items or []
        except _UNREADABLE:
            found = _decoded(_RAW_LIST, data, self.kind.resource)
            objects = [self._object(item) for item in found.items or ()]
        return Page(objects, version(found.metadata.resourceVersion), found.metadata.more)

    def event(self, data: bytes) -> Event:
        """One event of a watch. Raises Malformed, and Ended."""
        found = _decoded(_EVENT, data, self.kind.resource)
        if found.type == "ERROR":
            status = _decoded(_STATUS, found.object, self.kind.resource)
            raise Ended(status.code, status.message or status.reason)
        if found.type not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            raise Malformed(f"{self.kind.resource}: event of unknown type {found.type!r}")
        return Event(found.type, self._object(found.object))

    def identity(self, found: Object) -> tuple[Key, int]:
        """Which object this is, and its resourceVersion. Raises Malformed."""
        metadata = found.get("metadata")
        name, namespace = (metadata.get("name"), metadata.get("namespace")) if isinstance(metadata, dict) else (0, 0)
        if not isinstance(name, str) or not name or not isinstance(namespace, str | None):
            raise Malformed(f"{self.kind.resource}: an object without a name")
        return (intern(namespace or ""), name), version_of(found)

    def _object(self, data: msgspec.Raw) -> Object:
        try:
            found: Object = self._one.decode(data)
        except _UNREADABLE:
            found = _decoded(_ANYTHING, data, self.kind.resource)
        if not isinstance(found, dict):
            raise Malformed(f"{self.kind.resource}: an object was expected")
        return found


def version_of(found: Object) -> int:
    """metadata.resourceVersion. Raises Malformed."""
    metadata = found.get("metadata")
    return version(metadata.get("resourceVersion") if isinstance(metadata, dict) else None)


def version(text: object) -> int:
    """A resourceVersion as a number: "resource versions [...] are comparable" as decimal integers (KEP-5504), and
    always have been in what Kubernetes is built with. Raises Malformed."""
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal():
        raise Malformed(f"resourceVersion {text!r} is no number")
    return int(text)


def complaint(data: bytes) -> str:
    """What a server says about a request that it refuses: the message of a Status, else the beginning of the text."""
    try:
        status = _STATUS.decode(data)
        return status.message or status.reason
    except _UNREADABLE:
        return data[:200].decode("utf-8", "replace").strip()


def group_versions(data: bytes) -> list[str]:
    """The versions of a group of the API, as "GROUP/VERSION". Raises Malformed."""
    return [one.groupVersion for one in _decoded(_GROUP, data, "API group").versions]


def resources_of(data: bytes) -> set[str]:
    """The resources of a version of a group. Raises Malformed."""
    return {one.name for one in _decoded(_RESOURCES, data, "API resources").resources}


def _decoded(decoder: msgspec.json.Decoder[Any], data: bytes | msgspec.Raw, about: str) -> Any:
    try:
        return decoder.decode(data)
    except _UNREADABLE as error:
        raise Malformed(f"{about}: {error}") from None
