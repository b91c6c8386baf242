"""networking.k8s.io/v1 NetworkPolicy -> policy model. Quotations are the API's field documentation."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.net import PROTOCOLS, parse_prefix
from compiler.policy import (
    Action,
    Anyone,
    Block,
    Direction,
    NamedPort,
    Origin,
    Peer,
    PodSelector,
    Policy,
    Ports,
    Rule,
    Selector,
    Tier,
)
from compiler.resources import networkpolicy as v1
from compiler.sources.manifests import Located
from compiler.translate.common import places, selector


def network_policy(located: Located) -> Policy:
    """The model of one NetworkPolicy. Its rules only allow; isolation denies the rest."""
    policy = located.value
    assert isinstance(policy, v1.NetworkPolicy)
    spec, namespace = policy.spec, policy.metadata.namespace or "default"
    place = places(located, namespace)
    return Policy(
        tier=Tier.APPLICATION,
        priority=0,
        subject=PodSelector(namespace, selector(spec.pod_selector) or Selector()),
        isolates=frozenset(_policy_types(spec)),
        ingress=tuple(
            _rule(rule.from_, rule.ports, namespace, place("ingress", n)) for n, rule in enumerate(spec.ingress or ())
        ),
        egress=tuple(
            _rule(rule.to, rule.ports, namespace, place("egress", n)) for n, rule in enumerate(spec.egress or ())
        ),
        origin=place("", None),
    )


def _policy_types(spec: v1.NetworkPolicySpec) -> Iterable[Direction]:
    """policyTypes: "If this field is not specified, it will default based on the existence of ingress or egress
    rules; policies that contain an egress section are assumed to affect egress, and all policies (whether or not
    they contain an ingress section) are assumed to affect ingress." An empty egress list is no section: the API
    server defaults on len(egress) > 0."""
    if spec.policy_types:
        return (Direction[kind.upper()] for kind in spec.policy_types)
    return (Direction.INGRESS, Direction.EGRESS) if spec.egress else (Direction.INGRESS,)


def _rule(
    peers: tuple[v1.Peer, ...] | None, ports: tuple[v1.PolicyPort, ...] | None, namespace: str, origin: Origin
) -> Rule:
    """from, to: "If this field is empty or missing, this rule matches all sources"; ports likewise."""
    found: tuple[Peer, ...] = tuple(_peer(p, namespace) for p in peers) if peers else (Anyone(),)
    return Rule(Action.ALLOW, found, _ports(ports), origin)


def _peer(peer: v1.Peer, namespace: str) -> Peer:
    if peer.ip_block is not None:
        excepts = tuple(parse_prefix(text) for text in peer.ip_block.except_ or ())
        return Block(parse_prefix(peer.ip_block.cidr), excepts)
    # namespaceSelector absent: "the pods matching podSelector in the policy's own namespace"; podSelector absent:
    # "all pods in the namespaces selected by namespaceSelector".
    spaces = selector(peer.namespace_selector)
    return PodSelector(namespace if spaces is None else spaces, selector(peer.pod_selector) or Selector())


def _ports(ports: tuple[v1.PolicyPort, ...] | None) -> Ports:
    if not ports:
        return Ports(everything=True)
    spans: list[tuple[int, int, int]] = []
    named: list[NamedPort] = []
    for port in ports:
        protocol = PROTOCOLS[port.protocol or "TCP"]  # "If not specified, this field defaults to TCP."
        if port.port is None:  # "If this field is not provided, this matches all port names and numbers."
            spans.append((protocol, 0, 65535))
        elif isinstance(port.port, str):
            named.append(NamedPort(port.port, protocol))
        else:
            spans.append((protocol, port.port, port.port if port.end_port is None else port.end_port))
    return Ports(spans=tuple(spans), named=tuple(named))
