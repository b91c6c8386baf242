"""Small clusters for tests, written as they read: `World(pods, ...)`, then `world.allows("x/a", "y/b", "tcp/80")`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import yaml

from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod
from compiler.resources.validation import validate
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import ICMP, SCTP, TCP, UDP, Packet, connection
from compiler.semantics.verdict import AnyPolicy, Connection
from compiler.snapshot import Snapshot, build

PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "udplite": 136}


def pod(
    name: str,
    *ips: str,
    node: str = "n1",
    labels: Mapping[str, str] | None = None,
    ports: Sequence[str] = (),
    host_network: bool = False,
    phase: str = "Running",
) -> Pod:
    """`name` is NAMESPACE/NAME; a port is NAME=PROTOCOL/NUMBER. Without labels it has `app: NAME`."""
    namespace, _, own = name.partition("/")
    declared = []
    for text in ports:
        called, _, what = text.partition("=")
        protocol, _, number = what.partition("/")
        declared.append(ContainerPort(int(number), protocol.upper(), called))
    labels = {"app": own} if labels is None else labels
    return Pod(namespace, own, labels, ips, node, host_network, phase, tuple(declared))


def policies(text: str) -> tuple[AnyPolicy, ...]:
    """The policies of a YAML stream, which must all be valid."""
    found = []
    for value in yaml.safe_load_all(text):
        model, problems = validate(value)
        assert model is not None, problems
        found.append(model)
    return tuple(found)


class World:
    """A cluster with policies. Ends of connections are pods (`ns/name`, its first address), addresses, or
    `node:NAME`; what they ask for is `tcp/80` or, without port, `icmp`."""

    def __init__(
        self,
        pods: Sequence[Pod],
        text: str = "",
        namespaces: Mapping[str, Mapping[str, str]] | None = None,
        nodes: Mapping[str, str | tuple[str, Mapping[str, str]]] | None = None,
    ) -> None:
        """`nodes`: name to address, or to address and labels."""
        known = []
        for name, value in (nodes or {"n1": "192.0.2.1", "n2": "192.0.2.2"}).items():
            address, labels = (value, {}) if isinstance(value, str) else value
            known.append(Node(name, labels, (address,)))
        self.policies = policies(text)
        referred = [p.metadata.namespace or "default" for p in self.policies if p.kind == "NetworkPolicy"]
        spaces = [Namespace(name, labels) for name, labels in (namespaces or {}).items()]
        self.snapshot: Snapshot = build(pods, spaces, known, referred)
        self.oracle = Oracle(self.policies, self.snapshot)

    def address(self, end: str, family: int = 4) -> str:
        """The address of an end in one family."""
        if end.startswith("node:"):
            ips = self.snapshot.nodes[end[5:]].ips
        elif "/" in end:
            ips = next(pod.ips for pod in self.snapshot.pods if f"{pod.namespace}/{pod.name}" == end)
        else:
            ips = (end,)
        return next(ip for ip in ips if ipaddress.ip_address(ip).version == family)

    def packet(self, source: str, destination: str, what: str, family: int | None = None) -> Packet:
        version = family or (6 if ":" in source.removeprefix("node:") + destination.removeprefix("node:") else 4)
        protocol, _, port = what.partition("/")
        ends = self.address(source, version), self.address(destination, version)
        return connection(*ends, PROTOCOLS[protocol], int(port or 0), 0)

    def ask(self, source: str, destination: str, what: str = "tcp/80", family: int | None = None) -> Connection:
        return self.oracle.connection(self.packet(source, destination, what, family))

    def allows(self, source: str, destination: str, what: str = "tcp/80", family: int | None = None) -> bool:
        """Whether the connection comes about."""
        return self.ask(source, destination, what, family).allowed
