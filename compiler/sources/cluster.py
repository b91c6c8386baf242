"""Decoded API objects -> pods, namespaces, nodes, services: what policies can ask for, checked and projected."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod, Service, ServicePort
from compiler.resources.names import dns_label_fault, port_name_fault, subdomain_fault
from compiler.sources import fields
from compiler.sources.fields import Object, Report
from grammar.tree import Path

_PHASES = frozenset({"Pending", "Running", "Succeeded", "Failed", "Unknown"})
#: Workload -> where its pod template is.
TEMPLATES: dict[str, Path] = {
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(["DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"], ("spec", "template")),
}


def pod(value: Object, report: Report) -> Pod:
    """A pod; its addresses are those of status.podIPs, or status.podIP where only that is set."""
    metadata = fields.mapping(value, "metadata", (), report)
    spec = fields.mapping(value, "spec", (), report)
    status = fields.mapping(value, "status", (), report)
    phase = fields.text(status, "phase", ("status",), report, "Pending")
    if phase not in _PHASES:
        report(("status", "phase"), f"expected one of {', '.join(sorted(_PHASES))}", "unsupported-value")
    return Pod(
        namespace=fields.namespace_of(metadata, report),
        name=fields.name_of(metadata, report),
        labels=fields.string_map(metadata, "labels", ("metadata",), report),
        ips=_pod_ips(status, report),
        node=_node_name(spec, report),
        host_network=fields.flag(spec, "hostNetwork", ("spec",), report),
        phase=phase,
        ports=_container_ports(spec, ("spec",), report),
    )


def template(kind: str, value: Object, report: Report) -> Pod:
    """The pod template of a workload, named like the workload."""
    metadata = fields.mapping(value, "metadata", (), report)
    inner: Object = value
    path: Path = ()
    for step in TEMPLATES[kind]:
        assert isinstance(step, str)
        if inner.get(step) is None:
            report((*path, step), "expected a pod template", "required")
            break
        inner, path = fields.mapping(inner, step, path, report), (*path, step)
    spec = fields.mapping(inner, "spec", path, report)
    labels = fields.mapping(inner, "metadata", path, report)
    return Pod(
        namespace=fields.namespace_of(metadata, report),
        name=fields.name_of(metadata, report, generated=True),
        labels=fields.string_map(labels, "labels", (*path, "metadata"), report),
        host_network=fields.flag(spec, "hostNetwork", (*path, "spec"), report),
        phase="Pending",
        ports=_container_ports(spec, (*path, "spec"), report),
        template_of=kind,
    )


def namespace(value: Object, report: Report) -> Namespace:
    metadata = fields.mapping(value, "metadata", (), report)
    return Namespace(
        fields.name_of(metadata, report, dns_label_fault),
        fields.string_map(metadata, "labels", ("metadata",), report),
        fields.annotations_of(metadata, report),
    )


def node(value: Object, report: Report) -> Node:
    metadata = fields.mapping(value, "metadata", (), report)
    spec = fields.mapping(value, "spec", (), report)
    status = fields.mapping(value, "status", (), report)
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    if not isinstance(cidrs, list) or not all(isinstance(c, str) for c in cidrs):
        report(("spec", "podCIDRs"), "must be a list of strings", "bad-type")
        cidrs = []
    found = [
        (entry["type"], fields.address(entry.get("address"), (*path, "address"), report))
        for path, entry in fields.objects(status, "addresses", ("status",), report)
        if entry.get("type") in ("InternalIP", "ExternalIP")
    ]
    ips = tuple(dict.fromkeys(address for _, address in found if address))
    internal = {address for kind, address in found if kind == "InternalIP"}
    return Node(
        name=fields.name_of(metadata, report),
        labels=fields.string_map(metadata, "labels", ("metadata",), report),
        ips=ips,
        pod_cidrs=tuple(cidrs),
        external=tuple(address for address in ips if address not in internal),
    )


def service(value: Object, report: Report) -> Service:
    metadata = fields.mapping(value, "metadata", (), report)
    spec = fields.mapping(value, "spec", (), report)
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    if not isinstance(addresses, list):
        report(("spec", "clusterIPs"), "must be a list", "bad-type")
        addresses = []
    ips = (
        fields.address(found, ("spec", "clusterIPs", n), report)
        for n, found in enumerate(addresses)
        if found != "None"  # headless
    )
    return Service(
        namespace=fields.namespace_of(metadata, report),
        name=fields.name_of(metadata, report),
        selector=fields.string_map(spec, "selector", ("spec",), report),
        cluster_ips=tuple(filter(None, ips)),
        ports=tuple(_service_ports(spec, report)),
    )


def _service_ports(spec: Object, report: Report) -> Iterator[ServicePort]:
    for path, entry in fields.objects(spec, "ports", ("spec",), report):
        number = fields.port(entry, "port", path, report)
        target = number if entry.get("targetPort") is None else entry["targetPort"]
        if isinstance(target, bool) or not isinstance(target, int | str):
            report((*path, "targetPort"), "must be a port number or the name of a port", "bad-type")
            continue
        name = fields.text(entry, "name", path, report)
        yield ServicePort(number, fields.protocol(entry, path, report), name, target)


def _pod_ips(status: Object, report: Report) -> tuple[str, ...]:
    entries = status.get("podIPs")
    if entries:
        found = [
            fields.address(entry.get("ip"), (*path, "ip"), report)
            for path, entry in fields.objects(status, "podIPs", ("status",), report)
        ]
    elif status.get("podIP"):
        found = [fields.address(status["podIP"], ("status", "podIP"), report)]
    else:
        return ()
    return tuple(dict.fromkeys(filter(None, found)))


def _node_name(spec: Object, report: Report) -> str:
    name = fields.text(spec, "nodeName", ("spec",), report)
    if name and (reason := subdomain_fault(name)) is not None:
        report(("spec", "nodeName"), reason, "bad-name")
    return name


def _container_ports(spec: Object, path: Path, report: Report) -> tuple[ContainerPort, ...]:
    """The ports of the containers that run beside each other: the containers, and the init containers that are
    restarted for ever (sidecars)."""
    found: list[ContainerPort] = []
    for key in ("containers", "initContainers"):
        for inner, container in fields.objects(spec, key, path, report):
            if key == "containers" or container.get("restartPolicy") == "Always":
                found += _ports(container, inner, report)
    return tuple(found)


def _ports(container: Object, path: Path, report: Report) -> Iterator[ContainerPort]:
    for inner, entry in fields.objects(container, "ports", path, report):
        name = fields.text(entry, "name", inner, report)
        if name and (reason := port_name_fault(name)) is not None:
            report((*inner, "name"), reason, "bad-port-name")
        number = fields.port(entry, "containerPort", inner, report)
        yield ContainerPort(number, fields.protocol(entry, inner, report), name)
