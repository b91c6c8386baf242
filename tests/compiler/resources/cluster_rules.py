"""Objects of the cluster-wide kinds with one rule of egress or ingress."""

from __future__ import annotations

from typing import Any

from tests.compiler.resources.examples import ADMIN_POLICY, BASELINE_POLICY, Value, put

PODS: Value = {"podSelector": {}, "namespaceSelector": {}}
#: Per kind: the action that every kind has, what a rule calls its ports, an entry of those.
CLUSTER_PORT = {"tcp": {"destinationPort": {"number": 80}}}
ADMIN_PORT = {"portNumber": {"protocol": "TCP", "port": 80}}
PORTS: dict[str, tuple[str, Value]] = {
    "ClusterNetworkPolicy": ("protocols", CLUSTER_PORT),
    "AdminNetworkPolicy": ("ports", ADMIN_PORT),
    "BaselineAdminNetworkPolicy": ("ports", ADMIN_PORT),
}
BOTH = (ADMIN_POLICY, BASELINE_POLICY)


def rule(base: Value, direction: str = "egress", /, **fields: Any) -> Value:
    """The object with one rule that denies everything, but for these fields; None takes one away."""
    peers = "from" if direction == "ingress" else "to"
    made = {"action": "Deny", peers: [{"namespaces": {}}]} | fields
    return put(base, f"spec.{direction}", [{k: v for k, v in made.items() if v is not None}])


def to(base: Value, peer: Any) -> Value:
    return rule(base, to=[peer])


def ports(base: Value, *entries: Any) -> Value:
    return rule(base, **{PORTS[base["kind"]][0]: list(entries)})
