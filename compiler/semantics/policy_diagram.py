"""What the policies say of every packet at a node, as one diagram for each hook and family.

The oracle answers for one packet; this says the same of all packets at once, from the same resources and the same
readings of selectors, ports and blocks (`reading`), and nothing of the compiler. Glossary as in `oracle`: the
*subject* is the pod whose policies are asked, the *other* end is an address.

The hooks (docs/SEMANTICS.md): FORWARD has both directions; INPUT, where the destination is the node itself, only
the egress of its pods; OUTPUT both, for sources that are not the machine's own (a proxy that borrows an address):
the node itself reaches its own pods. Packets that conntrack calls invalid or untracked are no replies, so they are
judged like first packets.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

from compiler.resources import NetworkPolicy, clusterpolicy, networkpolicy
from compiler.resources.cluster import Pod
from compiler.semantics.diagram import IN, NOTHING, Range
from compiler.semantics.ends import Ends, Reached
from compiler.semantics.netfilter import AddressType, State
from compiler.semantics.oracle import ACTIONS, namespace_of, policy_types, sides, tier_order
from compiler.semantics.packet import ICMPV6, LINK_LOCAL_HOPS, NEIGHBOUR_DISCOVERY
from compiler.semantics.reading import (
    EgressRule,
    IngressRule,
    cluster_port_test,
    is_known,
    is_readable,
    peers_of,
    port_test,
    selects,
)
from compiler.semantics.space import ACCEPT, DROP, Level, Path, Space
from compiler.semantics.verdict import AnyPolicy, ClusterPolicy, Direction, PortTest, Verdict
from compiler.snapshot import Snapshot

#: Conntrack's states of replies and related packets; and the type of the machine's own addresses.
REPLIES, LOCAL = (State.ESTABLISHED, State.RELATED), AddressType.LOCAL


class PolicyDiagrams:
    """The policies of a node (None: of all pods) for the packets of one space. `region`: the packets that count, by
    their destinations; of others the diagrams may say anything."""

    def __init__(
        self, policies: Iterable[AnyPolicy], snapshot: Snapshot, node: str | None, over: Space, region: int = IN
    ) -> None:
        self._over, self._made, self._region = over, over.made, region
        self._ends = Ends(snapshot, over.version)
        self._subjects = subjects(self._ends, node)
        self._accept = self._made.outcome(ACCEPT)
        clauses = Clauses(policies, self._ends, over, region)
        self._denied = {direction: self._denials(clauses, direction) for direction in Direction}

    def at(self, path: Path) -> int:
        """The diagram of a hook: `ACCEPT` or `DROP` for every packet."""
        made, accept = self._made, self._accept
        parts = [made.inside(Level.STATE, [(state, state) for state in REPLIES], accept)]
        if path is Path.OUTPUT:
            parts.append(made.inside(Level.SOURCE_TYPE, [(LOCAL, LOCAL)], accept))
        parts += [made.where(neighbour_discovery(self._over), accept), made.where(self._itself(), accept)]
        parts.append(self._denied[Direction.EGRESS])
        if path is not Path.INPUT:
            parts += [made.where(self._own_node(), accept), self._denied[Direction.INGRESS]]
        return made.first([*parts, accept])

    def impossible(self, path: Path) -> int:
        """Packets that are never on this path, so that nobody can tell what rules would do to them.

        - In INPUT, packets to the address of a pod, which is none of the machine's.
        - In FORWARD, packets with a node's address to a pod of that node: the node's own leave through OUTPUT, others
          are martians, which the kernel drops where it routes (fib_validate_source in net/ipv4/fib_frontend.c).
        - In OUTPUT, those where that source is not local.
        """
        made, ends = self._made, self._ends
        if path is Path.INPUT:
            nodes = {address for own in ends.of_node.values() for address in own}
            return made.inside(self._over.destination, [(a, a) for a in ends.holders if a not in nodes])
        foreign = [(0, LOCAL - 1), (LOCAL + 1, max(AddressType))] if path is Path.OUTPUT else [(0, max(AddressType))]
        return made.inside(Level.SOURCE_TYPE, foreign, self._own_node())

    def _itself(self) -> int:
        """A pod always reaches itself, whichever of its addresses it uses."""
        own: dict[int, list[int]] = {}
        for address, pod in self._subjects.items():
            own.setdefault(id(pod), []).append(address)
        pairs = [((a, a), (b, b)) for same in own.values() for a in same for b in same]
        return self._made.rows((self._over.source, self._over.destination), pairs) if pairs else NOTHING

    def _own_node(self) -> int:
        """ "OR if the traffic source is the pod's local node"; kubelet's probes come from there."""
        by_node: dict[str, list[Range]] = {}
        for address, pod in self._subjects.items():
            by_node.setdefault(pod.node, []).append((address, address))
        made, nodes = self._made, self._ends.of_node
        return made.first(
            made.where(
                made.inside(self._over.destination, pods),
                made.inside(self._over.source, [(a, a) for a in nodes.get(name, ())]),
            )
            for name, pods in by_node.items()
        )

    def _denials(self, clauses: Clauses, direction: Direction) -> int:
        """`DROP` for what a direction denies to any of its subjects."""
        subject = self._over.destination if direction is Direction.INGRESS else self._over.source
        made = self._made
        alike: dict[int, list[Range]] = {}
        for address, pod in self._subjects.items():
            if made.where(self._region, made.inside(subject, [(address, address)])) != NOTHING:
                alike.setdefault(clauses.denied(direction, pod), []).append((address, address))
        return made.first(
            [made.where(made.where(self._region, made.inside(subject, pods)), denied) for denied, pods in alike.items()]
        )


