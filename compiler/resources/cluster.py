"""The cluster's objects as netpolc needs them: pods, namespaces, nodes, services.

Plain slotted values, projected from the API objects by `compiler.sources`; 150,000 pods are normal, so a pod
holds nothing that no policy can ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Pods in these phases hold no address any more: another pod may have it already (core/v1 PodPhase).
TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A declared port of a container: `port` 1-65535, `protocol` TCP, UDP or SCTP, `name` empty when unnamed."""

    port: int
    protocol: str = "TCP"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, or the pod template of a workload.

    `ips` are canonical address strings, both families, empty while none is assigned; `node` is empty while
    unscheduled. `template_of` is empty for a pod and names the owning kind ("Deployment", ...) for a template,
    which has labels and ports but never an address.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ips: tuple[str, ...] = ()
    node: str = ""
    host_network: bool = False
    phase: str = "Running"
    ports: tuple[ContainerPort, ...] = ()
    template_of: str = ""

    @property
    def holds_addresses(self) -> bool:
        """Whether the pod's addresses are its own: not the node's, and not given back yet."""
        return bool(self.ips) and not self.host_network and self.phase not in TERMINAL_PHASES


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace. `annotations` are for people and their tools: no policy can ask for them."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """A node; `ips` are its InternalIP and ExternalIP addresses, `pod_cidrs` what the cluster gave it. `external`:
    those of `ips` that are ExternalIPs alone, which a translation in front of the machine may have instead of it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ips: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    external: tuple[str, ...] = ()

    @property
    def own_ips(self) -> tuple[str, ...]:
        """The addresses that the machine itself has for sure."""
        return tuple(address for address in self.ips if address not in self.external)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """`target` is the port number or the container port's name that the service leads to."""

    port: int
    protocol: str = "TCP"
    name: str = ""
    target: int | str = 0


@dataclass(frozen=True, slots=True)
class Service:
    namespace: str
    name: str
    selector: Mapping[str, str] = field(default_factory=dict)
    cluster_ips: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
