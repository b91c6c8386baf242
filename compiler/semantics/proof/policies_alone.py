"""What policies say of every packet in every cluster, as one diagram for each hook and family.

Where the input names no pod, a selector is a question about an end (`facts`) instead of the pods that it selects.
Everything else is as in `oracle` and `policy_diagram`, from the same resources and the same readings of selectors,
ports and blocks. First every rule is put as a *clause*: whom it is about, which other ends and ports, and what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from compiler.resources import NetworkPolicy, clusterpolicy, networkpolicy
from compiler.resources.labels import LabelSelector
from compiler.semantics.diagrams.diagram import NOTHING, Range
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.policy_diagram import LOCAL, REPLIES, neighbour_discovery, to_ports
from compiler.semantics.diagrams.space import ACCEPT, DROP, Level, Path, Space
from compiler.semantics.oracle import ACTIONS, namespace_of, policy_types, sides, tier_order
from compiler.semantics.proof.facts import POD, Facts
from compiler.semantics.proof.meant import NAME_LABEL, Domains, Meant, Nodes, Pods
from compiler.semantics.reading import (
    EgressPeer,
    EgressRule,
    IngressPeer,
    IngressRule,
    cluster_port_test,
    is_clear,
    is_known,
    peers_of,
    port_test,
)
from compiler.semantics.rules.netfilter import Field
from compiler.semantics.verdict import AnyPolicy, ClusterPolicy, Direction, PortTest, Verdict
from compiler.snapshot import Snapshot

_ALL = LabelSelector.model_construct()
_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_OWN = {Direction.INGRESS: Field.DESTINATION, Direction.EGRESS: Field.SOURCE}
_OTHER = {Direction.INGRESS: Field.SOURCE, Direction.EGRESS: Field.DESTINATION}


@dataclass(frozen=True, slots=True)
class Clause:
    """`others` are who is meant, by description or address; None: anyone. `ports`: those with numbers; `names`: those
    of the destination pod's, each with its protocol, if the rule says one."""

    subject: Pods
    verdict: Verdict
    others: tuple[Meant | Range, ...] | None
    ports: PortTest
    names: tuple[tuple[str, int | None], ...] = ()

    def meant(self) -> Iterator[Meant]:
        yield self.subject
        yield from (other for other in self.others or () if not isinstance(other, tuple))


_EVERYTHING = PortTest(everything=True)


class Clauses:
    """The clauses of every tier and direction for one family, in their order. The snapshot counts for its nodes: those
    that it holds are all there are."""

    def __init__(self, policies: Iterable[AnyPolicy], snapshot: Snapshot, version: int) -> None:
        known = tuple(policies)
        self._ends, self._knows_nodes = Ends(snapshot, version), bool(snapshot.nodes)
        #: The addresses of the nodes that are known.
        self.nodes = frozenset(address for own in self._ends.of_node.values() for address in own)
        network = [policy for policy in known if isinstance(policy, NetworkPolicy)]
        self.admin, self.baseline = (
            {d: [c for p in tier_order(known, admin) for c in self._of_cluster(p, d)] for d in Direction}
            for admin in (True, False)
        )
        self.application = {d: [c for p in network for c in self._of_network(p, d)] for d in Direction}
        #: Denying all else to whom NetworkPolicies select.
        self.isolation = {
            d: [
                Clause(_selected(p), Verdict.DENY, None, _EVERYTHING)
                for p in network
                if d.value in policy_types(p.spec)
            ]
            for d in Direction
        }

    def all(self) -> Iterator[Clause]:
        for tier in (self.admin, self.application, self.isolation, self.baseline):
            for clauses in tier.values():
                yield from clauses

    def _of_network(self, policy: NetworkPolicy, direction: Direction) -> Iterator[Clause]:
        """Rules of a direction that the policy does not isolate are none."""
        if direction.value not in policy_types(policy.spec):
            return
        for peers, ports in sides(policy.spec, direction):
            names = ((p.port, p.protocol or "TCP") for p in ports or () if isinstance(p.port, str))
            # "If this field is empty or missing, this rule matches all sources."
            others = tuple(o for p in peers for o in self._network_peer(p, namespace_of(policy))) if peers else None
            named = tuple((name, _PROTOCOLS[protocol]) for name, protocol in names)
            yield Clause(_selected(policy), Verdict.ALLOW, others, port_test(ports, None), named)

    def _network_peer(self, peer: networkpolicy.Peer, namespace: str) -> Iterator[Meant | Range]:
        if peer.ip_block is not None:
            yield from self._ends.of_network_peer(peer, namespace).ranges
        elif peer.namespace_selector is None:  # "the pods matching podSelector in the policy's own namespace"
            yield Pods(_named(namespace), peer.pod_selector or _ALL)
        else:
            yield Pods(peer.namespace_selector, peer.pod_selector or _ALL)

    def _of_cluster(self, policy: ClusterPolicy, direction: Direction) -> Iterator[Clause]:
        subject = _pods(policy.spec.subject)
        rules = (policy.spec.ingress if direction is Direction.INGRESS else policy.spec.egress) or ()
        clear = is_clear(policy.spec.subject)
        for rule in rules:
            verdict = ACTIONS[rule.action]
            if clear and is_known(rule):
                others = tuple(other for peer in peers_of(rule) for other in self._cluster_peer(peer))
                yield Clause(subject, verdict, others, cluster_port_test(rule, None), tuple(_names(rule)))
            elif verdict is not Verdict.ALLOW:
                # For Accept, "treat the rule as matching no traffic"; for Deny and Pass "as a 'Deny all' rule".
                yield Clause(subject, Verdict.DENY, None, _EVERYTHING)

    def _cluster_peer(self, peer: IngressPeer | EgressPeer) -> Iterator[Meant | Range]:
        if peer.namespaces is not None or peer.pods is not None:
            yield _pods(peer)
            return
        assert isinstance(peer, EgressPeer), "known: an ingress peer is pods or namespaces"
        if peer.nodes is not None and not self._knows_nodes:
            yield Nodes(peer.nodes)
        elif peer.domain_names is not None:
            yield Domains(tuple(peer.domain_names))
        else:
            yield from self._ends.of_cluster_peer(peer).ranges


