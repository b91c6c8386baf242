"""Policy models and clusters in few words, for tests of the stages behind `translate`."""

from __future__ import annotations

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
    Requirement,
    Rule,
    Selector,
    Tier,
)
from compiler.resources.cluster import ContainerPort, Namespace, Pod
from grammar.source import Span

ANYONE = (Anyone(),)
EVERYTHING = Ports(everything=True)
EVERYWHERE = Selector()


def labels(text: str) -> dict[str, str]:
    """`app=web,tier=front`."""
    return dict(pair.split("=") for pair in text.split(",") if pair)


def pods(wanted: str = "", namespace: str | Selector = "shop") -> PodSelector:
    """Pods with these labels."""
    return PodSelector(
        namespace, Selector(tuple(Requirement(k, "In", (v,)) for k, v in sorted(labels(wanted).items())))
    )


def block(prefix: str, *excepts: str) -> Block:
    return Block(parse_prefix(prefix), tuple(map(parse_prefix, excepts)))


def ports(*wanted: str) -> Ports:
    """`tcp/80`, `udp/53-60`, `sctp` (every port) or `tcp/http` (a named port)."""
    spans: list[tuple[int, int, int]] = []
    named: list[NamedPort] = []
    for text in wanted:
        name, _, port = text.partition("/")
        low, _, high = port.partition("-")
        if port and not low.isdigit():
            named.append(NamedPort(port, PROTOCOLS[name.upper()]))
        else:
            spans.append((PROTOCOLS[name.upper()], int(low or 0), int(high or low or 65535)))
    return Ports(spans=tuple(spans), named=tuple(named))


def origin(name: str, place: str = "", kind: str = "NetworkPolicy", namespace: str = "shop") -> Origin:
    return Origin(kind, namespace, name, place, Span("policies.yaml", 7, 1, 7, 2))


def rule(*peers: Peer, to: Ports = EVERYTHING, action: Action = Action.ALLOW) -> Rule:
    return Rule(action, peers, to, origin("p", "ingress[0]"))


def network_policy(
    name: str,
    subject: PodSelector,
    *,
    ingress: tuple[Rule, ...] | None = None,
    egress: tuple[Rule, ...] | None = None,
) -> Policy:
    """A NetworkPolicy that isolates in the directions given."""
    given = {Direction.INGRESS: ingress, Direction.EGRESS: egress}
    isolates = frozenset(direction for direction, rules in given.items() if rules is not None)
    return Policy(Tier.APPLICATION, 0, subject, isolates, ingress or (), egress or (), origin(name))


def tier_policy(
    tier: Tier,
    priority: int,
    subject: PodSelector,
    *,
    ingress: tuple[Rule, ...] = (),
    egress: tuple[Rule, ...] = (),
    name: str = "tier",
) -> Policy:
    """A policy of the admin or baseline tier."""
    where = origin(name, kind="ClusterNetworkPolicy", namespace="")
    return Policy(tier, priority, subject, frozenset(), ingress, egress, where)


def pod(
    name: str, wanted: str, *ips: str, namespace: str = "shop", node: str = "n1", serves: tuple[str, ...] = ()
) -> Pod:
    """A running pod; `serves` are container ports such as `tcp/8080/http`."""
    found = []
    for text in serves:
        protocol, number, *called = text.split("/")
        found.append(ContainerPort(int(number), protocol.upper(), *called))
    return Pod(namespace, name, labels(wanted), ips, node, ports=tuple(found))


def namespace(name: str, wanted: str = "") -> Namespace:
    return Namespace(name, labels(wanted))
