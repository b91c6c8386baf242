"""The oracle's answer in full: every tier, policy and rule that took part in it, and what would turn it round.

The verdict is the oracle's own and so are the clauses; this puts every rule of every policy that is about the subject
beside them and says what became of it. Rules are taken away from the oracle's meeting, never guessed about.

Glossary: as in `oracle`. A rule is named by its policy and its index in the policy's ingress or egress.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from compiler.resources import NetworkPolicy, networkpolicy
from compiler.resources.cluster import Pod
from compiler.semantics.misses import AnyRule, NetworkRule, cluster_peer_miss, network_peer_miss, ports_of
from compiler.semantics.oracle import ACTIONS, Oracle, namespace_of, policy_types
from compiler.semantics.packet import Packet
from compiler.semantics.reading import cluster_port_test, is_known, is_readable, peers_of, port_test
from compiler.semantics.verdict import (
    AnyPolicy,
    Because,
    Clause,
    Direction,
    Meeting,
    PortTest,
    Ruling,
    Verdict,
)


class Outcome(Enum):
    """What became of a rule; the value completes "this rule ..."."""

    DECIDES = "decides"
    PASSES = "passes on to the next tier"
    ALSO = "matches as well: it alone would be enough"
    BEHIND = "matches, but stands behind the rule that applies"
    UNASKED = "matches, but its tier is not asked"
    PORT = "misses by port: the peer fits"
    PEER = "misses by peer: the port fits"
    BOTH = "misses by peer and port"
    CLOSED = "matches nothing: not all of it can be read"


#: The rule is about this connection.
MATCHES = frozenset({Outcome.DECIDES, Outcome.PASSES, Outcome.ALSO, Outcome.BEHIND, Outcome.UNASKED})


@dataclass(frozen=True, slots=True)
class RuleAccount:
    """`peers`: why each peer misses, in their order, when none fits; `ports`: the entries of the port list, when
    none fits. `closed`: it denies everything since not all of it can be read."""

    index: int
    verdict: Verdict
    outcome: Outcome
    peers: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True, slots=True)
class PolicyAccount:
    """A policy that is about the subject, with its rules of this direction."""

    policy: AnyPolicy
    rules: tuple[RuleAccount, ...]


@dataclass(frozen=True, slots=True)
class TierAccount:
    """`name`: admin, application (NetworkPolicy) or baseline. `asked`: the evaluation came here."""

    name: str
    asked: bool
    policies: tuple[PolicyAccount, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """One direction. `pod` holds the subject's address, `peer` the other's. `tiers` is empty where policies are not
    asked at all. Without the rules of `removals`, all of them, the ruling would be `after`: the opposite one, or the
    one of no rule at all, which only a new rule or policy turns round."""

    direction: Direction
    pod: Pod | None
    peer: Pod | None
    other: str
    ruling: Ruling
    tiers: tuple[TierAccount, ...] = ()
    removals: tuple[tuple[AnyPolicy, int], ...] = ()
    after: Ruling | None = None


def account(oracle: Oracle, packet: Packet) -> tuple[Account, Account]:
    """The accounts of egress and ingress, in the order in which a packet meets them."""
    found = oracle.connection(packet)
    return (
        _direction(oracle, packet, Direction.EGRESS, packet.src, packet.dst, found.egress),
        _direction(oracle, packet, Direction.INGRESS, packet.dst, packet.src, found.ingress),
    )


def _direction(
    oracle: Oracle, packet: Packet, direction: Direction, subject: str, other: str, ruling: Ruling
) -> Account:
    pod, peer = oracle.holder(subject), oracle.holder(other)
    if ruling.because not in (Because.RULE, Because.ISOLATED, Because.UNDECIDED):
        return Account(direction, pod, peer, other, ruling)
    meeting = oracle.meeting(direction, subject, other)
    admin = _first(meeting.admin, packet)
    application = admin is None or admin.verdict is Verdict.PASS
    teller = _Teller(oracle, packet, direction, subject, other)
    tiers = (
        teller.tier("admin", True, oracle.concerned(subject, admin=True), meeting.admin),
        teller.tier("application", application, meeting.isolating, meeting.application),
        teller.tier(
            "baseline",
            application and not meeting.isolating,
            oracle.concerned(subject, admin=False),
            meeting.baseline,
        ),
    )
    return Account(direction, pod, peer, other, ruling, tiers, *_turned(meeting, packet))


def _turned(meeting: Meeting, packet: Packet) -> tuple[tuple[tuple[AnyPolicy, int], ...], Ruling]:
    """The rules to take away, one by one as they come to decide, until the verdict turns or no rule decides; and the
    ruling without them."""
    before = ruling = meeting.ruling(packet)
    removed: list[tuple[AnyPolicy, int]] = []
    while ruling.because is Because.RULE and ruling.allowed is before.allowed:
        assert ruling.rule is not None, "a rule decided"
        removed.append((ruling.policies[0], ruling.rule))
        meeting = replace(
            meeting,
            admin=_without(meeting.admin, *removed[-1]),
            application=_without(meeting.application, *removed[-1]),
            baseline=_without(meeting.baseline, *removed[-1]),
        )
        ruling = meeting.ruling(packet)
    return tuple(removed), ruling


def _without(clauses: Iterable[Clause], policy: AnyPolicy, index: int) -> tuple[Clause, ...]:
    return tuple(c for c in clauses if c.policy is not policy or c.index != index)


def _first(clauses: Iterable[Clause], packet: Packet) -> Clause | None:
    return next((clause for clause in clauses if clause.ports.holds(packet)), None)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells of the rules of one direction of one connection."""

    oracle: Oracle
    packet: Packet
    direction: Direction
    subject: str
    other: str

    def tier(self, name: str, asked: bool, policies: Sequence[AnyPolicy], clauses: Sequence[Clause]) -> TierAccount:
        """All policies of a tier that are about the subject, given its clauses for the other end."""
        held: dict[tuple[int, int], list[Clause]] = {}
        for clause in clauses:
            held.setdefault((id(clause.policy), clause.index), []).append(clause)
        first = _first(clauses, self.packet)
        told = []
        for policy in policies:
            rules = []
            for index, rule in enumerate(rules_of(policy, self.direction)):
                mine = held.get((id(policy), index), [])
                decides = first is not None and first.policy is policy and first.index == index
                rules.append(self._rule(policy, index, rule, mine, decides, asked))
            told.append(PolicyAccount(policy, tuple(rules)))
        return TierAccount(name, asked, tuple(told))

    def _rule(
        self, policy: AnyPolicy, index: int, rule: AnyRule, mine: list[Clause], decides: bool, asked: bool
    ) -> RuleAccount:
        verdict = Verdict.ALLOW if isinstance(rule, NetworkRule) else ACTIONS[rule.action]
        if _is_closed(policy, rule):
            if not mine:
                return RuleAccount(index, verdict, Outcome.CLOSED)
            return RuleAccount(index, Verdict.DENY, self._matching(policy, mine[0], decides, asked), closed=True)
        if any(clause.ports.holds(self.packet) for clause in mine):
            return RuleAccount(index, verdict, self._matching(policy, mine[0], decides, asked))
        server = self._server(rule, mine)
        if mine:
            return RuleAccount(index, verdict, Outcome.PORT, ports=ports_of(rule, server))
        peers = self._peers(policy, rule)
        if _test(rule, server).holds(self.packet):
            return RuleAccount(index, verdict, Outcome.PEER, peers)
        return RuleAccount(index, verdict, Outcome.BOTH, peers, ports_of(rule, server))

    def _matching(self, policy: AnyPolicy, clause: Clause, decides: bool, asked: bool) -> Outcome:
        if not asked:
            return Outcome.UNASKED
        if decides:
            return Outcome.PASSES if clause.verdict is Verdict.PASS else Outcome.DECIDES
        return Outcome.ALSO if isinstance(policy, NetworkPolicy) else Outcome.BEHIND

    def _server(self, rule: AnyRule, mine: list[Clause]) -> Pod | None:
        """The pod that the rule's port names are looked up on: the destination, unless the rule matches it as an
        address alone."""
        pod = self.oracle.holder(self.subject if self.direction is Direction.INGRESS else self.other)
        return pod if not mine or any(clause.ports == _test(rule, pod) for clause in mine) else None

    def _peers(self, policy: AnyPolicy, rule: AnyRule) -> tuple[str, ...]:
        """Why each peer of a rule is not the other end."""
        pod = self.oracle.holder(self.other)
        labels = self.oracle.namespace_labels(pod.namespace) if pod is not None else {}
        if isinstance(rule, NetworkRule):
            assert isinstance(policy, NetworkPolicy)
            peers = rule.from_ if isinstance(rule, networkpolicy.IngressRule) else rule.to
            space = namespace_of(policy)
            return tuple(network_peer_miss(peer, self.other, pod, labels, space) for peer in peers or ())
        return tuple(cluster_peer_miss(peer, self.other, pod, labels) for peer in peers_of(rule))


def rules_of(policy: AnyPolicy, direction: Direction) -> Sequence[AnyRule]:
    """The rules of one direction."""
    return (policy.spec.ingress if direction is Direction.INGRESS else policy.spec.egress) or ()


def isolates_by_rules(policy: NetworkPolicy, direction: Direction) -> bool:
    """Whether the policy isolates in this direction only because it has rules there: without the last of them it
    would isolate no more."""
    return (
        direction.value in policy_types(policy.spec) and direction is Direction.EGRESS and not policy.spec.policy_types
    )


def _test(rule: AnyRule, server: Pod | None) -> PortTest:
    return port_test(rule.ports, server) if isinstance(rule, NetworkRule) else cluster_port_test(rule, server)


def _is_closed(policy: AnyPolicy, rule: AnyRule) -> bool:
    if isinstance(policy, NetworkPolicy) or isinstance(rule, NetworkRule):
        return False
    pods = policy.spec.subject.pods
    chosen = (policy.spec.subject.namespaces, *((pods.namespace_selector, pods.pod_selector) if pods else ()))
    return not (is_known(rule) and all(map(is_readable, chosen)))
