"""What is kept of the objects of an API server, by its field names; all else is skipped as it is read.

Every field may be absent. A value that is null, or of another type, makes its object one that is decoded whole.
"""

from __future__ import annotations

from typing import Any, TypedDict


class Meta(TypedDict, total=False):
    name: str
    namespace: str
    resourceVersion: str
    labels: dict[str, str]


class Noted(Meta, total=False):
    annotations: dict[str, str]


class Port(TypedDict, total=False):
    name: str
    containerPort: int
    protocol: str


class Container(TypedDict, total=False):
    restartPolicy: str
    ports: list[Port]


class PodSpec(TypedDict, total=False):
    nodeName: str
    hostNetwork: bool
    containers: list[Container]
    initContainers: list[Container]


class PodIP(TypedDict, total=False):
    ip: str


class PodStatus(TypedDict, total=False):
    phase: str
    podIP: str
    podIPs: list[PodIP]


class Pod(TypedDict, total=False):
    metadata: Meta
    spec: PodSpec
    status: PodStatus


class Namespace(TypedDict, total=False):
    metadata: Noted


class NodeSpec(TypedDict, total=False):
    podCIDR: str
    podCIDRs: list[str]


class Address(TypedDict, total=False):
    type: str
    address: str


class NodeStatus(TypedDict, total=False):
    addresses: list[Address]


class Node(TypedDict, total=False):
    metadata: Meta
    spec: NodeSpec
    status: NodeStatus


class Policy(TypedDict, total=False):
    metadata: Noted
    spec: Any


#: Kind -> the shape of an object, and of a list of them.
SHAPES: dict[str, tuple[Any, Any]] = {
    "Pod": (Pod, list[Pod] | None),
    "Namespace": (Namespace, list[Namespace] | None),
    "Node": (Node, list[Node] | None),
}
#: The same of policies, whichever kind.
POLICY: tuple[Any, Any] = (Policy, list[Policy] | None)