def neighbour_discovery(over: Space) -> int:
    """Neighbour discovery that no router forwarded."""
    if over.version == 4:
        return NOTHING
    hops = over.made.inside(Level.HOPS, [(LINK_LOCAL_HOPS, LINK_LOCAL_HOPS)])
    types = over.made.inside(Level.ICMP_TYPE, [(number, number) for number in NEIGHBOUR_DISCOVERY], hops)
    return over.made.inside(Level.PROTOCOL, [(ICMPV6, ICMPV6)], types)


def subjects(ends: Ends, node: str | None) -> Mapping[int, Pod]:
    """The pods that a node (None: any) asks policies for, by address."""
    return {address: pod for address, pod in ends.holders.items() if node in (None, pod.node)}


class Clauses:
    """What each pod's policies say of other ends, protocols and ports, as diagrams of these."""

    def __init__(self, policies: Iterable[AnyPolicy], ends: Ends, over: Space, region: int) -> None:
        known = tuple(policies)
        self._made, self._ends, self._region = over.made, ends, region
        self._others = {Direction.INGRESS: over.source, Direction.EGRESS: over.destination}
        self._denies = self._made.outcome(DROP)
        self._says = {verdict: self._made.outcome(verdict) for verdict in Verdict} | {Verdict.DENY: self._denies}
        self._network: dict[str, list[NetworkPolicy]] = {}
        for policy in known:
            if isinstance(policy, NetworkPolicy):
                self._network.setdefault(namespace_of(policy), []).append(policy)
        self._admin, self._baseline = (
            [(policy, self._subjects_of(policy)) for policy in tier_order(known, admin)] for admin in (True, False)
        )
        self._done: dict[Hashable, int] = {}
        self._ports: dict[Hashable, int] = {}

    def denied(self, direction: Direction, pod: Pod) -> int:
        """Of other end, protocol and port: says `DROP` where the pod's policies deny, else nothing."""
        isolating = [
            policy
            for policy in self._network.get(pod.namespace, ())
            if direction.value in policy_types(policy.spec)
            and selects(policy.spec.pod_selector, pod.labels, absent=True)
        ]
        admin = [policy for policy, pods in self._admin if id(pod) in pods]
        baseline = [] if isolating else [policy for policy, pods in self._baseline if id(pod) in pods]
        ports = pod.ports if direction is Direction.INGRESS else ()
        key = (direction, ports, *(id(policy) for policy in (*admin, *isolating, *baseline)))
        found = self._done.get(key)
        if found is None:
            made, says = self._made, self._says
            front = made.first(self._of_cluster(policy, direction, pod) for policy in admin)
            if isolating:
                behind = made.first([*(self._of_network(p, direction, pod) for p in isolating), self._denies])
            else:
                behind = made.first(self._of_cluster(policy, direction, pod) for policy in baseline)
            # From the admin tier, Pass goes on behind it; from the baseline tier, to the default, which is to allow.
            front = front and made.relabel(front, {says[Verdict.PASS]: NOTHING})
            whole = made.first([front, behind])
            found = made.relabel(whole, {says[Verdict.PASS]: NOTHING, says[Verdict.ALLOW]: NOTHING})
            self._done[key] = found
        return found

    def _subjects_of(self, policy: ClusterPolicy) -> frozenset[int]:
        return frozenset(id(pod) for _, pod in self._ends.pods_of(policy.spec.subject))

    # One policy

    def _of_network(self, policy: NetworkPolicy, direction: Direction, pod: Pod) -> int:
        named = any(isinstance(port.port, str) for _, ports in sides(policy.spec, direction) for port in ports or ())
        return self._once(policy, direction, pod, named, lambda: self._network_parts(policy, direction, pod))

    def _network_parts(self, policy: NetworkPolicy, direction: Direction, pod: Pod) -> Iterator[int]:
        for peers, ports in sides(policy.spec, direction):
            # "If this field is empty or missing, this rule matches all sources."
            reached = [self._ends.of_network_peer(peer, namespace_of(policy)) for peer in peers or ()]
            named = any(isinstance(port.port, str) for port in ports or ())

            def test(server: Pod | None, ports: tuple[networkpolicy.PolicyPort, ...] | None = ports) -> PortTest:
                return port_test(ports, server)

            yield from self._clause(
                direction, pod, reached or [Reached(anyone=True)], test, named, self._says[Verdict.ALLOW]
            )

    def _of_cluster(self, policy: ClusterPolicy, direction: Direction, pod: Pod) -> int:
        named = any(_names_ports(rule) for rule in _rules(policy, direction))
        return self._once(policy, direction, pod, named, lambda: self._cluster_parts(policy, direction, pod))

    def _cluster_parts(self, policy: ClusterPolicy, direction: Direction, pod: Pod) -> Iterator[int]:
        chosen = policy.spec.subject
        # A subject that cannot be read in full: closed for the pods that the rest of it selects (decision).
        is_clear = is_readable(chosen.namespaces) and (
            chosen.pods is None
            or (is_readable(chosen.pods.namespace_selector) and is_readable(chosen.pods.pod_selector))
        )
        for rule in _rules(policy, direction):
            verdict = ACTIONS[rule.action]
            if is_clear and is_known(rule):
                reached = [self._ends.of_cluster_peer(peer) for peer in peers_of(rule)]

                def test(server: Pod | None, rule: IngressRule | EgressRule = rule) -> PortTest:
                    return cluster_port_test(rule, server)

                yield from self._clause(direction, pod, reached, test, _names_ports(rule), self._says[verdict])
            elif verdict is not Verdict.ALLOW:
                # For Accept, "treat the rule as matching no traffic"; for Deny and Pass "as a 'Deny all' rule".
                yield self._denies

    def _once(
        self, policy: AnyPolicy, direction: Direction, pod: Pod, named: bool, parts: Callable[[], Iterator[int]]
    ) -> int:
        """The same for all subjects, unless the subject's own names of ports matter."""
        key = (id(policy), direction, pod.ports if named and direction is Direction.INGRESS else ())
        if key not in self._done:
            self._done[key] = self._made.first(list(parts()))
        return self._done[key]

    # One rule

    def _clause(
        self,
        direction: Direction,
        subject: Pod,
        reached: Iterable[Reached],
        test: Callable[[Pod | None], PortTest],
        named: bool,
        says: int,
    ) -> Iterator[int]:
        """`says` for the other ends, protocols and ports that the rule is about. `test`: the ports that it means on a
        server; on None, those that need none. Named ports are the destination pod's; towards addresses of a block
        or of nodes there is none, even if a pod holds the address."""
        found = list(reached)
        anyone = any(one.anyone for one in found)
        addresses = [span for one in found for span in one.ranges]
        held = [pair for one in found for pair in one.held]
        if direction is Direction.EGRESS and named:
            if anyone:
                held = list(self._ends.holders.items())
            servers: dict[PortTest, list[Range]] = {}
            for address, pod in held:
                servers.setdefault(test(pod), []).append((address, address))
            for ports, pods in servers.items():
                yield self._towards(direction, pods, ports, says)
        else:
            addresses += [(address, address) for address, _ in held]
        ports = test(subject if direction is Direction.INGRESS else None)
        yield self._to_ports(ports, says) if anyone else self._towards(direction, addresses, ports, says)

    def _towards(self, direction: Direction, others: Iterable[Range], ports: PortTest, says: int) -> int:
        found = self._made.inside(self._others[direction], others, self._to_ports(ports, says))
        return self._made.where(self._region, found) if direction is Direction.EGRESS else found

    def _to_ports(self, ports: PortTest, says: int) -> int:
        """Protocols without policy ports pass "only where a rule has no ports"."""
        if ports.everything:
            return says
        key = (ports.spans, says)
        if key not in self._ports:
            spans: dict[int, list[Range]] = {}
            for protocol, low, high in ports.spans:
                spans.setdefault(protocol, []).append((low, high))
            made = self._made
            self._ports[key] = made.first(
                made.inside(Level.PROTOCOL, [(protocol, protocol)], made.inside(Level.DPORT, found, says))
                for protocol, found in spans.items()
            )
        return self._ports[key]


def _rules(policy: ClusterPolicy, direction: Direction) -> tuple[IngressRule | EgressRule, ...]:
    return (policy.spec.ingress if direction is Direction.INGRESS else policy.spec.egress) or ()


def _names_ports(rule: IngressRule | EgressRule) -> bool:
    if isinstance(rule, clusterpolicy.ClusterIngressRule | clusterpolicy.ClusterEgressRule):
        return any(wanted.destination_named_port is not None for wanted in rule.protocols or ())
    return any(port.named_port is not None for port in rule.ports or ())
