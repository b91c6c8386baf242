"""What the daemon sees, as manifests: `netpolc compile`, `explain` and `verify` read them and come to the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod
from compiler.snapshot import NAME_LABEL, Snapshot
from compiler.sources.manifests import Located

Object = dict[str, object]


def objects(policies: Sequence[Located], snapshot: Snapshot) -> Iterator[Object]:
    """One object each, in a stable order."""
    yield from map(_node, snapshot.nodes.values())
    yield from map(_namespace, snapshot.namespaces.values())
    yield from map(_pod, snapshot.pods)
    yield from (located.value.model_dump(mode="json", by_alias=True, exclude_none=True) for located in policies)


def _node(node: Node) -> Object:
    addresses = [
        {"type": "ExternalIP" if address in node.external else "InternalIP", "address": address} for address in node.ips
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": dict(node.labels)},
        "spec": {"podCIDRs": list(node.pod_cidrs)},
        "status": {"addresses": addresses},
    }


def _namespace(space: Namespace) -> Object:
    labels = {name: value for name, value in space.labels.items() if name != NAME_LABEL}
    metadata = {"name": space.name, "labels": labels, "annotations": dict(space.annotations)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _pod(pod: Pod) -> Object:
    ports = [
        {"containerPort": p.port, "protocol": p.protocol, **({"name": p.name} if p.name else {})} for p in pod.ports
    ]
    spec: Object = {"containers": [{"name": "ports", "ports": ports}]}
    if pod.node:
        spec["nodeName"] = pod.node
    if pod.host_network:
        spec["hostNetwork"] = True
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": pod.namespace, "name": pod.name, "labels": dict(pod.labels)},
        "spec": spec,
        "status": {"phase": pod.phase, "podIPs": [{"ip": address} for address in pod.ips]},
    }


def _port(port: ContainerPort) -> Object:
    named = {"name": port.name} if port.name else {}
    return {"containerPort": port.port, "protocol": port.protocol, **named}
