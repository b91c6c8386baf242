"""Which addresses of a node's pod ranges nobody known has.

A pod has its address before anybody hears of it, and may keep it when its object is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.net import Family, Prefix, parse_address, parse_prefix
from compiler.resources.cluster import TERMINAL_PHASES, Node, Pod
from compiler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Ranges:
    """Of one family: blocks that do not lie in each other, and the addresses in them that somebody has; both sorted."""

    blocks: tuple[Prefix, ...]
    known: tuple[int, ...]


def ranges(snapshot: Snapshot, node: str | None, families: Sequence[Family]) -> dict[Family, Ranges]:
    """Those of the node's pods, where there are any and the snapshot closes them."""
    found = snapshot.nodes.get(node or "")
    if found is None or not snapshot.closed:
        return {}
    return {family: Ranges(own, _known(snapshot, own)) for family, own in blocks(found, families).items()}


def blocks(node: Node, families: Sequence[Family]) -> dict[Family, tuple[Prefix, ...]]:
    """The pod ranges of a node, of those families that it has some of."""
    given = sorted(map(parse_prefix, node.pod_cidrs))
    outer = [one for one in given if not any(other != one and other.covers(one) for other in given)]
    found = {family: tuple(one for one in dict.fromkeys(outer) if one.family is family) for family in families}
    return {family: own for family, own in found.items() if own}


def _known(snapshot: Snapshot, own: Sequence[Prefix]) -> tuple[int, ...]:
    """Whoever has an address, here or elsewhere: only what nobody has is shut."""
    pods = (address for pod in snapshot.pods if has_address(pod) for address in pod.ips)
    nodes = (address for node in snapshot.nodes.values() for address in node.ips)
    found = {parse_address(address) for addresses in (pods, nodes) for address in addresses}
    return tuple(sorted(value for family, value in found if is_inside(own, family, value)))


def is_inside(own: Sequence[Prefix], family: Family, address: int) -> bool:
    """Whether an address lies in one of the blocks."""
    host = Prefix(family.value, address, family.bits)
    return any(block.covers(host) for block in own)


def has_address(pod: Pod) -> bool:
    """Of its own, or that of its node."""
    return pod.holds_addresses or (pod.host_network and bool(pod.node) and pod.phase not in TERMINAL_PHASES)
