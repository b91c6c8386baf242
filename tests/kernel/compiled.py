"""Objects as a user would write them, and the files that netpolc makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from compiler.backends.target import Backend, Target
from compiler.net import Family
from compiler.pipeline import Compiler
from compiler.resolve.failsafe import Session
from compiler.snapshot import build
from compiler.sources import language
from compiler.sources.manifests import Manifests, load
from tests.kernel.rig import BACKEND

Object = dict[str, Any]
BOTH = (Family.IPV4, Family.IPV6)


def files(
    objects: Sequence[Object],
    flavour: str,
    node: str | None = "node1",
    families: tuple[Family, ...] = BOTH,
    *,
    lenient: bool = False,
    source: str = "objects.json",
    program: str = "",
    failsafe: bool | Sequence[Session] = False,
    log_group: int | None = None,
) -> Mapping[str, str]:
    """What `netpolc compile SOURCE --node NODE` writes, by file name, in the order of loading. `program`: a text of
    the policy language, beside the objects; `failsafe` may name SSH sessions."""
    found = loaded(objects, source, lenient=lenient)
    referred = {space for p in found.policies if (space := p.value.metadata.namespace)}
    snapshot = build((*found.pods, *found.templates), found.namespaces, found.nodes, referred)
    written = language.load([("edge.np", program.encode())], lambda _, __: "nothing is there")
    sessions = (() if failsafe else None) if isinstance(failsafe, bool) else failsafe
    compiler = Compiler(found.policies, snapshot, written, sessions)
    return compiler.compile(Target(Backend(BACKEND[flavour]), node, families, log_group=log_group)).files


def loaded(objects: Sequence[Object], source: str = "objects.json", *, lenient: bool = False) -> Manifests:
    """The objects as they are read from a file."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=1)
    return load([(source, text.encode())], lenient=lenient)


def policy(namespace: str, name: str, selects: str = "", **spec: object) -> Object:
    """A NetworkPolicy; `selects` is `app=web` or empty for every pod; `spec` in the API's field names."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"podSelector": labelled(selects), **spec},
    }


def labelled(selects: str) -> Object:
    """A LabelSelector: `app=web,tier=x`, or everything."""
    return {"matchLabels": dict(pair.split("=") for pair in selects.split(","))} if selects else {}


def pods(selects: str = "", namespaces: str | None = None) -> Object:
    """A peer: pods of the own namespace, or with `namespaces` of those that it selects."""
    peer: Object = {"podSelector": labelled(selects)}
    return peer if namespaces is None else {**peer, "namespaceSelector": labelled(namespaces)}


def block(cidr: str, *excepts: str) -> Object:
    """A peer: an ipBlock."""
    return {"ipBlock": {"cidr": cidr, **({"except": list(excepts)} if excepts else {})}}


def port(number: int | str, protocol: str = "TCP", end: int | None = None) -> Object:
    """A NetworkPolicyPort."""
    return {"protocol": protocol, "port": number, **({"endPort": end} if end else {})}


def namespace(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def node(name: str, ips: Sequence[str]) -> Object:
    addresses = [{"type": "InternalIP", "address": ip} for ip in ips]
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses}}


def pod(
    where: str,
    ips: Sequence[str],
    labels: str = "",
    node: str = "node1",
    *,
    ports: Sequence[Object] = (),
    phase: str = "Running",
    host_network: bool = False,
) -> Object:
    """A pod; `where` is namespace/name; without `labels` it has app=NAME."""
    space, name = where.split("/")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": space, "name": name, "labels": labelled(labels or f"app={name}")["matchLabels"]},
        "spec": {
            "nodeName": node,
            "hostNetwork": host_network,
            "containers": [{"name": "main", "image": "main", "ports": list(ports)}],
        },
        "status": {"phase": phase, **({"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]} if ips else {})},
    }
