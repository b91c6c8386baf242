"""Which stages hang on which hook, in which order."""

from __future__ import annotations

from compiler.ir.match import Field, LocalSource, Replies
from compiler.ir.ruleset import Accept, Drop, Hook, Lookup, Rule, Table
from compiler.lower.hooks import hook_chains
from compiler.net import Family

KNOWN = (Rule((), Accept(), Family.IPV4),)
EGRESS = (Lookup(Field.SOURCE, "egress4", Family.IPV4),)
INGRESS = (Lookup(Field.DESTINATION, "ingress4", Family.IPV4), Rule((), Drop(), Family.IPV6))
REPLIES = Rule((Replies(),), Accept())


def test_every_hook_has_its_stages_in_order() -> None:
    """Pods are behind FORWARD on both ends, in INPUT as sources only, in OUTPUT as destinations, or as sources that
    a proxy borrows. Replies come first everywhere; the node reaches its own pods."""
    forward, came_in, output = hook_chains(KNOWN, EGRESS, INGRESS)
    assert forward.rules == (REPLIES, *KNOWN, *EGRESS, *INGRESS)
    assert came_in.rules == (REPLIES, *KNOWN, *EGRESS)
    assert output.rules == (REPLIES, Rule((LocalSource(),), Accept()), *KNOWN, *EGRESS, *INGRESS)
    assert [chain.hook for chain in (forward, came_in, output)] == [Hook.FORWARD, Hook.INPUT, Hook.OUTPUT]
    assert all(chain.table is Table.FILTER and chain.family is None for chain in (forward, came_in, output))


def test_the_chains_are_there_without_any_stage() -> None:
    """Loading an empty ruleset over a full one must empty its hooks."""
    assert [len(chain.rules) for chain in hook_chains((), (), ())] == [1, 1, 2]
