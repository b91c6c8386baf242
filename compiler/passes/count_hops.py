"""TTLs that are counted up or down -> constants, for back ends that can only set those.

For each family and step there is a tree of chains: sixteen rules find the block of sixteen hop limits, sixteen the hop
limit itself, and that rule sets the new one. Systems start with 64, 128 or 255 and most ways have few hops, so the
blocks that end there come first, and the largest number of a block.

Precondition: such an effect stands alone in its rule (`split_effects`). Preserved: what is done to every packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compiler.backends.target import Capabilities
from compiler.ir.effects import Step, Ttl
from compiler.ir.match import Hops
from compiler.ir.names import Namer
from compiler.ir.ruleset import Chain, Continue, Goto, Jump, Lookup, Return, Rule, Ruleset, Table
from compiler.net import Family

_MOST = 255
#: First and last of each block. 0 would have a block of its own otherwise, and 256 is none.
_BLOCKS = [(low - (low == 1), min(low + 15, _MOST)) for low in range(1, _MOST, 16)]
_BLOCKS.sort(key=lambda block: block[1] not in (64, 128, 255))


def count_hops(ruleset: Ruleset, capabilities: Capabilities) -> Ruleset:
    """The ruleset without TTLs that are counted; unchanged when the target can count."""
    if capabilities.hop_arithmetic:
        return ruleset
    trees = _Trees()
    chains = []
    for chain in ruleset.chains:
        rules = tuple(trees.replaced(rule, chain) for rule in chain.rules)
        chains.append(chain if rules == chain.rules else replace(chain, rules=rules))
    return replace(ruleset, chains=(*chains, *trees.chains.values())) if trees.chains else ruleset


class _Trees:
    def __init__(self) -> None:
        self.chains: dict[str, Chain] = {}
        self._namer = Namer()

    def replaced(self, rule: Rule | Lookup, chain: Chain) -> Rule | Lookup:
        """A rule that leads to the tree of what it counts; any other rule as it is."""
        if not isinstance(rule, Rule):
            return rule
        counted = [e for e in rule.effects if isinstance(e, Ttl) and e.step is not Step.SET]
        if not counted:
            return rule
        family = rule.family or chain.family
        assert family is not None, "a TTL is of one family"
        assert rule.effects == tuple(counted[:1]), "counting stands alone"
        assert rule.verdict == Continue(), "counting stands alone"
        return replace(rule, effects=(), verdict=Jump(self._tree(counted[0], family, chain.table)))

    def _tree(self, effect: Ttl, family: Family, table: Table) -> str:
        word = "less" if effect.step is Step.DECREASE else "more"
        root = self._name(effect, family, table, "")
        if root not in self.chains:
            note = f"TTL or hop limit: {effect.value} {word}"
            self.chains[root] = Chain(root, (), table=table, family=family, notes=(note,))
            branches = []
            for low, high in _BLOCKS:
                leaves = tuple(_leaves(effect, family, low, high))
                name = self._name(effect, family, table, str(low))
                self.chains[name] = Chain(name, leaves, table=table, family=family, notes=(f"{note}, {low} to {high}",))
                branches.append(Rule((Hops(low, high),), Goto(name), family))
            self.chains[root] = replace(self.chains[root], rules=tuple(branches))
        return root

    def _name(self, effect: Ttl, family: Family, table: Table, block: str) -> str:
        stem = f"{effect.step.value}{effect.value}"
        return self._namer.name(f"h{family.value}", stem, f"{table} {effect} {block}")


def _leaves(effect: Ttl, family: Family, low: int, high: int) -> Iterator[Rule]:
    for hops in range(high, low - 1, -1):
        step = effect.value if effect.step is Step.INCREASE else -effect.value
        after = min(_MOST, max(0, hops + step))
        if after != hops:
            yield Rule((Hops(hops, hops),), Return(), family, effects=(Ttl(Step.SET, after),))
