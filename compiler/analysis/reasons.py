"""Which rules decide a connection, in words: the oracle's ruling with the places that policies were written at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.policy import Origin
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet
from compiler.semantics.verdict import AnyPolicy, Because, Direction, Ruling
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located


@dataclass(frozen=True, slots=True)
class Reason:
    """What one direction says; `rules` are the deciding rule, or the policies of which none allows it."""

    direction: Direction
    allowed: bool
    because: Because
    rules: tuple[Origin, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """`reasons` of an allowed connection are those of both ends that are pods, of a denied one those that deny."""

    allowed: bool
    reasons: tuple[Reason, ...]


class Reasons:
    """Policies and a cluster, to be asked."""

    def __init__(self, policies: Sequence[Located], snapshot: Snapshot) -> None:
        self._located = {id(one.value): one for one in policies}
        self._oracle = Oracle((one.value for one in policies), snapshot)

    def of(self, packet: Packet) -> Answer:
        found = self._oracle.connection(packet)
        reasons = (self._reason(Direction.EGRESS, found.egress), self._reason(Direction.INGRESS, found.ingress))
        asked = (one for one in reasons if one.because is not Because.NO_SUBJECT)
        return Answer(found.allowed, tuple(one for one in asked if one.allowed is found.allowed))

    def _reason(self, direction: Direction, ruling: Ruling) -> Reason:
        rules = tuple(self._rules(direction, ruling))
        return Reason(direction, ruling.allowed, ruling.because, rules)

    def _rules(self, direction: Direction, ruling: Ruling) -> Iterator[Origin]:
        field = direction.value.lower()
        for policy in ruling.policies:
            span = self._located[id(policy)]
            if ruling.rule is None:
                yield Origin(policy.kind, _namespace(policy), policy.metadata.name, "", span.span)
            else:
                at = span.at("spec", field, ruling.rule)
                yield Origin(policy.kind, _namespace(policy), policy.metadata.name, f"{field}[{ruling.rule}]", at)


def _namespace(policy: AnyPolicy) -> str:
    return (policy.metadata.namespace or "default") if policy.kind == "NetworkPolicy" else ""
