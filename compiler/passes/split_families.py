"""Rules of both families -> one for each, those of IPv4 first: for tools whose families are asked apart.

iptables and ip6tables have texts of their own, each with an order of its own: a rule of one family costs packets of the
other nothing, and what is seldom in one may be frequent in the other.

Precondition: none. Preserved: the rules of each family and their order, so the text; base chains of filter stay as they
are (their order is the layout's).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compiler.ir.ruleset import Chain, Lookup, Rule, Ruleset, Table


def split_families(ruleset: Ruleset) -> Ruleset:
    """The ruleset with families apart in every chain that may be put in another order."""
    return replace(ruleset, chains=tuple(_chain(chain, ruleset) for chain in ruleset.chains))


def _chain(chain: Chain, ruleset: Ruleset) -> Chain:
    if chain.family is not None or (chain.hook is not None and chain.table is Table.FILTER):
        return chain
    return replace(chain, rules=tuple(_rules(chain, ruleset)))


def _rules(chain: Chain, ruleset: Ruleset) -> Iterator[Rule | Lookup]:
    for family in ruleset.families:
        for rule in chain.rules:
            if rule.family in (None, family):
                yield replace(rule, family=family)
