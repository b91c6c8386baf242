"""The cluster-wide kinds of policy.networking.k8s.io: ClusterNetworkPolicy v1alpha2 (network-policy-api v0.2.0),
AdminNetworkPolicy and BaselineAdminNetworkPolicy v1alpha1 (v0.1.8), all in the experimental channel.

They are custom resources. What their schemas say of types, sizes and enumerations stands in the fields below; what
their validation rules say across fields, in `faults`. Label selectors, named ports and the protocols of v1alpha1
are free text to these schemas. Quotations are the APIs' field documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from compiler.resources.crd import (
    FEW,
    MANY,
    PORT,
    DomainNames,
    Few,
    Many,
    Networks,
    OneOf,
    Port,
    Priority,
    RuleName,
    Status,
    named_port_faults,
)
from compiler.resources.labels import LabelSelector
from compiler.resources.metadata import CustomObjectMeta
from compiler.resources.model import Checked, Fault, Given, ListRules, Model, Raw
from compiler.resources.names import subdomain_fault


class NamespacedPods(Model):
    """v1alpha2. An absent namespaceSelector selects all namespaces."""

    namespace_selector: LabelSelector | None = None
    pod_selector: LabelSelector


class Subject(OneOf):
    """The pods that a policy is about."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPods | None = None


class IngressPeer(OneOf):
    """Pods that a connection comes from."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPods | None = None


class EgressPeer(OneOf):
    """What a connection goes to."""

    namespaces: LabelSelector | None = None
    pods: NamespacedPods | None = None
    nodes: LabelSelector | None = None
    networks: Networks | None = None
    domain_names: DomainNames | None = None


class PortRange(Checked):
    """Both ends inclusive; v1alpha2: "Start port must be less than End port". That rule reads integers only, so
    80.0 is none here."""

    start: Annotated[int, PORT]
    end: Annotated[int, PORT]

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        start, end = raw.get("start"), raw.get("end")
        if type(start) is int and type(end) is int and 1 <= end <= start <= 65535:
            yield Fault(("start",), "port-range", f"must be less than the end, {end}")


class DestinationPort(OneOf):
    """One port or a range of ports."""

    number: Port | None = None
    range: PortRange | None = None


class ProtocolPorts(OneOf):
    """A protocol of v1alpha2 with the ports that are meant."""

    destination_port: DestinationPort | None = None


class Protocol(OneOf):
    """An entry of v1alpha2's protocols."""

    tcp: ProtocolPorts | None = None
    udp: ProtocolPorts | None = None
    sctp: ProtocolPorts | None = None
    destination_named_port: str | None = None


class ClusterIngressRule(Model):
    """v1alpha2 ClusterNetworkPolicyIngressRule."""

    name: RuleName | None = None
    action: Literal["Accept", "Deny", "Pass"]
    from_: Few[IngressPeer] = Field(alias="from")
    protocols: Few[Protocol] | None = None


class ClusterEgressRule(Checked):
    """v1alpha2 ClusterNetworkPolicyEgressRule."""

    name: RuleName | None = None
    action: Literal["Accept", "Deny", "Pass"]
    to: Few[EgressPeer]
    protocols: Few[Protocol] | None = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        return named_port_faults(raw, "protocols", "destinationNamedPort")


class ClusterNetworkPolicySpec(Model):
    """v1alpha2 ClusterNetworkPolicySpec."""

    tier: Literal["Admin", "Baseline"]
    priority: Priority
    subject: Subject
    ingress: Annotated[tuple[ClusterIngressRule, ...], ListRules(most=FEW)] | None = None
    egress: Annotated[tuple[ClusterEgressRule, ...], ListRules(most=FEW)] | None = None


class ClusterNetworkPolicy(Model):
    """v1alpha2."""

    api_version: Literal["policy.networking.k8s.io/v1alpha2"]
    kind: Literal["ClusterNetworkPolicy"]
    metadata: Given[CustomObjectMeta]
    spec: ClusterNetworkPolicySpec
    status: Status = None


class AdminNamespacedPods(NamespacedPods):
    """v1alpha1 requires both selectors."""

    namespace_selector: LabelSelector


class AdminSubject(Subject):
    """v1alpha1 AdminNetworkPolicySubject."""

    pods: AdminNamespacedPods | None = None


