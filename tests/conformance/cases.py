"""Cases of the format `netpolc-cases/1`: a cluster, steps that change it, and who reaches whom after each.

The folder is NETPOLC_CASES, or `../shared/cases` beside the repository; its README describes the format. The suites
are other projects': nothing of them is kept here.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]

DEFAULT_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "cases"
FOLDER = Path(os.environ.get("NETPOLC_CASES") or DEFAULT_FOLDER)
FORMAT = "netpolc-cases/1"
DEFAULT_NODE = "node1"  # of pods whose node the suite leaves open

_VERSIONS = {
    "NetworkPolicy": "networking.k8s.io/v1",
    "ClusterNetworkPolicy": "policy.networking.k8s.io/v1alpha2",
    "AdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
    "BaselineAdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
}
_NAMESPACED = ("NetworkPolicy", "Pod")


@dataclass(frozen=True, slots=True)
class Row:
    """An expectation. Ends are `ns/pod`, `ip:ADDRESS` or `node:NAME`; `version` is 4 or 6, None where the row does
    not say; `ingress` and `egress` are None where the suite does not tell the directions apart."""

    source: str
    destination: str
    protocol: str
    port: int
    allowed: bool
    version: int | None = None
    ingress: bool | None = None
    egress: bool | None = None

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} {self.protocol}/{self.port}"


@dataclass(frozen=True, slots=True)
class State:
    """The cluster after a step, as API objects by (kind, namespace, name)."""

    objects: Mapping[tuple[str, str, str], Object]
    title: str
    rows: tuple[Row, ...]

    @property
    def text(self) -> bytes:
        """What `kubectl get -o json` would print."""
        return _list(self.objects.values())

    @property
    def repaired(self) -> bytes:
        """`text` with the selectors that v1alpha1 requires and a suite leaves out. No API server stores such an
        object; the suite's own parser reads the absent selector as an empty one."""
        return _list(map(_with_selectors, self.objects.values()))


@dataclass(frozen=True, slots=True)
class Case:
    """`name` is SUITE/NAME."""

    name: str
    _case: Object
    _cluster: Object

    def states(self) -> Iterator[State]:
        """Every step in its order, with the rows that are settled."""
        objects = {_key(item): item for item in _cluster_objects(self._cluster)}
        for number, step in enumerate(self._case["steps"]):
            for item in step.get("apply", []):
                new = _complete(item)
                objects[_key(new)] = new
            for gone in step.get("delete", []):
                _delete(objects, gone)
            rows = tuple(_settled(self._case, number, _rows(step.get("expect", {}))))
            yield State(dict(objects), f"step {number}: {step.get('title', '')}", rows)


def cases(folder: Path = FOLDER) -> Iterator[Case]:
    """Every case of every file, in a stable order; none when there is no such folder."""
    for path in sorted(folder.glob("*.json")):
        suite = json.loads(path.read_text())
        if suite.get("format") == FORMAT:
            for case in suite["cases"]:
                cluster = case["cluster"]
                found = suite["clusters"][cluster] if isinstance(cluster, str) else cluster
                yield Case(f"{path.stem}/{case['name']}", case, found)


def _list(items: Iterable[Object]) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)}).encode()


def _with_selectors(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_selectors(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _with_selectors(item) for key, item in value.items()}
    if isinstance(found.get("pods"), dict):
        found["pods"] = {"namespaceSelector": {}, "podSelector": {}, **found["pods"]}
    return found


# The cluster


def _key(item: Object) -> tuple[str, str, str]:
    kind, metadata = item["kind"], item["metadata"]
    return kind, metadata.get("namespace", "default") if kind in _NAMESPACED else "", metadata["name"]


def _cluster_objects(cluster: Object) -> Iterator[Object]:
    for space in cluster.get("namespaces", []):
        metadata = {"name": space["name"], "labels": space.get("labels") or {}}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    for node in cluster.get("nodes", []):
        metadata = {"name": node["name"], "labels": node.get("labels") or {}}
        addresses = [{"type": "InternalIP", "address": ip} for ip in node.get("ips", [])]
        yield {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"addresses": addresses}}
    for pod in cluster.get("pods", []):
        ports = [{key: value for key, value in port.items() if value is not None} for port in pod.get("ports") or []]
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": pod["namespace"], "name": pod["name"], "labels": pod.get("labels") or {}},
            "spec": {
                "nodeName": pod.get("node") or DEFAULT_NODE,
                "hostNetwork": bool(pod.get("hostNetwork")),
                "containers": [{"name": "main", "image": "main", "ports": ports}],
            },
            "status": {"phase": pod.get("phase", "Running"), "podIPs": [{"ip": ip} for ip in pod.get("ips") or []]},
        }


