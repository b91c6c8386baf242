"""nat, mangle and raw blocks of a program, beside the chains of filter.

Each table of which the program has a statement gets all the base chains that statements of it can be in, also those
without rules: what an earlier version of the program had there goes away when it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from compiler.backends.target import Target
from compiler.ir.ruleset import PrefixSet, Ruleset, Set
from compiler.lower.asking import Asking
from compiler.lower.flows import Flows
from compiler.lower.nat import Nat
from compiler.lower.packets import mangle_chains, raw_chains
from compiler.resources.language import Program, Rule


def beside(ruleset: Ruleset, program: Program, asking: Asking, target: Target, exempt: Sequence[Rule] = ()) -> Ruleset:
    """The ruleset and the program's other tables. `exempt`: what raw statements never drop."""
    flows = Flows(asking, target)
    chains = (
        *raw_chains(program, flows, exempt),
        *mangle_chains(program, flows),
        *Nat(program, asking, target).chains(),
    )
    if not chains:
        return ruleset
    sets: dict[str, Set | PrefixSet] = {one.name: one for one in ruleset.sets}
    for one in asking.sets:  # names are digests of what is in them, so filter may have asked the same
        known = sets.setdefault(one.name, one)
        assert known.elements == one.elements, f"{one.name}: two sets of one name"
    return replace(ruleset, chains=(*ruleset.chains, *chains), sets=tuple(sets.values()))
