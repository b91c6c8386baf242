"""ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy -> policy model.

Quotations are the field documentation of network-policy-api v0.2.0 (v1alpha2) and v0.1.8 (v1alpha1). What these
versions may add later never gets here: an unknown field in a spec is an error. What their schemas let in and their
text does not know fails closed (`unknown`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.net import PROTOCOLS, parse_prefix
from compiler.policy import (
    Action,
    Anyone,
    Block,
    Domains,
    NamedPort,
    NodeSelector,
    Origin,
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
from compiler.resources.networkpolicy import NetworkPolicySpec
from compiler.sources.manifests import Located
from compiler.translate.common import Place, places, selector
from compiler.translate.unknown import AnyRule, IngressRule, is_known_peer, is_known_rule

#: A BaselineAdminNetworkPolicy has no priority, and there is one at most. It comes behind every
#: ClusterNetworkPolicy of the Baseline tier, whose priorities end at 1000 (netpolc's decision).
BASELINE_ADMIN_PRIORITY = 1001

_ACTIONS = {"Accept": Action.ALLOW, "Allow": Action.ALLOW, "Deny": Action.DENY, "Pass": Action.PASS}

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
    ingress: Sequence[AnyRule] = spec.ingress or ()
    egress: Sequence[AnyRule] = spec.egress or ()
    readable = is_known_peer(spec.subject)  # else: closed for the pods that the rest of the subject selects
    return Policy(
        tier=tier,
        priority=priority,
        subject=_pods(spec.subject),
        isolates=frozenset(),  # only NetworkPolicies isolate
        ingress=tuple(_rule(rule, readable, place("ingress", n)) for n, rule in enumerate(ingress)),
        egress=tuple(_rule(rule, readable, place("egress", n)) for n, rule in enumerate(egress)),
        origin=place("", None),
    )


def closed_rules(located: Located) -> Iterator[Origin]:
    """The rules of a policy that fail closed because something in them, or in the subject, has no meaning."""
    spec, place = located.value.spec, places(located, "")
    assert not isinstance(spec, NetworkPolicySpec), "NetworkPolicies are read in full or refused"
    readable = is_known_peer(spec.subject)
    rules: Sequence[tuple[str, Sequence[AnyRule]]] = (("ingress", spec.ingress or ()), ("egress", spec.egress or ()))
    for direction, listed in rules:
        yield from (place(direction, n) for n, rule in enumerate(listed) if not (readable and is_known_rule(rule)))


def _rule(rule: AnyRule, readable: bool, origin: Origin) -> Rule:
    action = _ACTIONS[rule.action]
    if readable and is_known_rule(rule):
        return Rule(action, tuple(_peers(rule)), _ports(rule), origin)
    if action is Action.ALLOW:
        return Rule(action, (), Ports(), origin)
    return Rule(Action.DENY, (Anyone(),), Ports(everything=True), origin)


def _peers(rule: AnyRule) -> Iterator[Peer]:
    if isinstance(rule, IngressRule):
        yield from map(_pods, rule.from_)
    else:
        for peer in rule.to:
            yield from _egress_peer(peer)


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