def _complete(item: Object) -> Object:
    """An applied object as the API server would store it: with its version, on a node; of policies no status."""
    if item["kind"] == "Pod":
        return {**item, "apiVersion": "v1", "spec": {"nodeName": DEFAULT_NODE, **item["spec"]}}
    if item["kind"] in _VERSIONS:
        kept = {key: value for key, value in item.items() if key != "status"}
        return {"apiVersion": _VERSIONS[item["kind"]], **kept}
    return {"apiVersion": "v1", **item}


def _delete(objects: dict[tuple[str, str, str], Object], gone: Object) -> None:
    kind, name = gone["kind"], gone["name"]
    del objects[kind, gone.get("namespace", "default") if kind in _NAMESPACED else "", name]
    if kind == "Namespace":
        for key in [key for key in objects if key[1] == name]:
            del objects[key]


# Expectations


def _settled(case: Object, step: int, rows: Iterable[Row]) -> Iterator[Row]:
    """Where a suite is known to be wrong its row is turned round; where nobody can tell, it is left out."""
    for row in rows:
        entry = next((e for e in case.get("known_disagreements", []) if _concerns(e, step, row)), None)
        if entry is None:
            yield row
        elif entry["who_is_right"] == "reference":
            yield Row(row.source, row.destination, row.protocol, row.port, not row.allowed, row.version)


def _concerns(entry: Object, step: int, row: Row) -> bool:
    if entry.get("step", step) != step:
        return False
    values = {"from": row.source, "to": row.destination, "protocol": row.protocol, "port": row.port}
    for key, value in values.items():
        wanted = entry.get(key, value)
        if value != wanted and not (isinstance(wanted, list) and value in wanted):
            return False
    return True


def _rows(expect: Object) -> Iterator[Row]:
    """A pod's connections to itself are left out: the suites themselves do not hold to theirs."""
    for found in (_of_table(expect), _of_matrix(expect), _of_list(expect)):
        yield from (row for row in found if row.source != row.destination)


def _of_table(expect: Object) -> Iterator[Row]:
    for row in expect.get("table", []):
        version = {"IPv4": 4, "IPv6": 6}[row["family"]] if "family" in row else None
        directions = row.get("ingress"), row.get("egress")
        yield Row(row["from"], row["to"], row["protocol"], row["port"], row["allowed"], version, *directions)


#: Cell -> (ingress, egress).
_CELLS = {".": (True, True), "I": (False, True), "E": (True, False), "B": (False, False), "x": (None, None)}


def _of_matrix(expect: Object) -> Iterator[Row]:
    """One string for each source, one character in it for each destination; `?` claims nothing."""
    matrix = expect.get("matrix", {"probes": []})
    for probe in matrix["probes"]:
        for source, cells in probe["rows"].items():
            for destination, cell in zip(matrix["to"], cells, strict=True):
                if cell != "?":
                    ends = source, destination, probe["protocol"], probe["port"]
                    ingress, egress = _CELLS[cell]
                    yield Row(*ends, cell == ".", None, ingress, egress)


def _of_list(expect: Object) -> Iterator[Row]:
    """A complete list: connections between named endpoints and address ranges; what it does not list is denied."""
    if "allow" not in expect:
        return
    listed: Mapping[str, Mapping[str, str]] = expect["allow"]
    ranges = {name for source, to in listed.items() for name in (source, *to) if "/" not in name}
    known: dict[str, set[str]] = {pod: {owner} for pod, owner in expect["endpoints"].items()}
    for text in expect["externals"]:
        known[f"ip:{text}"] = {span for span in ranges if _lies_in(text, span)}
    for source, sources in known.items():
        for destination, destinations in known.items():
            if sources & destinations or (source.startswith("ip:") and destination.startswith("ip:")):
                continue
            grants = [listed[a][b] for a in sources if a in listed for b in destinations if b in listed[a]]
            for protocol in ("TCP", "UDP", "SCTP"):
                for port in expect["ports"]:
                    allowed = any(_grants(grant, protocol, port) for grant in grants)
                    yield Row(source, destination, protocol, port, allowed)


def _lies_in(address: str, span: str) -> bool:
    """`span`: FIRST-LAST, or one address."""
    low, _, high = span.partition("-")
    found, *ends = (ipaddress.ip_address(text) for text in (address, low, high or low))
    return found.version == ends[0].version and int(ends[0]) <= int(found) <= int(ends[1])


def _grants(text: str, protocol: str, port: int) -> bool:
    """`ALL`, or `TCP 80,90-99,UDP 53`: a protocol holds until the next one is named."""
    if text == "ALL":
        return True
    current = ""
    for part in text.split(","):
        *named, span = part.split()
        current = named[0] if named else current
        low, _, high = span.partition("-")
        if current == protocol and int(low) <= port <= int(high or low):
            return True
    return False
