"""The cluster-wide kinds of policy.networking.k8s.io: ClusterNetworkPolicy v1alpha2 (network-policy-api v0.2.0),
AdminNetworkPolicy and BaselineAdminNetworkPolicy v1alpha1 (v0.1.8), all in the experimental channel.

They are custom resources. What their schemas say of types, sizes and enumerations stands in the fields below; what
their validation rules say across fields, in `faults`. Label selectors, named ports and the protocols of v1alpha1
are free text to these schemas. Quotations are the APIs' field documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from compiler.resources import cidr
from compiler.resources.labels import KEY, LabelSelector
from compiler.resources.metadata import CustomObjectMeta
from compiler.resources.model import Checked, Fault, ListRules, Model, Raw, Struct, T, Whole, raise_faults, text

#: Peers, rules, networks and names in one list: v1alpha2's bound, and of networks and domainNames in both versions.
FEW = 25
#: v1alpha1's bound for rules, peers and ports.
MANY = 100

_DOMAIN_LABEL = r"[a-zA-z0-9](?:[-a-zA-Z0-9_]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:\*\.)?(?:{_DOMAIN_LABEL}\.)+{_DOMAIN_LABEL}\.?")


def _domain_fault(name: str) -> str | None:
    """domainNames: "'*', the wildcard specifier, matches one or more entire labels [...] may only be specified as a
    prefix". The schema's pattern reads A-z where A-Z was meant; what it takes is taken here."""
    if _DOMAIN.fullmatch(name):
        return None
    return "expected a domain name of two labels at least, such as example.org or *.example.org"


def _network_fault(network: str) -> str | None:
    """networks: a CIDR by the rule isCIDR, which minds no host bits."""
    if len(network) > 43:
        return f"must be at most 43 characters long, is {len(network)}"
    _, code, expected = cidr.read(network)
    return expected if code not in ("", "host-bits") else None


PORT = Field(ge=1, le=65535)
Port = Annotated[Whole, PORT]
Priority = Annotated[Whole, Field(ge=0, le=1000)]
RuleName = Annotated[str, Field(max_length=100)]
#: x-kubernetes-list-type: set
Networks = Annotated[
    tuple[Annotated[str, text(_network_fault, "bad-cidr")], ...], ListRules(least=1, most=FEW, distinct=True)
]
DomainNames = Annotated[
    tuple[Annotated[str, text(_domain_fault, "bad-domain-name")], ...], ListRules(least=1, most=FEW, distinct=True)
]
#: Lists that must not be empty, by the bounds of v1alpha2 and v1alpha1.
Few = Annotated[tuple[T, ...], ListRules(least=1, most=FEW)]
Many = Annotated[tuple[T, ...], ListRules(least=1, most=MANY)]


class OneOf(Checked):
    """A union of the API, "Exactly one field must be set": which one says what the object is."""

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        chosen = [name for name, value in raw.items() if value is not None]
        if len(chosen) == 1:
            return
        known = [field.alias or name for name, field in cls.model_fields.items()]
        if not set(raw) <= set(known):
            return  # an unknown field is that field's problem
        found = f"found {' and '.join(sorted(chosen))}" if chosen else "found none"
        yield Fault((), "one-of", f"must have exactly one of {', '.join(known)}; {found}")


_UNNAMED = ("networks", "nodes", "domainNames")


def _named_port_faults(raw: Raw, ports: str, named: str) -> Iterator[Fault]:
    """ "networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for" them."""
    peers, entries = raw.get("to"), raw.get(ports)
    if not isinstance(peers, list) or not isinstance(entries, list):
        return
    found = [kind for kind in _UNNAMED if any(isinstance(p, dict) and p.get(kind) is not None for p in peers)]
    for n, entry in enumerate(entries):
        if found and isinstance(entry, dict) and entry.get(named) is not None:
            expected = f"must not stand beside a peer of {' or '.join(found)}: those have no named ports"
            yield Fault((ports, n, named), "named-port", expected)


#: Names of the fields in a status; a list holds what its items have.
_STATUS = {
    "conditions": [dict.fromkeys(("type", "status", "reason", "message", "lastTransitionTime", "observedGeneration"))]
}


def _unknown_fields(value: Any, known: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
    """Fields that a schema lacks. Where the value has another type than the schema, it has no field at all."""
    if isinstance(value, dict):
        fields = known if isinstance(known, dict) else {}
        for name, item in value.items():
            if name in fields:
                yield from _unknown_fields(item, fields[name], (*path, name))
            else:
                expected = f"expected one of {', '.join(fields)}" if fields else "expected no field here"
                yield Fault((*path, name, KEY), "unknown-field", expected)
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _unknown_fields(item, known[0] if isinstance(known, list) else None, (*path, n))


def _status(value: Any) -> None:
    """The server drops the status of an object that it creates, once the names of its fields have passed."""
    raise_faults(list(_unknown_fields(value, _STATUS, ())), value)


Status = Annotated[None, PlainValidator(_status)]


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
        if type(start) is int and type(end) is int and start >= end:
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
        return _named_port_faults(raw, "protocols", "destinationNamedPort")


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
    metadata: Struct[CustomObjectMeta]
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
            yield Fault(("domainNames", KEY), "unknown-field", "only an AdminNetworkPolicy may name domains")
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
        return _named_port_faults(raw, "ports", "namedPort")


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
    metadata: Struct[CustomObjectMeta]
    spec: AdminNetworkPolicySpec
    status: Status = None


class BaselineAdminNetworkPolicy(Checked):
    """v1alpha1: "Only one baseline admin network policy with metadata.name="default" can be created"."""

    api_version: Literal["policy.networking.k8s.io/v1alpha1"]
    kind: Literal["BaselineAdminNetworkPolicy"]
    metadata: Struct[CustomObjectMeta]
    spec: BaselineAdminNetworkPolicySpec
    status: Status = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        metadata = raw.get("metadata")
        meta = metadata if isinstance(metadata, dict) else {}
        name = meta.get("name") or meta.get("generateName")
        if isinstance(name, str) and name and meta.get("name") != "default":
            yield Fault(("metadata", "name"), "baseline-name", "must be default, the one object of this kind")
