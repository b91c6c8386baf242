"""ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy -> policy model.

Quotations are the field documentation of network-policy-api v0.2.0 (v1alpha2) and v0.1.8 (v1alpha1). What these
versions may add later and this model does not know never gets here: an unknown field in a spec is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.net import PROTOCOLS, parse_prefix
from compiler.policy import (
    Action,
    Block,
    Domains,
    NamedPort,
    NodeSelector,
    Peer,
    PodSelector,
    Policy,
    Ports,
    Rule,
    Selector,
    Tier,
)
from compiler.resources import AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy
from compiler.resources import clusterpolicy as api
from compiler.sources.manifests import Located
from compiler.translate.common import Place, places, selector

#: A BaselineAdminNetworkPolicy has no priority, and there is one at most. It comes behind every
#: ClusterNetworkPolicy of the Baseline tier, whose priorities end at 1000 (netpolc's decision).
BASELINE_ADMIN_PRIORITY = 1001

_ACTIONS = {"Accept": Action.ALLOW, "Allow": Action.ALLOW, "Deny": Action.DENY, "Pass": Action.PASS}

AnyRule = api.ClusterIngressRule | api.ClusterEgressRule | api.AdminIngressRule | api.AdminEgressRule
AnySpec = api.ClusterNetworkPolicySpec | api.AdminNetworkPolicySpec | api.BaselineAdminNetworkPolicySpec


def cluster_policy(located: Located) -> Policy:
    """The model of one policy of the admin or baseline tier."""
    policy = located.value
    place = places(located, "")
    match policy:
        case ClusterNetworkPolicy():
            tier = Tier.ADMIN if policy.spec.tier == "Admin" else Tier.BASELINE
            return _model(policy.spec, tier, policy.spec.priority, place)
        case AdminNetworkPolicy():
            return _model(policy.spec, Tier.ADMIN, policy.spec.priority, place)
        case BaselineAdminNetworkPolicy():
            return _model(policy.spec, Tier.BASELINE, BASELINE_ADMIN_PRIORITY, place)
        case _:
            raise AssertionError(f"{policy.kind} is no cluster policy")


def _model(spec: AnySpec, tier: Tier, priority: int, place: Place) -> Policy:
    return Policy(
        tier=tier,
        priority=priority,
        subject=_pods(spec.subject),
        isolates=frozenset(),  # only NetworkPolicies isolate
        ingress=tuple(
            Rule(_ACTIONS[rule.action], tuple(_pods(peer) for peer in rule.from_), _ports(rule), place("ingress", n))
            for n, rule in enumerate(spec.ingress or ())
        ),
        egress=tuple(
            Rule(
                _ACTIONS[rule.action],
                tuple(p for peer in rule.to for p in _egress_peer(peer)),
                _ports(rule),
                place("egress", n),
            )
            for n, rule in enumerate(spec.egress or ())
        ),
        origin=place("", None),
    )


def _pods(peer: api.Subject | api.IngressPeer | api.EgressPeer) -> PodSelector:
    """namespaces: "a way to select all pods within a set of Namespaces"; pods: "a set of pods in a set of
    namespaces". Exactly one is set."""
    if peer.pods is not None:
        spaces, pods = selector(peer.pods.namespace_selector), selector(peer.pods.pod_selector)
        return PodSelector(spaces or Selector(), pods or Selector())
    return PodSelector(selector(peer.namespaces) or Selector(), Selector())


def _egress_peer(peer: api.EgressPeer) -> Iterator[Peer]:
    if peer.nodes is not None:
        yield NodeSelector(selector(peer.nodes) or Selector())
    elif peer.networks is not None:
        yield from (Block(parse_prefix(text)) for text in peer.networks)
    elif peer.domain_names is not None:
        yield Domains(tuple(peer.domain_names))
    else:
        yield _pods(peer)


def _ports(rule: AnyRule) -> Ports:
    """protocols, ports: "If not specified, ... all traffic"."""
    spans: list[tuple[int, int, int]] = []
    named: list[NamedPort] = []
    if isinstance(rule, api.ClusterIngressRule | api.ClusterEgressRule):
        if rule.protocols is None:
            return Ports(everything=True)
        for wanted in rule.protocols:
            if wanted.destination_named_port is not None:
                named.append(NamedPort(wanted.destination_named_port))
            for name in ("tcp", "udp", "sctp"):
                protocol = getattr(wanted, name)
                if protocol is not None:
                    spans.append((PROTOCOLS[name.upper()], *_span(protocol.destination_port)))
        return Ports(spans=tuple(spans), named=tuple(named))
    if rule.ports is None:
        return Ports(everything=True)
    for port in rule.ports:
        if port.port_number is not None:
            spans.append((PROTOCOLS[port.port_number.protocol or "TCP"], port.port_number.port, port.port_number.port))
        elif port.port_range is not None:
            spans.append((PROTOCOLS[port.port_range.protocol or "TCP"], port.port_range.start, port.port_range.end))
        elif port.named_port is not None:
            named.append(NamedPort(port.named_port))
    return Ports(spans=tuple(spans), named=tuple(named))


def _span(port: api.DestinationPort | None) -> tuple[int, int]:
    """destinationPort absent: every port of the protocol."""
    if port is None:
        return (0, 65535)
    if port.number is not None:
        return (port.number, port.number)
    assert port.range is not None, "validated: number or range"
    return (port.range.start, port.range.end)
