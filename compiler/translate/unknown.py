"""What a custom resource's schema lets in though the API's own text rules it out.

The text says what to do with a rule whose peer an implementation does not know: "fail closed", an Accept rule matches
nothing, a Deny or Pass rule denies all. netpolc reads everything here that way, so that a slip of the pen (`operator:
exists`, `protocol: tcp`) never opens anything (decision).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.net import PROTOCOLS
from compiler.resources import clusterpolicy as api
from compiler.resources.labels import LabelSelector, LabelSelectorRequirement

IngressRule = api.ClusterIngressRule | api.AdminIngressRule
EgressRule = api.ClusterEgressRule | api.AdminEgressRule | api.BaselineEgressRule
AnyRule = IngressRule | EgressRule
AnyPeer = api.Subject | api.IngressPeer | api.EgressPeer | api.BaselineEgressPeer


def is_known_requirement(wanted: LabelSelectorRequirement) -> bool:
    """metav1: "If the operator is In or NotIn, the values array must be non-empty. If the operator is Exists or
    DoesNotExist, the values array must be empty." No other operator exists."""
    takes_values = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}.get(wanted.operator)
    return takes_values is bool(wanted.values)


def is_known_peer(peer: AnyPeer) -> bool:
    """Whether its selectors can be read; the schema sees to it that one kind of peer is set."""
    return all(is_known_requirement(wanted) for chosen in _selectors(peer) for wanted in chosen.match_expressions or ())


def is_known_rule(rule: AnyRule) -> bool:
    """Whether every peer and every port of the rule means something."""
    peers: Sequence[AnyPeer] = rule.from_ if isinstance(rule, IngressRule) else rule.to
    return all(map(is_known_peer, peers)) and all(_is_known_port(*port) for port in _v1alpha1_ports(rule))


def _selectors(peer: AnyPeer) -> Iterator[LabelSelector]:
    found = [peer.namespaces, getattr(peer, "nodes", None)]
    if peer.pods is not None:
        found += [peer.pods.namespace_selector, peer.pods.pod_selector]
    yield from (chosen for chosen in found if chosen is not None)


def _v1alpha1_ports(rule: AnyRule) -> Iterator[tuple[str | None, int, int]]:
    """(protocol, first, last). v1alpha2 has a field for each protocol and a rule for ranges; v1alpha1 has text."""
    if isinstance(rule, api.ClusterIngressRule | api.ClusterEgressRule):
        return
    for port in rule.ports or ():
        if port.port_number is not None:
            yield port.port_number.protocol, port.port_number.port, port.port_number.port
        if port.port_range is not None:
            yield port.port_range.protocol, port.port_range.start, port.port_range.end


def _is_known_port(protocol: str | None, first: int, last: int) -> bool:
    """portNumber, portRange: protocol is TCP, UDP or SCTP, TCP when absent; start is not behind end."""
    return (not protocol or protocol in PROTOCOLS) and first <= last
