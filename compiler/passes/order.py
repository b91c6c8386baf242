"""Rules of a chain in the order that costs least by their weights, with what overlaps in its order.

Precondition: families are apart where the tool has them apart (`split_families`). Rules have weights, the packets that
matched them; a chain without any stays as it is, and so do base chains of filter, where the layout has its reasons
(replies come first, which the jump there may ask already).
Preserved: everything. A rule goes on matching exactly the packets that it matched: those that a packet may match both
of keep their order, also with the same verdict, and nothing passes a rule of one tool, or a jump to where one may be.

`loaded` tells in which order rules are loaded now: that one stays unless another saves more than the threshold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from compiler.ir.check import targets
from compiler.ir.effects import Native
from compiler.ir.ruleset import Chain, Continue, Goto, Jump, Lookup, Return, Rule, Ruleset, Table
from compiler.net import Family
from compiler.ordering.dimensions import EVERYTHING
from compiler.ordering.order import Ordering
from compiler.ordering.ordered import ordered
from compiler.ordering.overlap import Box, groups, overlaps_of_parts
from compiler.ordering.prices import JUMP, Tool, price
from compiler.passes.boxes import Boxes, kinds


@dataclass(frozen=True, slots=True)
class ChainOrder:
    """What became of a chain with weights, or of its rules of one family where these are asked apart. `weights`:
    packets whose way ended at each rule, in the order that is loaded; `ordering` has places of that order."""

    chain: str
    weights: tuple[Fraction, ...]
    ordering: Ordering


def in_order(
    ruleset: Ruleset, tool: Tool, threshold: Fraction, loaded: Mapping[str, Sequence[int]]
) -> tuple[Ruleset, tuple[ChainOrder, ...]]:
    """The ruleset with every chain in its new order, and what that is worth. `loaded`: of chains by name, the rules as
    they stand now, by their places."""
    found = _Orders(ruleset, tool, threshold, loaded)
    chains = tuple(found.chain(chain) for chain in ruleset.chains)
    return replace(ruleset, chains=chains), tuple(found.told)


class _Orders:
    def __init__(self, ruleset: Ruleset, tool: Tool, threshold: Fraction, loaded: Mapping[str, Sequence[int]]) -> None:
        self.told: list[ChainOrder] = []
        self._tool, self._threshold, self._loaded = tool, threshold, loaded
        self._found = Boxes(ruleset)
        self._native = _native(ruleset)
        self._ending = _Ending(ruleset)
        self._maps = {found.name: found for found in ruleset.maps}

    def chain(self, chain: Chain) -> Chain:
        """The chain in its new order."""
        filters = chain.hook is not None and chain.table is Table.FILTER
        if filters or len(chain.rules) < 2 or not any(rule.weight for rule in chain.rules):
            return chain
        row = tuple(n for places in self._apart(chain) for n in self._row(places, chain))
        return replace(chain, rules=tuple(chain.rules[n] for n in row))

    def _apart(self, chain: Chain) -> list[list[int]]:
        """Rules that packets are compared with one after the other: with iptables, those of a family."""
        families = {rule.family or chain.family for rule in chain.rules}
        if self._tool is Tool.NFTABLES or None in families:
            return [list(range(len(chain.rules)))]
        return [
            [n for n, rule in enumerate(chain.rules) if (rule.family or chain.family) is family] for family in Family
        ]

    def _row(self, places: Sequence[int], chain: Chain) -> Sequence[int]:
        """These rules of the chain in their new order."""
        boxes = {n: self._boxes(chain.rules[n], chain) for n in places}
        place = {n: at for at, n in enumerate(places)}
        now = [n for n in self._loaded.get(chain.name, ()) if n in place]
        if not _keeps([boxes[n] for n in places], [place[n] for n in now]):
            now = list(places)
        rules = [chain.rules[n] for n in now]
        weights = [self._ending.at(rule) for rule in rules]
        costs = [self._cost(rule) for rule in rules]
        around, parts = [boxes[n][0] for n in now], [_parts(boxes[n]) for n in now]
        ordering = ordered(around, weights, costs, self._threshold, parts=parts) if len(rules) > 1 else None
        if ordering is None:
            return places
        self.told.append(ChainOrder(chain.name, tuple(weights), ordering))
        return [now[n] for n in ordering.row]

    def _boxes(self, rule: Rule | Lookup, chain: Chain) -> tuple[Box, ...]:
        """Everything for what may come back from a rule of one tool: with other addresses, maybe."""
        if isinstance(rule, Lookup):
            verdicts = [verdict for _, verdict in self._maps[rule.map].elements]
        else:
            verdicts = [rule.verdict]
        barrier = any(isinstance(verdict, Jump) and verdict.chain in self._native for verdict in verdicts)
        return (EVERYTHING,) if barrier else self._found.of(rule, chain)

    def _cost(self, rule: Rule | Lookup) -> int:
        """What the rule costs a packet that it does not match; one that it always matches also pays for the way."""
        asked = kinds(rule, self._tool)
        jumps = isinstance(rule, Rule) and isinstance(rule.verdict, Jump) and not asked
        return price(self._tool, asked) + (JUMP[self._tool] if jumps else 0)


def _parts(boxes: tuple[Box, ...]) -> tuple[Box, ...]:
    """What the first box is around, if that is more than one."""
    return boxes[1:] or boxes


def _keeps(boxes: Sequence[tuple[Box, ...]], row: Sequence[int]) -> bool:
    """Whether rules that overlap keep their order in the row; pairs are looked for only among those that hang
    together."""
    at = {number: place for place, number in enumerate(row)}
    if len(at) != len(boxes):
        return False
    for group in groups([own[0] for own in boxes]):
        moved = sorted(range(len(group)), key=[at[n] for n in group].__getitem__)
        if moved == list(range(len(group))):
            continue
        before, seen = overlaps_of_parts([_parts(boxes[n]) for n in group]), 0
        for number in moved:
            if before[number] & ~seen:
                return False
            seen |= 1 << number
    return True


def _native(ruleset: Ruleset) -> Collection[str]:
    """Chains with a rule of one tool, or from which one may be met."""
    found = {chain.name for chain in ruleset.chains if any(map(_is_native, chain.rules))}
    ways = {chain.name: targets(ruleset, chain) for chain in ruleset.chains}
    more = True
    while more:
        new = {name for name, ahead in ways.items() if name not in found and not found.isdisjoint(ahead)}
        found |= new
        more = bool(new)
    return found


def _is_native(rule: Rule | Lookup) -> bool:
    return isinstance(rule, Rule) and any(isinstance(effect, Native) for effect in rule.effects)


class _Ending:
    """Where packets end, as far as weights tell."""

    def __init__(self, ruleset: Ruleset) -> None:
        entered: dict[str, Fraction] = {}
        for rule in (rule for chain in ruleset.chains for rule in chain.rules):
            if isinstance(rule, Rule) and isinstance(rule.verdict, Jump | Goto):
                entered[rule.verdict.chain] = entered.get(rule.verdict.chain, Fraction(0)) + _weight(rule)
        #: Of packets that enter a chain by a jump, the part that does not come back.
        self._share: dict[str, Fraction] = {}
        for chain in _from_the_last(ruleset):
            ended = sum(map(self._gone, chain.rules), Fraction(0))
            all_ = entered.get(chain.name)
            self._share[chain.name] = min(ended / all_, Fraction(1)) if all_ else Fraction(0)

    def at(self, rule: Rule | Lookup) -> Fraction:
        """Packets whose way through the rule's chain ends there; nobody knows it of a lookup."""
        if isinstance(rule, Lookup) or rule.verdict == Continue():
            return Fraction(0)
        return _weight(rule) * self._share[rule.verdict.chain] if isinstance(rule.verdict, Jump) else _weight(rule)

    def _gone(self, rule: Rule | Lookup) -> Fraction:
        """Of these packets, those that do not come back to where the chain was jumped from."""
        if isinstance(rule, Lookup) or rule.verdict == Return():
            return Fraction(0)
        return _weight(rule) * self._share[rule.verdict.chain] if isinstance(rule.verdict, Goto) else self.at(rule)


def _weight(rule: Rule | Lookup) -> Fraction:
    return Fraction(rule.weight or 0)


def _from_the_last(ruleset: Ruleset) -> Iterator[Chain]:
    """Every chain behind those that it leads to. Without recursion: chains may be thousands long."""
    chains = {chain.name: chain for chain in ruleset.chains}
    done: set[str] = set()
    for first in chains:
        ways = [(first, iter(targets(ruleset, chains[first])))] if first not in done else []
        while ways:
            name, ahead = ways[-1]
            following = next((one for one in ahead if one not in done), None)
            if following is not None:
                ways.append((following, iter(targets(ruleset, chains[following]))))
            else:
                ways.pop()
                if name not in done:
                    done.add(name)
                    yield chains[name]
