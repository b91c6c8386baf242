"""What would turn a verdict round: rules to take away, a rule to add, rules to widen.

Taking away is the account's, which has tried it. A rule to add is written so that it allows this connection and as
little else as labels can say; it goes into a policy that isolates the pod already, so that nothing else changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compiler.analysis.workloads import lasting
from compiler.resources import NetworkPolicy
from compiler.semantics.account import Account, Outcome, isolates_by_rules, rules_of
from compiler.semantics.packet import PORTED, Packet
from compiler.semantics.verdict import AnyPolicy, Because, Direction
from compiler.snapshot import NAME_LABEL

_PROTOCOLS = {6: "TCP", 17: "UDP", 132: "SCTP"}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = frozenset(["true", "false", "yes", "no", "on", "off", "null", "y", "n"])

Snippet = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """Everything named here together turns the verdict of one direction. `remove`: the rules to remove or narrow;
    `keep` those policies among theirs whose policyTypes must then be written out, or they would isolate no more.
    `add`: a rule for a policy, where one is needed. `isolate`: a NetworkPolicy that selects the pod is needed.
    `widen`: rules of which one with another port or peer would do as well as `add`."""

    remove: tuple[tuple[AnyPolicy, int], ...] = ()
    keep: tuple[NetworkPolicy, ...] = ()
    add: tuple[NetworkPolicy, Snippet] | None = None
    isolate: bool = False
    widen: tuple[tuple[AnyPolicy, int, Outcome], ...] = ()


def change(account: Account, packet: Packet) -> Change | None:
    """What turns this direction round; None where policies have no say."""
    after = account.after
    if after is None:
        return None
    if after.allowed is not account.ruling.allowed:
        return Change(account.removals, tuple(_keep(account)))
    if after.because is Because.UNDECIDED:
        return Change(account.removals, isolate=True)
    told = next(tier for tier in account.tiers if tier.name == "application")
    widen = tuple(
        (one.policy, rule.index, rule.outcome)
        for one in told.policies
        for rule in one.rules
        if rule.outcome in (Outcome.PORT, Outcome.PEER)
    )
    isolating = [p for p in after.policies if isinstance(p, NetworkPolicy)]
    home = max(isolating, key=lambda p: (_narrowness(p), bool(rules_of(p, account.direction))))
    return Change(account.removals, add=(home, _snippet(account, packet, home)), widen=widen)


def _keep(account: Account) -> Iterator[NetworkPolicy]:
    """policyTypes absent: the policy isolates for egress only while it has egress rules."""
    gone: dict[int, int] = {}
    for policy, _ in account.removals:
        gone[id(policy)] = gone.get(id(policy), 0) + 1
    for policy in {id(p): p for p, _ in account.removals}.values():
        last = gone[id(policy)] == len(rules_of(policy, account.direction))
        if last and isinstance(policy, NetworkPolicy) and isolates_by_rules(policy, account.direction):
            yield policy


def _narrowness(policy: NetworkPolicy) -> int:
    chosen = policy.spec.pod_selector
    return len(chosen.match_labels or {}) + len(chosen.match_expressions or ())


def _snippet(account: Account, packet: Packet, policy: NetworkPolicy) -> Snippet:
    """The rule: one peer, and one port where the protocol has ports."""
    peers = [_peer(account, policy.metadata.namespace or "default")]
    rule: dict[str, object] = {"from" if account.direction is Direction.INGRESS else "to": peers}
    if packet.proto in PORTED:
        rule["ports"] = [{"protocol": _PROTOCOLS[packet.proto], **({"port": packet.dport} if packet.dport else {})}]
    return rule


def _peer(account: Account, namespace: str) -> Snippet:
    pod = account.peer
    if pod is None:
        return {"ipBlock": {"cidr": f"{account.other}/{128 if ':' in account.other else 32}"}}
    labels = lasting(pod.labels)
    pods = {"podSelector": {"matchLabels": labels} if labels else {}}
    if pod.namespace == namespace:
        return pods
    return {"namespaceSelector": {"matchLabels": {NAME_LABEL: pod.namespace}}, **pods}


def as_yaml(snippet: Snippet) -> tuple[str, ...]:
    """A rule as an item of a list of rules."""
    lines: list[str] = []
    for key, items in snippet.items():
        assert isinstance(items, list)
        lines.append(f"{'  ' if lines else '- '}{key}:")
        for item in items:
            for n, (name, value) in enumerate(item.items() if key != "ports" else ()):
                lines.append(f"    {'  ' if n else '- '}{name}: {_flow(value)}")
            if key == "ports":
                lines.append(f"    - {_flow(item)}")
    return tuple(lines)


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)
