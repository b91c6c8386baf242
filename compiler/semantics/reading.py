"""How selectors, port lists and blocks of the API read: each function quotes the text that it follows.

Quotations are the field documentation of networking.k8s.io/v1, meta/v1 and of network-policy-api v0.2.0 and v0.1.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from compiler.resources import clusterpolicy, networkpolicy
from compiler.resources.cluster import Pod
from compiler.resources.labels import LabelSelector, LabelSelectorRequirement
from compiler.semantics.packet import SCTP, TCP, UDP
from compiler.semantics.verdict import PortTest

_PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
IngressRule = clusterpolicy.ClusterIngressRule | clusterpolicy.AdminIngressRule
EgressRule = clusterpolicy.ClusterEgressRule | clusterpolicy.AdminEgressRule | clusterpolicy.BaselineEgressRule
IngressPeer = clusterpolicy.IngressPeer
EgressPeer = clusterpolicy.EgressPeer | clusterpolicy.BaselineEgressPeer


def selects(selector: LabelSelector | None, labels: Mapping[str, str], absent: bool = False) -> bool:
    """ "The result of matchLabels and matchExpressions are ANDed. An empty label selector matches all objects. A null
    label selector matches no objects", unless the field's own text says otherwise: then `absent` is True. Unreadable
    requirements are left out; whoever asks has asked `is_readable`."""
    if selector is None:
        return absent
    return all(labels.get(key) == value for key, value in (selector.match_labels or {}).items()) and all(
        _meets(wanted, labels) for wanted in selector.match_expressions or () if _is_known(wanted)
    )


def is_readable(selector: LabelSelector | None) -> bool:
    """Whether every requirement is one that the text of LabelSelectorRequirement knows. Schemas of custom resources
    let others in."""
    return selector is None or all(map(_is_known, selector.match_expressions or ()))


def is_clear(chosen: clusterpolicy.Subject) -> bool:
    """Whether a subject can be read in full. A policy whose subject cannot is closed for the pods that the rest of it
    selects (decision)."""
    pods = chosen.pods
    readable = pods is None or (is_readable(pods.namespace_selector) and is_readable(pods.pod_selector))
    return readable and is_readable(chosen.namespaces)


def _is_known(wanted: LabelSelectorRequirement) -> bool:
    """ "If the operator is In or NotIn, the values array must be non-empty. If the operator is Exists or DoesNotExist,
    the values array must be empty." """
    return (
        bool(wanted.values)
        if wanted.operator in ("In", "NotIn")
        else (wanted.operator in ("Exists", "DoesNotExist") and not wanted.values)
    )


def _meets(wanted: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    present, values = wanted.key in labels, wanted.values or ()
    if wanted.operator == "In":
        return present and labels[wanted.key] in values
    if wanted.operator == "NotIn":
        return not present or labels[wanted.key] not in values
    return present if wanted.operator == "Exists" else not present


def port_test(ports: tuple[networkpolicy.PolicyPort, ...] | None, server: Pod | None) -> PortTest:
    """ "If this field is empty or missing, this rule matches all ports." """
    if not ports:
        return PortTest(everything=True)
    spans: list[tuple[int, int, int]] = []
    for port in ports:
        protocol = port.protocol or "TCP"  # "If not specified, this field defaults to TCP."
        if port.port is None:  # "If this field is not provided, this matches all port names and numbers."
            spans.append((_PROTOCOLS[protocol], 0, 65535))
        elif isinstance(port.port, int):
            spans.append((_PROTOCOLS[protocol], port.port, port.end_port or port.port))
        else:
            spans.extend(_named(port.port, server, protocol))
    return PortTest(False, tuple(spans))


def peers_of(rule: IngressRule | EgressRule) -> tuple[IngressPeer | EgressPeer, ...]:
    """The other ends of a rule of either direction."""
    return rule.from_ if isinstance(rule, IngressRule) else rule.to


def is_known(rule: IngressRule | EgressRule) -> bool:
    """Whether our versions of the API can read all of the rule.

    "If an implementation sees no fields are set then it can infer that the deployed CRD is of an incompatible version
    with an unknown field. In that case it should fail closed." What a schema lets in although the field's text rules
    it out is read the same way: requirements that are none, other protocols than "TCP, UDP, or SCTP", ranges that
    end before they start (decision).
    """
    for peer in peers_of(rule):
        if all(getattr(peer, name) is None for name in type(peer).model_fields):
            return False
        chosen = [peer.namespaces, *((peer.pods.namespace_selector, peer.pods.pod_selector) if peer.pods else ())]
        if isinstance(peer, EgressPeer):
            chosen.append(peer.nodes)
        if not all(map(is_readable, chosen)):
            return False
    if isinstance(rule, clusterpolicy.ClusterIngressRule | clusterpolicy.ClusterEgressRule):
        return True
    for port in rule.ports or ():
        found = port.port_number or port.port_range
        if found is not None and found.protocol not in (None, "", *_PROTOCOLS):  # "" is Go for absent
            return False
        if port.port_range is not None and port.port_range.start > port.port_range.end:
            return False
    return True


def cluster_port_test(rule: IngressRule | EgressRule, server: Pod | None) -> PortTest:
    """ "If unspecified, protocol-specific attributes will not be used to match traffic." """
    spans: list[tuple[int, int, int]] = []
    if isinstance(rule, clusterpolicy.ClusterIngressRule | clusterpolicy.ClusterEgressRule):
        if rule.protocols is None:
            return PortTest(everything=True)
        for wanted in rule.protocols:
            if wanted.destination_named_port is not None:
                spans.extend(_named(wanted.destination_named_port, server))
            for number, match in ((TCP, wanted.tcp), (UDP, wanted.udp), (SCTP, wanted.sctp)):
                if match is not None:
                    spans.append((number, *_span(match.destination_port)))
        return PortTest(False, tuple(spans))
    if rule.ports is None:
        return PortTest(everything=True)
    for port in rule.ports:
        if port.named_port is not None:
            spans.extend(_named(port.named_port, server))
        if port.port_number is not None:
            number = port.port_number.port
            spans.append((_PROTOCOLS[port.port_number.protocol or "TCP"], number, number))
        if port.port_range is not None:
            spans.append((_PROTOCOLS[port.port_range.protocol or "TCP"], port.port_range.start, port.port_range.end))
    return PortTest(False, tuple(spans))


def _span(port: clusterpolicy.DestinationPort | None) -> tuple[int, int]:
    if port is None:
        return 0, 65535
    if port.range is not None:
        return port.range.start, port.range.end
    assert port.number is not None, "number or range"
    return port.number, port.number


def _named(name: str, server: Pod | None, protocol: str | None = None) -> Iterator[tuple[int, int, int]]:
    """Every container port of that name on the destination pod; `protocol` must agree where the rule names one."""
    for port in server.ports if server is not None else ():
        if port.name and port.name == name and protocol in (None, port.protocol):
            yield _PROTOCOLS[port.protocol], port.port, port.port


@lru_cache(maxsize=1 << 16)
def _address(text: str) -> IPv4Address | IPv6Address:
    return ip_address(text)


@lru_cache(maxsize=1 << 16)
def _block(cidr: str) -> IPv4Network | IPv6Network:
    return ip_network(cidr, strict=False)


def within(address: str, cidr: str) -> bool:
    """An address is never within a block of the other family."""
    return _address(address) in _block(cidr)
