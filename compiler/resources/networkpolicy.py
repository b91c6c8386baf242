"""networking.k8s.io/v1 NetworkPolicy. Quotations are the API's field documentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from compiler.resources import cidr
from compiler.resources.labels import CheckedLabelSelector
from compiler.resources.metadata import ObjectMeta
from compiler.resources.model import (
    Checked,
    Fault,
    Given,
    Int32,
    ListRules,
    Model,
    Objects,
    Raw,
    Strings,
    Struct,
    broken,
)
from compiler.resources.names import port_name_fault

#: Every IANA port; 0 is no port.
PORTS = range(1, 65536)


def int_or_string(value: Any) -> int | str:
    """intstr.IntOrString as `port` uses it: a port number, or the name of a container port.

    "The port on the given protocol. This can either be a numerical or named port on a pod."
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise broken("bad-type", "must be a port number or the name of a port")
    if isinstance(value, int) and value not in PORTS:
        raise broken("out-of-range", "must be a port number from 1 to 65535")
    if isinstance(value, str) and (reason := port_name_fault(value)) is not None:
        raise broken("bad-port-name", reason)
    return value


class IPBlock(Checked):
    """ "IPBlock describes a particular CIDR (Ex. "192.168.1.0/24", "2001:db8::/64") that is allowed to the pods
    matched by a NetworkPolicySpec's podSelector. The except entry describes CIDRs that should not be included
    within this rule." """

    cidr: str
    except_: Strings[str] | None = Field(None, alias="except")

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        """except: "Except values will be rejected if they are outside the cidr range"; all of it neither."""
        whole, excepts = raw.get("cidr"), raw.get("except")
        outer, code, expected = cidr.read(whole) if isinstance(whole, str) and whole else (None, "", "")
        if whole in (None, ""):
            yield Fault(("cidr",), "required", "expected a CIDR block")
        if code:
            yield Fault(("cidr",), code, expected)
        for n, part in enumerate(excepts if isinstance(excepts, list) else ()):
            if part is not None and not isinstance(part, str):
                continue
            inner, code, expected = cidr.read(part or "")
            if code:
                yield Fault(("except", n), code, expected)
            if code == "ipv4-mapped" or inner is None or outer is None:
                continue  # of which family it is meant to be is open
            if not cidr.strictly_within(inner, outer):
                yield Fault(("except", n), "except-outside", f"must be a smaller block within the cidr {whole}")


class Peer(Checked):
    """NetworkPolicyPeer: "Only certain combinations of fields are allowed"."""

    ip_block: IPBlock | None = None
    namespace_selector: CheckedLabelSelector | None = None
    pod_selector: CheckedLabelSelector | None = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        """ipBlock: "If this field is set then neither of the other fields can be"."""
        chosen = {name for name, value in raw.items() if value is not None}
        if not chosen:
            yield Fault((), "required", "expected a peer: podSelector, namespaceSelector or ipBlock")
        elif "ipBlock" in chosen and chosen & {"podSelector", "namespaceSelector"}:
            yield Fault((), "forbidden", "ipBlock cannot stand beside podSelector or namespaceSelector in one peer")


class PolicyPort(Checked):
    """NetworkPolicyPort."""

    protocol: Literal["TCP", "UDP", "SCTP"] | None = None
    port: Annotated[int | str, PlainValidator(int_or_string)] | None = None
    end_port: Int32 | None = None

    @classmethod
    def faults(cls, raw: Raw) -> Iterator[Fault]:
        """endPort: "This field cannot be defined if the port field is not defined or if the port field is defined
        as a named (string) port. The endPort must be equal or greater than port." """
        port, end = raw.get("port"), raw.get("endPort")
        if not isinstance(end, int) or isinstance(end, bool):
            return
        if port is None:
            yield Fault(("endPort",), "end-port", "needs a port, the first of the range")
        elif isinstance(port, str):
            yield Fault(("endPort",), "end-port", "needs a numeric port, the port has a name")
        elif isinstance(port, int) and not isinstance(port, bool):
            if end < port:
                yield Fault(("endPort",), "end-port", f"must be at least the port, {port}")
            elif end not in PORTS:
                yield Fault(("endPort",), "out-of-range", "must be a port number from 1 to 65535")


class IngressRule(Model):
    """NetworkPolicyIngressRule."""

    from_: Objects[Peer] | None = Field(None, alias="from")
    ports: Objects[PolicyPort] | None = None


class EgressRule(Model):
    """NetworkPolicyEgressRule."""

    to: Objects[Peer] | None = None
    ports: Objects[PolicyPort] | None = None


class NetworkPolicySpec(Model):
    """NetworkPolicySpec. podSelector absent is an empty one: every pod of the namespace."""

    pod_selector: Struct[CheckedLabelSelector]
    ingress: Objects[IngressRule] | None = None
    egress: Objects[EgressRule] | None = None
    policy_types: Annotated[tuple[Literal["Ingress", "Egress"], ...], ListRules(most=2, null=str)] | None = None


class NetworkPolicy(Model):
    """ "NetworkPolicy describes what network traffic is allowed for a set of Pods" """

    api_version: Literal["networking.k8s.io/v1", ""] | None = None
    kind: Literal["NetworkPolicy"]
    metadata: Given[ObjectMeta]
    spec: Struct[NetworkPolicySpec]
