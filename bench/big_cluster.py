"""A large cluster and its policies, as a fleet of teams would write them: what `bench.compile` compiles.

Seeded: the same call, the same objects. Policies are API objects (to be written as YAML and read by the real
reader); pods are made in the form that reading gives them, since a daemon gets them from the API server.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from compiler.net import Family, address_text
from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod

Object = dict[str, Any]

PODS_A_NODE = 110
NAMESPACES, PODS, POLICIES = 500, 150_000, 10_000
ADMIN_POLICIES = 10

_APPS = ("web", "api", "auth", "cart", "search", "cache", "queue", "worker", "db", "mail", "report", "billing")
_TIERS = {"web": "front", "api": "front", "cache": "data", "queue": "data", "db": "data"}
_TEAMS, _ENVIRONMENTS = 40, ("production", "staging", "test")
_PORTS = (
    ContainerPort(8080, "TCP", "http"),
    ContainerPort(9090, "TCP", "metrics"),
    ContainerPort(5432, "TCP", "sql"),
)
_FIRST_ADDRESS = 0x0A000000  # 10.0.0.0/14 holds the pods
_INSIDE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.169.254/32"]


@dataclass(frozen=True, slots=True)
class BigCluster:
    pods: tuple[Pod, ...]
    namespaces: tuple[Namespace, ...]
    nodes: tuple[Node, ...]
    policies: tuple[Object, ...]


def big_cluster(namespaces: int = NAMESPACES, pods: int = PODS, policies: int = POLICIES, seed: int = 1) -> BigCluster:
    """Namespaces of different sizes; each has a dozen apps in one or two versions, spread over all nodes."""
    draw = random.Random(seed)
    spaces = tuple(
        Namespace(f"team-{n % _TEAMS}-{n}", {"team": f"team-{n % _TEAMS}", "env": draw.choice(_ENVIRONMENTS)})
        for n in range(namespaces)
    )
    places = draw.choices(spaces, weights=[1 / (1 + n % 20) for n in range(namespaces)], k=pods)
    order = draw.sample(range(pods), pods)
    count = -(-pods // PODS_A_NODE)
    return BigCluster(
        tuple(_pod(n, place.name, order[n] // PODS_A_NODE, draw) for n, place in enumerate(places)),
        spaces,
        tuple(Node(f"node-{n}", {"zone": f"zone-{n % 3}"}, (_text(0xC0A80000 + n),)) for n in range(count)),
        (*_cluster_policies(), *_policies(spaces, policies - ADMIN_POLICIES, draw)),
    )


def _pod(number: int, namespace: str, node: int, draw: random.Random) -> Pod:
    app, version = draw.choice(_APPS), draw.choice("aab")
    labels = {
        "app": app,
        "tier": _TIERS.get(app, "back"),
        "pod-template-hash": f"{app}-{version}",
        "app.kubernetes.io/managed-by": "helm",
    }
    ports = (_PORTS[0 if app != "db" else 2], _PORTS[1])
    return Pod(
        namespace, f"{app}-{version}-{number}", labels, (_text(_FIRST_ADDRESS + number),), f"node-{node}", ports=ports
    )


def _text(address: int) -> str:
    return address_text(Family.IPV4, address)


def _policies(spaces: tuple[Namespace, ...], count: int, draw: random.Random) -> Iterator[Object]:
    """`count` policies dealt out to the namespaces in turn: first what every namespace has, then an app each."""
    for n in range(count):
        place, turn = spaces[n % len(spaces)].name, n // len(spaces)
        if turn == 0:
            yield _policy(place, "default-deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        elif turn == 1:
            yield _policy(place, "allow-dns", _dns())
        elif turn == 2:
            yield _policy(place, "allow-monitoring", _monitoring())
        else:
            app = _APPS[turn % len(_APPS)]
            yield _policy(place, f"{app}-{turn}", _app(app, draw))


def _policy(namespace: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "helm"}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _dns() -> Object:
    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    to = [{"namespaceSelector": _named("team-0-0"), "podSelector": {"matchLabels": {"app": "cache"}}}]
    return {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": to, "ports": ports}]}


def _monitoring() -> Object:
    peer = {"namespaceSelector": _named("team-1-1"), "podSelector": {"matchLabels": {"app": "report"}}}
    return {"podSelector": {}, "ingress": [{"from": [peer], "ports": [{"port": "metrics"}]}]}


def _app(app: str, draw: random.Random) -> Object:
    """What one app lets in, and where it goes."""
    ingress: list[Object] = [
        {
            "from": [{"podSelector": {"matchLabels": {"app": peer}}} for peer in draw.sample(_APPS, 2)],
            "ports": [{"protocol": "TCP", "port": draw.choice(["http", 8080, 5432])}],
        }
    ]
    if draw.random() < 0.3:
        team = {"matchLabels": {"team": f"team-{draw.randrange(_TEAMS)}", "env": "production"}}
        peer = {"namespaceSelector": team, "podSelector": {"matchLabels": {"tier": "front"}}}
        ingress.append({"from": [peer], "ports": [{"port": 8443}, {"port": 9000, "endPort": 9099}]})
    if draw.random() < 0.2:
        block = {"cidr": f"203.0.{draw.randrange(256)}.0/24", "except": [f"203.0.113.{draw.randrange(4) * 64}/26"]}
        block = block if block["cidr"] == "203.0.113.0/24" else {"cidr": block["cidr"]}
        ingress.append({"from": [{"ipBlock": block}], "ports": [{"port": 443}]})
    egress: list[Object] = [{"to": [{"podSelector": {"matchLabels": {"app": draw.choice(_APPS)}}}]}]
    if draw.random() < 0.3:
        world = {"ipBlock": {"cidr": "0.0.0.0/0", "except": _INSIDE}}
        egress.append({"to": [world], "ports": [{"protocol": "TCP", "port": 443}]})
    expression = {"key": "app", "operator": "In", "values": sorted({app, draw.choice(_APPS)})}
    chosen = {"matchLabels": {"app": app}} if draw.random() < 0.8 else {"matchExpressions": [expression]}
    return {"podSelector": chosen, "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress}


def _cluster_policies() -> Iterator[Object]:
    """Admin rules in front of, and a baseline behind, what the teams write."""
    every: Object = {"namespaces": {}}
    for n in range(ADMIN_POLICIES - 1):
        team = {"namespaces": {"matchLabels": {"team": f"team-{n}"}}}
        rules = [
            {"name": "monitoring", "action": "Accept", "from": [{"namespaces": _named("team-1-1")}]},
            {"name": "teams", "action": "Pass", "from": [team]},
            {"name": "test", "action": "Deny", "from": [{"namespaces": {"matchLabels": {"env": "test"}}}]},
        ]
        yield _cluster_policy(f"team-{n}", {"tier": "Admin", "priority": n, "subject": team, "ingress": rules})
    rules = [{"name": "inside", "action": "Deny", "from": [every]}]
    yield _cluster_policy("baseline", {"tier": "Baseline", "priority": 0, "subject": every, "ingress": rules})


def _cluster_policy(name: str, spec: Object) -> Object:
    version = "policy.networking.k8s.io/v1alpha2"
    return {"apiVersion": version, "kind": "ClusterNetworkPolicy", "metadata": {"name": name}, "spec": spec}


def _named(namespace: str) -> Object:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def pod_object(pod: Pod) -> Object:
    """A pod as `kubectl get pods -o yaml` shows it, without the parts that a cluster adds by the dozen."""
    ports = [{"containerPort": p.port, "name": p.name, "protocol": p.protocol} for p in pod.ports]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "labels": dict(pod.labels)},
        "spec": {"nodeName": pod.node, "containers": [{"name": "main", "image": "registry/app:1", "ports": ports}]},
        "status": {"phase": pod.phase, "podIP": pod.ips[0], "podIPs": [{"ip": ip} for ip in pod.ips]},
    }


def yaml_text(objects: tuple[Object, ...]) -> str:
    """Documents in block style, as people write them."""
    return "---\n".join("\n".join(_block(found, "")) + "\n" for found in objects)


def _block(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                yield f"{indent}{key}:"
                yield from _block(inner, indent + ("  " if isinstance(inner, dict) else ""))
            else:
                yield f"{indent}{key}: {_scalar(inner)}"
    else:
        for inner in value:
            if isinstance(inner, dict | list) and inner:
                first, *rest = _block(inner, indent + "  ")
                yield f"{indent}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(inner)}"


def _scalar(value: Any) -> str:
    return str(value) if isinstance(value, int) else '"' + value + '"' if value == "" else str(value)