class AdminIngressPeer(IngressPeer):
    """v1alpha1 AdminNetworkPolicyIngressPeer."""

    pods: AdminNamespacedPods | None = None


class AdminEgressPeer(EgressPeer):
    """v1alpha1 AdminNetworkPolicyEgressPeer."""

    pods: AdminNamespacedPods | None = None


class BaselineEgressPeer(AdminEgressPeer):
    """v1alpha1 BaselineAdminNetworkPolicyEgressPeer, which knows no domain names."""

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        if "domainNames" in raw:
            yield Fault(("domainNames",), "unknown-field", "only an AdminNetworkPolicy may name domains", on_key=True)
        else:
            yield from super().faults(raw)


class PortNumber(Model):
    """One port of one protocol, TCP by default. The schema takes any text as protocol."""

    protocol: str | None = None
    port: Port


class AdminPortRange(Model):
    """Ports of one protocol, both ends inclusive. The schema of v1alpha1 does not compare the ends."""

    protocol: str | None = None
    start: Port
    end: Port


class AdminPort(OneOf):
    """v1alpha1 AdminNetworkPolicyPort."""

    port_number: PortNumber | None = None
    port_range: AdminPortRange | None = None
    named_port: str | None = None


class AdminIngressRule(Model):
    """v1alpha1 AdminNetworkPolicyIngressRule."""

    name: RuleName | None = None
    action: Literal["Allow", "Deny", "Pass"]
    from_: Many[AdminIngressPeer] = Field(alias="from")
    ports: Many[AdminPort] | None = None


class AdminEgressRule(Checked):
    """v1alpha1 AdminNetworkPolicyEgressRule."""

    name: RuleName | None = None
    action: Literal["Allow", "Deny", "Pass"]
    to: Many[AdminEgressPeer]
    ports: Many[AdminPort] | None = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        return named_port_faults(raw, "ports", "namedPort")


class BaselineIngressRule(AdminIngressRule):
    """v1alpha1 BaselineAdminNetworkPolicyIngressRule: no tier comes behind, so nothing to pass to."""

    action: Literal["Allow", "Deny"]


class BaselineEgressRule(AdminEgressRule):
    """v1alpha1 BaselineAdminNetworkPolicyEgressRule."""

    action: Literal["Allow", "Deny"]
    to: Many[BaselineEgressPeer]


class AdminNetworkPolicySpec(Model):
    """v1alpha1 AdminNetworkPolicySpec."""

    priority: Priority
    subject: AdminSubject
    ingress: Annotated[tuple[AdminIngressRule, ...], ListRules(most=MANY)] | None = None
    egress: Annotated[tuple[AdminEgressRule, ...], ListRules(most=MANY)] | None = None


class BaselineAdminNetworkPolicySpec(Model):
    """v1alpha1 BaselineAdminNetworkPolicySpec."""

    subject: AdminSubject
    ingress: Annotated[tuple[BaselineIngressRule, ...], ListRules(most=MANY)] | None = None
    egress: Annotated[tuple[BaselineEgressRule, ...], ListRules(most=MANY)] | None = None


class AdminNetworkPolicy(Model):
    """v1alpha1."""

    api_version: Literal["policy.networking.k8s.io/v1alpha1"]
    kind: Literal["AdminNetworkPolicy"]
    metadata: Given[CustomObjectMeta]
    spec: AdminNetworkPolicySpec
    status: Status = None


class BaselineAdminNetworkPolicy(Checked):
    """v1alpha1: "Only one baseline admin network policy with metadata.name="default" can be created"."""

    api_version: Literal["policy.networking.k8s.io/v1alpha1"]
    kind: Literal["BaselineAdminNetworkPolicy"]
    metadata: Given[CustomObjectMeta]
    spec: BaselineAdminNetworkPolicySpec
    status: Status = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        metadata = raw.get("metadata")
        meta = metadata if isinstance(metadata, dict) else {}
        name = meta.get("name") or meta.get("generateName")
        if isinstance(name, str) and name and meta.get("name") != "default" and subdomain_fault(name) is None:
            yield Fault(("metadata", "name"), "baseline-name", "must be default, the one object of this kind")
