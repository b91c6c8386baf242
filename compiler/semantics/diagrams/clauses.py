"""What each pod's policies say of other ends, protocols and ports, in the order in which they are asked.

Straight from the resources, with the readings of selectors, ports and blocks of `reading`, and nothing of the compiler.
Glossary as in `oracle`: the *subject* is the pod whose policies are asked, the *other* end is an address.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from compiler.resources import NetworkPolicy, clusterpolicy, networkpolicy
from compiler.resources.cluster import Pod
from compiler.semantics.diagrams.ends import Ends, Reached
from compiler.semantics.diagrams.ranges import Range, merged
from compiler.semantics.diagrams.space import Space
from compiler.semantics.oracle import ACTIONS, namespace_of, policy_types, sides, tier_order
from compiler.semantics.reading import (
    EgressRule,
    IngressRule,
    cluster_port_test,
    is_clear,
    is_known,
    peers_of,
    port_test,
    selects,
)
from compiler.semantics.verdict import AnyPolicy, ClusterPolicy, Direction, PortTest, Verdict, priority_of


class Clause(NamedTuple):
    """`verdict` for the ports towards these others; None: anyone."""

    others: tuple[Range, ...] | None
    ports: PortTest
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Block:
    """A baseline block of a program. `at`: which of its rules decides, of all packets of a space; `rules`: what each
    says, by the outcome that means it."""

    priority: int
    at: Callable[[Space], int]
    rules: Mapping[tuple[str, int], Verdict]


class Asked(NamedTuple):
    """The clauses of each policy that a pod has in a direction, the same object for the same clauses. `behind`:
    NetworkPolicies if any isolates the pod, else the baseline tier."""

    admin: tuple[tuple[Clause, ...], ...]
    behind: tuple[tuple[Clause, ...] | Block, ...]
    isolated: bool


class Clauses:
    """Of all policies, for the addresses of one family. `blocks`: a program's in the baseline tier, in their order."""

    def __init__(self, policies: Iterable[AnyPolicy], ends: Ends, blocks: Iterable[Block] = ()) -> None:
        known = tuple(policies)
        self.ends, self._any, self.blocks = ends, bool(known), tuple(blocks)
        self._network: dict[str, list[NetworkPolicy]] = {}
        for policy in known:
            if isinstance(policy, NetworkPolicy):
                self._network.setdefault(namespace_of(policy), []).append(policy)
        self._admin, self._baseline = (
            [(policy, self._subjects_of(policy)) for policy in tier_order(known, admin)] for admin in (True, False)
        )
        self._done: dict[Hashable, tuple[Clause, ...]] = {}

    def subjects(self, node: str | None) -> Mapping[int, Pod]:
        """The pods that a node (None: any) asks policies for, by address."""
        return {address: pod for address, pod in self.ends.holders.items() if node in (None, pod.node)}

    def contested(self, node: str | None) -> Mapping[int, tuple[Range, ...]]:
        """Addresses that several pods claim, one of the node (None: any) among them: closed, as soon as there is any
        policy, but for their own node. Each with the addresses of the nodes that all who claim it there run on."""
        found: dict[int, tuple[Range, ...]] = {}
        for address, pods in self.ends.contested.items() if self._any else ():
            own = [self.ends.of_node.get(pod.node, set()) for pod in pods if node in (None, pod.node)]
            if own:
                found[address] = tuple((a, a) for a in sorted(set.intersection(*own)))
        return found

    def asked(self, direction: Direction, pod: Pod) -> Asked:
        isolating = [
            policy
            for policy in self._network.get(pod.namespace, ())
            if direction.value in policy_types(policy.spec)
            and selects(policy.spec.pod_selector, pod.labels, absent=True)
        ]
        admin = [self._of_cluster(policy, direction, pod) for policy, pods in self._admin if id(pod) in pods]
        if isolating:
            return Asked(tuple(admin), tuple(self._of_network(p, direction, pod) for p in isolating), True)
        baseline: list[tuple[int, tuple[Clause, ...] | Block]] = [
            (priority_of(policy), self._of_cluster(policy, direction, pod))
            for policy, pods in self._baseline
            if id(pod) in pods
        ]
        # Of equal priority, blocks come first.
        behind = sorted([*((block.priority, block) for block in self.blocks), *baseline], key=lambda one: one[0])
        return Asked(tuple(admin), tuple(one for _, one in behind), False)

    def _subjects_of(self, policy: ClusterPolicy) -> frozenset[int]:
        return frozenset(id(pod) for _, pod in self.ends.pods_of(policy.spec.subject).held)

    # One policy

    def _of_network(self, policy: NetworkPolicy, direction: Direction, pod: Pod) -> tuple[Clause, ...]:
        named = any(isinstance(port.port, str) for _, ports in sides(policy.spec, direction) for port in ports or ())
        return self._once(policy, direction, pod, named, lambda: self._network_clauses(policy, direction, pod))

    def _network_clauses(self, policy: NetworkPolicy, direction: Direction, pod: Pod) -> Iterator[Clause]:
        for peers, ports in sides(policy.spec, direction):
            # "If this field is empty or missing, this rule matches all sources."
            reached = [self.ends.of_network_peer(peer, namespace_of(policy)) for peer in peers or ()]
            named = any(isinstance(port.port, str) for port in ports or ())

            def test(server: Pod | None, ports: tuple[networkpolicy.PolicyPort, ...] | None = ports) -> PortTest:
                return port_test(ports, server)

            yield from self._clauses(direction, pod, reached or [Reached(anyone=True)], test, named, Verdict.ALLOW)

    def _of_cluster(self, policy: ClusterPolicy, direction: Direction, pod: Pod) -> tuple[Clause, ...]:
        named = any(_names_ports(rule) for rule in _rules(policy, direction))
        return self._once(policy, direction, pod, named, lambda: self._cluster_clauses(policy, direction, pod))

    def _cluster_clauses(self, policy: ClusterPolicy, direction: Direction, pod: Pod) -> Iterator[Clause]:
        clear = is_clear(policy.spec.subject)
        for rule in _rules(policy, direction):
            verdict = ACTIONS[rule.action]
            if clear and is_known(rule):
                reached = [self.ends.of_cluster_peer(peer) for peer in peers_of(rule)]

                def test(server: Pod | None, rule: IngressRule | EgressRule = rule) -> PortTest:
                    return cluster_port_test(rule, server)

                yield from self._clauses(direction, pod, reached, test, _names_ports(rule), verdict)
            elif verdict is not Verdict.ALLOW:
                # For Accept, "treat the rule as matching no traffic"; for Deny and Pass "as a 'Deny all' rule".
                yield Clause(None, PortTest(everything=True), Verdict.DENY)

    def _once(
        self,
        policy: AnyPolicy,
        direction: Direction,
        pod: Pod,
        named: bool,
        clauses: Callable[[], Iterator[Clause]],
    ) -> tuple[Clause, ...]:
        """The same for all subjects, unless the subject's own names of ports matter."""
        key = (id(policy), direction, pod.ports if named and direction is Direction.INGRESS else ())
        if key not in self._done:
            self._done[key] = tuple(clauses())
        return self._done[key]

    # One rule

    def _clauses(
        self,
        direction: Direction,
        subject: Pod,
        reached: Iterable[Reached],
        test: Callable[[Pod | None], PortTest],
        named: bool,
        verdict: Verdict,
    ) -> Iterator[Clause]:
        """`test`: the ports that the rule means on a server; on None, those that need none. Named ports are the
        destination pod's; towards addresses of a block or of nodes there is none, even if a pod holds the address."""
        found = list(reached)
        anyone = any(one.anyone for one in found)
        others = [one.ranges for one in found]
        if direction is Direction.EGRESS and named:
            servers: dict[PortTest, list[Range]] = {}
            for address, pod in (held for one in ([self.ends.pods] if anyone else found) for held in one.held):
                servers.setdefault(test(pod), []).append((address, address))
            for ports, pods in servers.items():
                yield Clause(tuple(merged(pods)), ports, verdict)
        else:
            others += [one.pods for one in found]
        ports = test(subject if direction is Direction.INGRESS else None)
        yield Clause(None if anyone else _together(others), ports, verdict)


def _together(ranges: Iterable[tuple[Range, ...]]) -> tuple[Range, ...]:
    """All of them; the same object where there is but one."""
    some = [one for one in ranges if one]
    return some[0] if len(some) == 1 else tuple(merged(span for one in some for span in one))


def _rules(policy: ClusterPolicy, direction: Direction) -> tuple[IngressRule | EgressRule, ...]:
    return (policy.spec.ingress if direction is Direction.INGRESS else policy.spec.egress) or ()


def _names_ports(rule: IngressRule | EgressRule) -> bool:
    if isinstance(rule, clusterpolicy.ClusterIngressRule | clusterpolicy.ClusterEgressRule):
        return any(wanted.destination_named_port is not None for wanted in rule.protocols or ())
    return any(port.named_port is not None for port in rule.ports or ())
