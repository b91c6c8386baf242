"""The interface that a packet came in by, behind routing -> bits of its mark, for back ends that do not know it there.

iptables has no `-i` in POSTROUTING. Where rules of the nat table ask for it, mangle FORWARD writes into the bits of a
mask which of the patterns that are asked for is the narrowest that fits, 0 for none, and OUTPUT writes 0: what this
node sends came in by nothing. A question is then one for each pattern inside of the one that it asks for. All packets
are written to, so that nobody else's marks are taken for ours; the bits are ours, and what they hold in the end is
nobody's business.

Precondition: no rule asks for the mask's bits or sets them, and patterns are no more than fit (`room`). Preserved: the
verdict of every packet and what is done to it, but for these bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from compiler.backends.target import Capabilities
from compiler.ir.check import targets
from compiler.ir.effects import SetMark
from compiler.ir.match import HasMark, Inbound, Match
from compiler.ir.names import base_name
from compiler.ir.ruleset import Chain, Continue, Hook, Lookup, Rule, Ruleset, Table


def carry_inbound(ruleset: Ruleset, capabilities: Capabilities) -> Ruleset:
    """The ruleset with marks instead; unchanged when the target knows the interface, or nobody asks."""
    mask = capabilities.inbound_mask
    asked = asked_behind_routing(ruleset) if mask is not None else set()
    if mask is None or not asked:
        return ruleset
    names = _behind_routing(ruleset)
    # Broad ones first: what is written later, and more narrowly, stays.
    order = sorted(asked, key=lambda one: (len(one.interface), not one.prefix, one.interface))
    values = {one: (n + 1) * (mask & -mask) for n, one in enumerate(order)}
    assert max(values.values()) <= mask, "more patterns than fit into the mask"
    chains = [_asking(chain, values, mask) if chain.name in names else chain for chain in ruleset.chains]
    zero = Rule((), Continue(), effects=(SetMark(0, mask),), note="the interface a packet came in by, for POSTROUTING")
    by = [Rule(() if not one.interface else (one,), Continue(), effects=(SetMark(values[one], mask),)) for one in order]
    chains = _in_front(chains, Hook.FORWARD, [zero, *by])
    return replace(ruleset, chains=tuple(_in_front(chains, Hook.OUTPUT, [zero])))


def asked_behind_routing(ruleset: Ruleset) -> set[Inbound]:
    """What rules in POSTROUTING ask of the way in."""
    names = _behind_routing(ruleset)
    rules = (rule for chain in ruleset.chains if chain.name in names for rule in chain.rules)
    return {match for rule in rules if isinstance(rule, Rule) for match in rule.matches if isinstance(match, Inbound)}


def room(mask: int) -> int:
    """How many patterns a mask of adjacent bits has values for."""
    return mask // (mask & -mask)


def _behind_routing(ruleset: Ruleset) -> set[str]:
    """The chains that packets reach in POSTROUTING."""
    chains = {chain.name: chain for chain in ruleset.chains}
    found: set[str] = set()
    ahead = [chain.name for chain in ruleset.chains if chain.hook is Hook.POSTROUTING]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead.extend(targets(ruleset, chains[name]))
    return found


def _asking(chain: Chain, values: Mapping[Inbound, int], mask: int) -> Chain:
    rules: list[Rule | Lookup] = []
    for rule in chain.rules:
        rules.extend(_ways(rule, values, mask) if isinstance(rule, Rule) else (rule,))
    return replace(chain, rules=tuple(rules))


def _ways(rule: Rule, values: Mapping[Inbound, int], mask: int) -> Iterator[Rule]:
    """The rule once for each value that its interface can have become."""
    choices: list[list[Match]] = [
        [HasMark(value, mask) for other, value in values.items() if _covers(match, other)]
        if isinstance(match, Inbound)
        else [match]
        for match in rule.matches
    ]
    for matches in product(*choices):
        yield replace(rule, matches=matches)


def _covers(one: Inbound, other: Inbound) -> bool:
    return one == other or (one.prefix and other.interface.startswith(one.interface))


def _in_front(chains: Sequence[Chain], hook: Hook, rules: Sequence[Rule]) -> list[Chain]:
    """The chains with these rules in front of mangle's at that hook."""
    if any(chain.table is Table.MANGLE and chain.hook is hook for chain in chains):
        return [
            replace(chain, rules=(*rules, *chain.rules))
            if chain.table is Table.MANGLE and chain.hook is hook
            else chain
            for chain in chains
        ]
    note = "which interface a packet came in by"
    return [*chains, Chain(base_name(Table.MANGLE, hook), tuple(rules), hook, Table.MANGLE, notes=(note,))]
