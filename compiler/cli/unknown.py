"""The option --unknown-pods, of whatever compiles a node's rules or proves them."""

from __future__ import annotations

from dataclasses import replace

import click

from compiler.errors import Unreadable
from compiler.snapshot import Snapshot

unknown_pods = click.option(
    "--unknown-pods",
    type=click.Choice(["allow", "deny"]),
    default="allow",
    show_default=True,
    help="Addresses of the node's podCIDRs that nobody in the input has: as the enforcer treats them, which denies.",
)


def closed(snapshot: Snapshot, unknown_pods: str, node: str | None) -> Snapshot:
    """The snapshot as it is meant. Raises Unreadable without a node that has ranges."""
    if unknown_pods == "allow":
        return snapshot
    if node is None:
        raise Unreadable("--unknown-pods deny: each node has ranges of its own; name one with --node")
    names = snapshot.nodes if node == "all" else [node]
    if lacking := [name for name in names if name not in snapshot.nodes or not snapshot.nodes[name].pod_cidrs]:
        raise Unreadable(f"--unknown-pods deny: the input has no podCIDRs of {', '.join(sorted(lacking))}")
    return replace(snapshot, complete=True, closed=True)