class PoliciesAlone:
    """The clauses for the packets of one space with its facts."""

    def __init__(self, clauses: Clauses, facts: Facts, over: Space) -> None:
        self._facts, self._over, self._made = facts, over, over.made
        self._says = {verdict: over.made.outcome(verdict) for verdict in Verdict}
        self._says[Verdict.DENY] = over.made.outcome(DROP)
        self._subjects: dict[tuple[Direction, int], int] = {}
        self._denied = {direction: self._denials(clauses, direction) for direction in Direction}

    def at(self, path: Path) -> int:
        """The diagram of a hook: `ACCEPT` or `DROP` for every packet."""
        made, accept = self._made, self._made.outcome(ACCEPT)
        parts = [made.inside(Level.STATE, [(state, state) for state in REPLIES], accept)]
        if path is Path.OUTPUT:
            parts.append(made.inside(Level.SOURCE_TYPE, [(LOCAL, LOCAL)], accept))
        parts.append(made.where(neighbour_discovery(self._over), accept))
        parts.append(made.where(self._facts.one_pod(Field.SOURCE, Field.DESTINATION), accept))
        parts.append(self._denied[Direction.EGRESS])
        if path is not Path.INPUT:
            parts.append(self._denied[Direction.INGRESS])
        return made.first([*parts, accept])

    def impossible(self, path: Path) -> int:
        """Packets that are never on this path: in INPUT, to a pod, whose address is none of the machine's."""
        return self._facts.kind(Field.DESTINATION, POD) if path is Path.INPUT else NOTHING

    def _denials(self, clauses: Clauses, direction: Direction) -> int:
        """Admin tier -> NetworkPolicy -> Baseline tier -> default allow. `DROP` where that denies, else nothing."""
        made, says = self._made, self._says
        through = {says[Verdict.PASS]: NOTHING}
        front = self._first(clauses.admin[direction], direction)
        behind = made.first(
            [
                self._first([*clauses.application[direction], *clauses.isolation[direction]], direction),
                # "Only for pods that none isolates": isolation has said something of all others.
                self._first(clauses.baseline[direction], direction),
            ]
        )
        whole = made.first([made.relabel(front, through), behind])
        return made.relabel(whole, {**through, says[Verdict.ALLOW]: NOTHING})

    def _first(self, clauses: Iterable[Clause], direction: Direction) -> int:
        return self._made.first([part for clause in clauses for part in self._parts(clause, direction)])

    def _parts(self, clause: Clause, direction: Direction) -> Iterator[int]:
        """What a clause says: more than once where named ports count for some of the other ends only."""
        made, facts = self._made, self._facts
        says = self._says[clause.verdict]
        numbered = to_ports(self._made, clause.ports, says)
        whole = made.first([numbered, *(self._to_name(name, protocol, says) for name, protocol in clause.names)])
        subject = facts.is_one(_OWN[direction], clause.subject)
        if clause.others is None:
            yield made.where(subject, whole)
            return
        other, at = _OTHER[direction], self._over.level(_OTHER[direction])
        pods = [facts.is_one(other, who) for who in clause.others if isinstance(who, Pods)]
        rest = [facts.is_one(other, who) for who in clause.others if not isinstance(who, Pods | tuple)]
        rest.append(made.inside(at, [span for span in clause.others if isinstance(span, tuple)]))
        # Named ports are the destination pod's; towards an address alone there is none.
        yield made.where(made.where(subject, made.first(pods)), whole)
        yield made.where(made.where(subject, made.first(rest)), whole if direction is Direction.INGRESS else numbered)

    def _to_name(self, name: str, protocol: int | None, says: int) -> int:
        return self._made.where(self._facts.serves(name, protocol, Field.DESTINATION, Field.DESTINATION_PORT), says)


def _named(namespace: str) -> LabelSelector:
    return LabelSelector.model_construct(match_labels={NAME_LABEL: namespace})


def _selected(policy: NetworkPolicy) -> Pods:
    return Pods(_named(namespace_of(policy)), policy.spec.pod_selector or _ALL)


def _pods(chosen: clusterpolicy.Subject | IngressPeer | EgressPeer) -> Pods:
    """v1alpha2's namespaceSelector is no pointer: absent, it is empty, which "selects all Namespaces"."""
    if chosen.namespaces is not None:
        return Pods(chosen.namespaces, _ALL)
    assert chosen.pods is not None, "exactly one of namespaces and pods"
    return Pods(chosen.pods.namespace_selector or _ALL, chosen.pods.pod_selector)


def _names(rule: IngressRule | EgressRule) -> Iterator[tuple[str, int | None]]:
    """Ports by name, of whatever protocol."""
    if isinstance(rule, clusterpolicy.ClusterIngressRule | clusterpolicy.ClusterEgressRule):
        found = (wanted.destination_named_port for wanted in rule.protocols or ())
    else:
        found = (port.named_port for port in rule.ports or ())
    yield from ((name, None) for name in found if name is not None)
