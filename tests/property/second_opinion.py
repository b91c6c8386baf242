"""A whole proof, of OxiDD's diagrams instead of ours."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from compiler.semantics.diagrams.clauses import Clauses
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.policy_diagram import PolicyDiagrams
from compiler.semantics.diagrams.space import Path
from compiler.semantics.diagrams.text_diagram import TextDiagrams
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules.netfilter import Ruleset
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot
from tests.compiler.semantics.bdd_diagrams import bdd_space


class Opinion(Enum):
    """What a proof ends in."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNPROVABLE = "unprovable"


def first(policies: Sequence[AnyPolicy], snapshot: Snapshot, node: str | None, ruleset: Ruleset) -> Opinion:
    """Ours."""
    try:
        return Opinion.EQUAL if isinstance(verify(policies, snapshot, node, ruleset), Equal) else Opinion.DIFFERENT
    except Unprovable:
        return Opinion.UNPROVABLE


def second(policies: Sequence[AnyPolicy], snapshot: Snapshot, node: str | None, ruleset: Ruleset) -> Opinion:
    """OxiDD's: both families, every path, the whole of all addresses at once."""
    try:
        same = [_is_same(policies, snapshot, node, ruleset, version) for version in (4, 6)]
    except Unprovable:
        return Opinion.UNPROVABLE
    return Opinion.EQUAL if all(same) else Opinion.DIFFERENT


def _is_same(
    policies: Sequence[AnyPolicy], snapshot: Snapshot, node: str | None, ruleset: Ruleset, version: int
) -> bool:
    over = bdd_space(version)
    wanted = PolicyDiagrams(Clauses(policies, Ends(snapshot, version)), node, over)
    text = TextDiagrams(ruleset, over, translates=True)
    for path in Path:
        out = over.made.where(text.before(path, wanted.impossible(path)), over.made.outcome("impossible"))
        one, two = (over.made.first([out, says]) for says in (text.before(path, wanted.at(path)), text.at(path)))
        if one != two:
            return False
    return True
