"""What is asked of the rules of a text before they are executed: where they stand, and where they lead."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.rules.netfilter import (
    Barrier,
    Condition,
    Goto,
    InSet,
    Jump,
    Lookup,
    Rule,
    Ruleset,
    Statement,
    Table,
    Unmodelled,
)

#: Where a stateful match stands: its rule's file and place, and which of its parts it is.
Spot = tuple[str, int, int]


def refuse_moving_sets(ruleset: Ruleset) -> None:
    """Raises `Unprovable` where rules ask a set that rules fill while packets pass (iptables' SET): what a text has of
    it is one moment's."""
    rules = [rule for table in ruleset.tables for chain in table.chains.values() for rule in chain.rules]
    parts = [part for rule in rules for part in rule.parts]
    texts = [part.text.split() for part in parts if isinstance(part, Unmodelled) and part.text.startswith("-j SET ")]
    moving = {name for words in texts for option, name in pairwise(words) if option in ("--add-set", "--del-set")}
    for part in parts:
        if isinstance(part, InSet | Lookup) and part.set in moving:
            raise Unprovable(f"the set {part.set} is asked, and rules change what is in it")


def spot(rule: Rule, part: int) -> Spot:
    """Rules of one text that were made from one place, to say what one rule cannot, share their stateful matches."""
    number = sum(isinstance(one, Barrier) for one in rule.parts[:part])
    return rule.place.source.name, rule.place.start, number


def targets(table: Table, part: Condition | Statement) -> Iterator[str]:
    """The chains that it may lead to."""
    if isinstance(part, Jump | Goto):
        yield part.chain
    elif isinstance(part, Lookup):
        for element in table.sets[part.set].elements:
            if isinstance(element.verdict, Jump | Goto):
                yield element.verdict.chain
