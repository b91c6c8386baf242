"""Objects of a cluster, as any API server takes them."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def namespace(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def node(name: str, ip: str, **labels: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDRs": ["10.244.0.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": ip}]},
    }


def pod(place: str, ip: str = "", node: str = "n1", phase: str = "Running", **labels: str) -> Object:
    """`place` is NAMESPACE/NAME."""
    space, _, name = place.partition("/")
    status: Object = {"phase": phase} | ({"podIP": ip, "podIPs": [{"ip": ip}]} if ip else {})
    ports = [{"name": "http", "containerPort": 80, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": space, "name": name, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "main", "ports": ports}]},
        "status": status,
    }


def network_policy(place: str, selector: Object | None = None, **spec: Any) -> Object:
    space, _, name = place.partition("/")
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": space, "name": name},
        "spec": {"podSelector": selector or {}, "policyTypes": ["Ingress"]} | spec,
    }


def cluster_policy(name: str, action: str = "Deny", priority: int = 5) -> Object:
    rule = {"action": action, "from": [{"namespaces": {}}]}
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"tier": "Admin", "priority": priority, "subject": {"namespaces": {}}, "ingress": [rule]},
    }


def admin_policy(name: str, priority: int = 5) -> Object:
    rule = {
        "action": "Allow",
        "to": [{"networks": ["10.0.0.0/8"]}],
        "ports": [{"portNumber": {"protocol": "TCP", "port": 1}}],
    }
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"priority": priority, "subject": {"namespaces": {}}, "egress": [rule]},
    }


def baseline_policy() -> Object:
    found = admin_policy("default") | {"kind": "BaselineAdminNetworkPolicy"}
    return found | {"spec": {"subject": {"namespaces": {}}, "egress": found["spec"]["egress"]}}
