"""What policies mean, one connection at a time: slow, obvious, from the policy model and docs/SEMANTICS.md alone.

Tests compare the compiler's classes, reaches and rulesets with it. It shares the model's dataclasses with the
compiler and none of its functions: labels, blocks and tiers are evaluated here in their own way.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compiler.net import PROTOCOLS, Prefix
from compiler.policy import (
    Action,
    Anyone,
    Block,
    Direction,
    Domains,
    NamedPort,
    NodeSelector,
    Peer,
    PodSelector,
    Policy,
    Resolved,
    Rule,
    Selector,
    Tier,
)
from compiler.resources.cluster import Pod
from compiler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Meaning:
    """Policies and a cluster."""

    policies: Sequence[Policy]
    snapshot: Snapshot

    def holder(self, address: str) -> Pod | None:
        """The pod whose own address this is."""
        alive = (p for p in self.snapshot.pods if not p.host_network and p.phase not in ("Succeeded", "Failed"))
        return next((pod for pod in alive if address in pod.ips), None)

    def subject_to(self, pod: Pod, direction: Direction) -> list[Policy]:
        """The policies that have something to say about this pod in this direction."""
        chosen = [p for p in self.policies if self.selects(p.subject, pod)]
        return [p for p in chosen if (direction in p.isolates if p.tier is Tier.APPLICATION else p.rules(direction))]

    def allows(
        self,
        direction: Direction,
        subject: Pod,
        other: str,
        protocol: int,
        port: int,
        blocks: Sequence[tuple[int, Action]] = (),
    ) -> bool:
        """Whether a connection between this pod and that address may come about, as far as `direction` goes. `blocks`:
        what those of a program in the baseline tier say, of those that say something, with their priorities."""

        def decisions(tier: Tier) -> list[tuple[int, Action]]:
            ordered = sorted((p for p in policies if p.tier is tier), key=lambda p: (p.priority, p.origin.name))
            rules = ((policy.priority, rule) for policy in ordered for rule in policy.rules(direction))
            return [(n, r.action) for n, r in rules if self.holds(r, direction, subject, other, protocol, port)]

        def first(tier: Tier) -> Action | None:
            return next((action for _, action in decisions(tier)), None)

        policies = self.subject_to(subject, direction)
        found = first(Tier.ADMIN)
        if found in (Action.ALLOW, Action.DENY):
            return found is Action.ALLOW
        if any(policy.tier is Tier.APPLICATION for policy in policies):
            return first(Tier.APPLICATION) is Action.ALLOW
        baseline = sorted([*blocks, *decisions(Tier.BASELINE)], key=lambda said: said[0])
        return not baseline or baseline[0][1] is not Action.DENY

    def holds(self, rule: Rule, direction: Direction, subject: Pod, other: str, protocol: int, port: int) -> bool:
        """Whether a rule matches: some peer, and some port on the destination."""
        if rule.ports.everything:
            return any(self.is_peer(peer, other) for peer in rule.peers)
        if protocol not in PROTOCOLS.values():
            return False
        for peer in rule.peers:
            if self.is_peer(peer, other):
                server = self._server(peer, direction, subject, other)
                spans = [*rule.ports.spans, *(s for named in rule.ports.named for s in _resolved(named, server))]
                if any(own == protocol and low <= port <= high for own, low, high in spans):
                    return True
        return False

    def _server(self, peer: Peer, direction: Direction, subject: Pod, other: str) -> Pod | None:
        """The pod that named ports are looked up on: the destination, unless it is meant as an address."""
        if direction is Direction.INGRESS:
            return subject
        return self.holder(other) if isinstance(peer, PodSelector | Anyone) else None

    def is_peer(self, peer: Peer, other: str) -> bool:
        """Whether an address is one of a peer's."""
        match peer:
            case Anyone():
                return True
            case Domains():
                return False
            case Block(prefix, excepts):
                return inside(other, prefix) and not any(inside(other, cut) for cut in excepts)
            case NodeSelector(nodes):
                return any(other in node.ips and matches(nodes, node.labels) for node in self.snapshot.nodes.values())
            case Resolved():
                raise AssertionError("blocks of programs are judged by tests.compiler.reading")
            case PodSelector():
                pod = self.holder(other)
                return pod is not None and self.selects(peer, pod)

    def selects(self, chosen: PodSelector, pod: Pod) -> bool:
        """Whether a selector means a pod."""
        if isinstance(chosen.namespaces, str):
            here = chosen.namespaces == pod.namespace
        else:
            labels = {**self.snapshot.namespaces[pod.namespace].labels, "kubernetes.io/metadata.name": pod.namespace}
            here = matches(chosen.namespaces, labels)
        return here and matches(chosen.pods, pod.labels)


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """ "The requirements are ANDed"; "NotIn" and "DoesNotExist" match objects without the key."""
    answers = []
    for wanted in selector.requirements:
        found = {value for key, value in labels.items() if key == wanted.key}
        listed = found & set(wanted.values)
        answers.append(
            {"In": bool(listed), "NotIn": not listed, "Exists": bool(found), "DoesNotExist": not found}[wanted.operator]
        )
    return all(answers)


def inside(address: str, prefix: Prefix) -> bool:
    """Whether an address lies in a block, by the standard library's ipaddress."""
    found = ipaddress.ip_address(address)
    block = (ipaddress.IPv4Network if prefix.version == 4 else ipaddress.IPv6Network)((prefix.base, prefix.length))
    return found.version == prefix.version and found in block


def _resolved(named: NamedPort, server: Pod | None) -> Iterator[tuple[int, int, int]]:
    for port in server.ports if server else ():
        if port.name == named.name and named.protocol in (None, PROTOCOLS[port.protocol]):
            yield PROTOCOLS[port.protocol], port.port, port.port
