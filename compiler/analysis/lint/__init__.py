"""Policies that are valid and hardly meant so. Each check is a function of the world; `CHECKS` lists them in the order
in which they run, with their codes and what those mean. docs/LINT.md says more of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from compiler.analysis.lint.blocks import block_over_pods
from compiler.analysis.lint.findings import Finding, World
from compiler.analysis.lint.gaps import egress_without_dns, no_default_deny
from compiler.analysis.lint.labels import label_typo
from compiler.analysis.lint.nobody import peer_selects_nobody, selects_nothing, unused_direction
from compiler.analysis.lint.ports import named_port_unknown, port_not_served
from compiler.analysis.lint.shadow import redundant_rule, shadowed_rule
from compiler.analysis.lint.suppress import judged
from compiler.analysis.lint.ties import priority_tie
from compiler.analysis.lint.unread import fails_closed, no_answers
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Located
from grammar.tree import Packed

CHECKS: tuple[Callable[[World], Iterator[Finding]], ...] = (
    selects_nothing,
    peer_selects_nobody,
    unused_direction,
    redundant_rule,
    shadowed_rule,
    priority_tie,
    port_not_served,
    named_port_unknown,
    block_over_pods,
    label_typo,
    egress_without_dns,
    no_default_deny,
    fails_closed,
    no_answers,
)
CODES = {
    "selects-nothing": "the policy selects no pod and no workload",
    "peer-selects-nobody": "a peer selects no pod and no workload",
    "unused-direction": "rules of a direction that policyTypes does not list",
    "redundant-rule": "other rules allow all that a rule of a NetworkPolicy allows",
    "shadowed-rule": "rules before it match all that a rule of a tier matches",
    "priority-tie": "equal priorities, the same pods, different actions",
    "port-not-served": "no pod at the destination serves the port",
    "named-port-unknown": "no pod at the destination has a port of that name",
    "block-over-pods": "a block holds addresses of pods",
    "label-typo": "a label that nothing has and that is close to another one",
    "egress-without-dns": "pods may open connections and not ask for names",
    "no-default-deny": "pods of a namespace accept connections from everyone",
    "fails-closed": "a rule of which not all can be read",
    "domains-unknown": "domainNames without DNS answers",
    "nodes-unknown": "a peer of nodes without Node objects",
    "bad-suppression": "an annotation that suppresses nothing, or without a reason",
}


def lint(policies: Sequence[Located], snapshot: Snapshot, spaces: Mapping[str, Packed]) -> tuple[Finding, ...]:
    """Everything found and not suppressed, in the order of files and lines. `spaces` says by name where a namespace
    is written."""
    world = World(policies, snapshot, spaces)
    found = (one for check in CHECKS for one in check(world))
    order = {name: n for n, name in enumerate(dict.fromkeys(one.span.file for one in policies))}
    kept = judged((*world.entries, *world.spaces.values()), found, CODES)
    return tuple(sorted(kept, key=lambda one: _place(one, order)))


def _place(one: Finding, order: dict[str, int]) -> tuple[int, str, int, int, str]:
    span = one.flaw.span
    return (order.get(span.file, len(order)), span.file, span.line, span.column, one.flaw.code)
