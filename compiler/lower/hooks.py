"""What hangs on the hooks: the base chains that every layout shares.

A first packet passes the egress stage with its source and then the ingress stage with its destination; a stage that
says nothing against a packet falls through. Which stages a hook needs follows from who can be there: pods are
behind FORWARD on both ends, in INPUT only as sources, and in OUTPUT only as destinations (or when a proxy borrows
their address).
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.ir.match import LocalSource, Replies
from compiler.ir.ruleset import Accept, Chain, Hook, Lookup, Rule

Stage = Sequence[Rule | Lookup]


def hook_chains(known: Stage, egress: Stage, ingress: Stage) -> tuple[Chain, ...]:
    """The base chains. `known`: answers known in advance (`fastpath`), which the stages rely on."""
    replies = Rule((Replies(),), Accept())
    return (
        Chain(
            "forward",
            (replies, *known, *egress, *ingress),
            Hook.FORWARD,
            notes=("between pods, and between pods and the world",),
        ),
        Chain(
            "input",
            (replies, *known, *egress),
            Hook.INPUT,
            notes=("from pods to their own node: their egress policies decide",),
        ),
        Chain(
            "output",
            (replies, Rule((LocalSource(),), Accept()), *known, *egress, *ingress),
            Hook.OUTPUT,
            notes=(
                "the node itself reaches its own pods (kubelet probes); a proxy that borrows a pod's address does not",
            ),
        ),
    )
