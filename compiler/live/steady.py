"""From what lowering makes to what a back end applies, for rulesets that move: as `pipeline.PASSES`, with names that
stay while elements come and go."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from compiler.backends.target import Target
from compiler.ir.change import is_host
from compiler.ir.ruleset import Chain, Lookup, PrefixMap, Ruleset
from compiler.passes.carry_inbound import carry_inbound
from compiler.passes.count_hops import count_hops
from compiler.passes.expand_maps import expand_steadily
from compiler.passes.split_effects import split_effects
from compiler.passes.split_prefix_sets import split_prefix_sets

PASSES = (expand_steadily, carry_inbound, split_effects, split_prefix_sets, count_hops)


def steady(ruleset: Ruleset, target: Target) -> Ruleset:
    """The ruleset for the target's back end. Prefixes do not move (`ir.change`), so their maps are named after what
    they hold; those of closed stages (`lower.closing`) are others than those of open ones, whose verdicts come back."""
    ruleset = _named_apart(ruleset)
    for step in PASSES:
        ruleset = step(ruleset, target.capabilities)
    return ruleset


def _named_apart(ruleset: Ruleset) -> Ruleset:
    names = {found.name: _name(found) for found in ruleset.maps if not all(is_host(p) for p, _ in found.elements)}
    names |= {found.name: f"{found.name}-closed" for found in ruleset.maps if found.subjects}
    if not names:
        return ruleset
    maps = tuple(replace(found, name=names.get(found.name, found.name)) for found in ruleset.maps)
    return replace(ruleset, chains=tuple(_asking(chain, names) for chain in ruleset.chains), maps=maps)


def _name(found: PrefixMap) -> str:
    return f"{found.name}-{hashlib.sha256(repr(found.elements).encode()).hexdigest()[:7]}"


def _asking(chain: Chain, names: dict[str, str]) -> Chain:
    if not any(isinstance(rule, Lookup) and rule.map in names for rule in chain.rules):
        return chain
    rules = (replace(r, map=names.get(r.map, r.map)) if isinstance(r, Lookup) else r for r in chain.rules)
    return replace(chain, rules=tuple(rules))
