"""Rulesets of the IR as files: what a compile would write for them, without policies."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.backends.target import Backend, Target
from compiler.ir.names import base_name
from compiler.ir.ruleset import Chain, Hook, Lookup, PrefixMap, PrefixSet, Rule, Ruleset, Set, Table
from compiler.pipeline import emit, prepared
from tests.kernel.rig import BACKEND


def base(table: Table, hook: Hook, *rules: Rule | Lookup) -> Chain:
    """Our base chain there."""
    return Chain(base_name(table, hook), rules, hook, table)


def texts(
    flavour: str, *chains: Chain, sets: Sequence[Set | PrefixSet] = (), maps: Sequence[PrefixMap] = ()
) -> dict[str, str]:
    """File name -> text, in the order of loading."""
    target = Target(Backend(BACKEND[flavour]))
    return emit(prepared(Ruleset(chains, tuple(sets), tuple(maps)), target), target)
