"""Pods for workloads that have none: a repository of manifests says what will run, not where.

A stand-in has the labels and ports of its workload's template. No file knows its addresses, so it gets some that as
few ipBlocks as possible hold: with `0.0.0.0/0 except 10.0.0.0/8` these are in 10.0.0.0/8, where no rule that is meant
for the world outside reaches (decision). What selectors, tiers and ports say of it is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from compiler.analysis.outside import stretches
from compiler.analysis.workloads import lasting
from compiler.net import Family, Prefix, address_text, parse_address
from compiler.policy import Block, Policy
from compiler.resources.cluster import Pod
from compiler.snapshot import Snapshot

#: Two, so that what a workload's pods may do among themselves shows.
_REPLICAS = 2


def with_stand_ins(policies: Sequence[Policy], snapshot: Snapshot) -> tuple[Snapshot, int]:
    """The snapshot in which every workload of the input has pods, and how many workloads needed some. Templates of
    host-network pods have no addresses of their own and stay as they are."""
    living = [pod for pod in snapshot.pods if pod.holds_addresses]
    alone = [
        one
        for one in snapshot.pods
        if one.template_of and not one.host_network and not any(_is_of(pod, one) for pod in living)
    ]
    if not alone:
        return snapshot, 0
    taken = {parse_address(text) for pod in snapshot.pods for text in pod.ips}
    taken |= {parse_address(text) for node in snapshot.nodes.values() for text in node.ips}
    free = {family: _free(family, policies, {a for f, a in taken if f is family}) for family in Family}
    made = []
    for one in alone:
        for n in range(1, _REPLICAS + 1):
            ips = tuple(address_text(family, next(free[family])) for family in Family)
            made.append(replace(one, name=f"{one.name}-{n}", ips=ips, phase="Running", template_of=""))
    pods = sorted((*snapshot.pods, *made), key=lambda p: (p.namespace, p.name, p.template_of))
    return replace(snapshot, pods=tuple(pods)), len(alone)


def _is_of(pod: Pod, template: Pod) -> bool:
    return pod.namespace == template.namespace and lasting(template.labels).items() <= pod.labels.items()


def _free(family: Family, policies: Iterable[Policy], taken: set[int]) -> Iterator[int]:
    """Free addresses of the largest stretch among those that the fewest blocks hold, from its second one on: the
    first often means the network itself."""
    blocks = [peer for policy in policies for peer in _blocks(policy) if peer.prefix.family is family]
    ends: set[int] = {0}
    for block in blocks:
        for prefix in (block.prefix, *block.excepts):
            ends |= {prefix.base, prefix.base + (1 << family.bits - prefix.length)}
    cuts = sorted(ends - {1 << family.bits})
    found = min(
        stretches(family, [cuts], ()), key=lambda s: (sum(_holds(block, s.first) for block in blocks), s.first - s.last)
    )
    return (a for a in range(found.first + 1, found.last + 1) if a not in taken)


def _blocks(policy: Policy) -> Iterator[Block]:
    for rule in (*policy.ingress, *policy.egress):
        yield from (peer for peer in rule.peers if isinstance(peer, Block))


def _holds(block: Block, address: int) -> bool:
    at = Prefix(block.prefix.version, address, block.prefix.family.bits)
    return block.prefix.covers(at) and not any(cut.covers(at) for cut in block.excepts)
