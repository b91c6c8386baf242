"""What the oracle answers with: the clauses that policies hold for two ends, and the rulings that follow from them.

Quotations are the field documentation of network-policy-api v0.2.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from compiler.resources import (
    AdminNetworkPolicy,
    BaselineAdminNetworkPolicy,
    ClusterNetworkPolicy,
    NetworkPolicy,
)
from compiler.resources.language import PolicyBlock
from compiler.semantics.packet import PORTED, Packet

ClusterPolicy = ClusterNetworkPolicy | AdminNetworkPolicy | BaselineAdminNetworkPolicy
AnyPolicy = NetworkPolicy | ClusterPolicy

#: A BaselineAdminNetworkPolicy has no priority: it comes behind those that have one, which end at 1000 (decision).
_NO_PRIORITY = 1001


class Direction(Enum):
    """As seen from the subject."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Because(Enum):
    """Why a direction of a connection is allowed or denied; the value completes "..., because"."""

    RULE = "a rule says so"
    PROGRAM = "a rule of the program says so"
    ISOLATED = "NetworkPolicies select the pod and none of their rules allows it"
    UNDECIDED = "no policy decides, and the default is to allow"
    NO_SUBJECT = "no pod of this node has policies for it"
    ITSELF = "a pod always reaches itself"
    OWN_NODE = "a node always reaches its own pods"
    NEIGHBOURS = "neighbour discovery belongs to the link"
    CONTESTED = "several pods hold the address, so it is nobody's"
    UNKNOWN = "the address is of the node's pod ranges, and nobody known has it"


@dataclass(frozen=True, slots=True)
class Ruling:
    """One direction's answer. `policies`: the one whose rule (by index) decided, or all that isolate the pod. `block`:
    the one of a program whose rule decided."""

    allowed: bool
    because: Because
    policies: tuple[AnyPolicy, ...] = ()
    rule: int | None = None
    block: PolicyBlock | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """Both directions; allowed when both are."""

    egress: Ruling
    ingress: Ruling

    @property
    def allowed(self) -> bool:
        return self.egress.allowed and self.ingress.allowed


class Verdict(Enum):
    """What a rule does to the connections that it matches."""

    ALLOW = "allow"
    DENY = "deny"
    PASS = "pass"


@dataclass(frozen=True, slots=True)
class PortTest:
    """Does a rule's port list hold? `everything`: it has no list. `spans`: (protocol, first, last), inclusive."""

    everything: bool
    spans: tuple[tuple[int, int, int], ...] = ()

    def holds(self, packet: Packet) -> bool:
        """Protocols without policy ports pass "only where a rule has no ports"."""
        if self.everything:
            return True
        return packet.proto in PORTED and any(
            protocol == packet.proto and first <= packet.dport <= last for protocol, first, last in self.spans
        )


@dataclass(frozen=True, slots=True)
class Clause:
    """A rule whose peers match the other end; `index` is its place in the policy's ingress or egress."""

    policy: AnyPolicy
    index: int
    verdict: Verdict
    ports: PortTest


@dataclass(frozen=True, slots=True)
class BlockRule:
    """A rule of a baseline block of a program, by its place there; `holds`: whether a packet is of both its ends and
    its ports."""

    block: PolicyBlock
    index: int
    verdict: Verdict
    holds: Callable[[Packet], bool]


@dataclass(frozen=True, slots=True)
class Meeting:
    """The clauses of each tier in order of evaluation, and the NetworkPolicies that isolate the subject. `blocks`: the
    rules of a program's baseline blocks, in their order."""

    admin: tuple[Clause, ...]
    application: tuple[Clause, ...]
    isolating: tuple[NetworkPolicy, ...]
    baseline: tuple[Clause, ...]
    blocks: tuple[BlockRule, ...] = ()

    def ruling(self, packet: Packet) -> Ruling:
        """Admin tier -> NetworkPolicy -> Baseline tier -> default allow."""
        found = _first(self.admin, packet)
        if found is not None and found.verdict is not Verdict.PASS:
            return _ruled(found)
        if self.isolating:  # "v1.NetworkPolicy always makes a final decision for selected pods."
            found = _first(self.application, packet)
            return _ruled(found) if found is not None else Ruling(False, Because.ISOLATED, self.isolating)
        found = _first(self.baseline, packet)
        block = next((one for one in self.blocks if one.holds(packet)), None)
        if block is not None and (found is None or block.block.priority <= priority_of(found.policy)):
            if block.verdict is Verdict.PASS:
                return Ruling(True, Because.UNDECIDED)
            allowed = block.verdict is Verdict.ALLOW
            return Ruling(allowed, Because.PROGRAM, rule=block.index, block=block.block)
        if found is not None and found.verdict is not Verdict.PASS:
            return _ruled(found)
        # "If a given connection wasn't allowed or denied by any of the tiers, the default kubernetes policy is
        # applied, which says that all pods can communicate with each other."
        return Ruling(True, Because.UNDECIDED)


def priority_of(policy: AnyPolicy) -> int:
    """The smaller, the earlier in its tier; NetworkPolicies have none, and their order does not matter."""
    if isinstance(policy, NetworkPolicy | BaselineAdminNetworkPolicy):
        return _NO_PRIORITY
    return policy.spec.priority


def _first(clauses: Iterable[Clause], packet: Packet) -> Clause | None:
    """ "A rule that appears at the top ... would take the highest precedence." """
    return next((clause for clause in clauses if clause.ports.holds(packet)), None)


def _ruled(clause: Clause) -> Ruling:
    return Ruling(clause.verdict is Verdict.ALLOW, Because.RULE, (clause.policy,), clause.index)
