"""All that is done to a listing: rules that are not needed go, and those that are left come in order.

A new order may let rules become one that could not before, and a rule less may let others change places; so both are
done until neither finds anything. Done again, the result stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from compiler.optimizing.chains import Chain, Listing
from compiler.optimizing.passes.shadow import counted_at_the_end
from compiler.optimizing.passes.simplify import Pass, Simplified, Simplifier
from compiler.optimizing.relax import relaxing
from compiler.optimizing.reorder import ChainOrder, Reordered, ended, reorder, settled, shares
from compiler.ordering.prices import Tool

#: Twice is usual, that the second time nothing is found.
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Optimized:
    """`orders`: None where no order was asked for; of a chain that was put in order several times, where it changed
    last. `before`, `after`: what comparing cost as written, and in the order that was written without rules that are
    not needed."""

    simplified: Simplified
    orders: Reordered | None
    before: Fraction
    after: Fraction

    @property
    def listing(self) -> Listing:
        return self.orders.listing if self.orders else self.simplified.listing


def optimize(
    listing: Listing,
    passes: Collection[Pass],
    threshold: Fraction | None,
    weigh: Callable[[Listing], Listing] | None = None,
    counters: bool = False,
    relax: bool = False,
) -> Optimized:
    """By these passes, and in order unless `threshold` is None. `weigh` says again how often rules match, where that
    depends on the rules; by what it says of both the result costs no more than the listing: else no rule goes, and
    where that is not enough, none moves. `counters` as in `simplify`; `relax`: rules that do the same may change
    places."""
    if weigh is None:
        return _optimized(listing, passes, threshold, _as_it_is, counters, relax)
    before = spent(weigh(listing))
    found = _optimized(listing, passes, threshold, weigh, counters, relax)
    for least in (threshold, None):
        if spent(weigh(found.listing)) <= before:
            break
        found = _optimized(listing, (), least, weigh, counters, relax)
    return found


def _as_it_is(listing: Listing) -> Listing:
    return listing


def _optimized(
    listing: Listing,
    passes: Collection[Pass],
    threshold: Fraction | None,
    weigh: Callable[[Listing], Listing],
    counters: bool,
    relax: bool,
) -> Optimized:
    weighed = weigh(listing)
    simplifier = Simplifier(passes, counters)
    found = simplifier.simplify(weighed)
    costs = spent(weighed), spent(found.listing)
    if threshold is None:
        return Optimized(found, None, *costs)
    orders: dict[tuple[str, str], ChainOrder] = {}
    for _ in range(_ROUNDS):
        own = weigh(found.listing)
        last = reorder(own, threshold, relaxing(own, threshold)) if relax else reorder(own, threshold)
        for chain in last.chains:
            if chain.moved or (chain.table, chain.chain) not in orders:
                orders[chain.table, chain.chain] = chain
        more = simplifier.simplify(weigh(last.listing))
        weighs_the_same = own is found.listing or not any(chain.moved for chain in last.chains)
        if not more.changes and weighs_the_same:  # another order may have other weights
            break
        found = Simplified(more.listing, (*found.changes, *more.changes), more.deserted)
    still = [orders[chain.table, chain.chain] for chain in last.chains]
    return Optimized(found, Reordered(last.listing, tuple(still), last.left), *costs)


def spent(listing: Listing) -> Fraction:
    """What all packets together spend on comparing, in the unit of `prices`, by the weights of rules and policies: also
    those that meet all rules of a chain."""
    return sum((_spent(chains, listing.tool) for chains in listing.blocks().values()), Fraction(0))


def _spent(chains: Sequence[Chain], tool: Tool) -> Fraction:
    known = shares(chains)
    entered = {chain.name: Fraction(0) for chain in chains}
    for rule in (rule for chain in chains for rule in chain.rules):
        for name in rule.asked.to:
            entered[name] = entered.get(name, Fraction(0)) + rule.matched
    whole = Fraction(0)
    for chain in chains:
        asked = [settled(rule.asked, known) for rule in chain.rules]
        ends = [ended(rule, one, known) for rule, one in zip(chain.rules, asked, strict=True)]
        through = max(entered[chain.name] - sum(ends), Fraction(0)) if chain.own else counted_at_the_end(chain)
        costs = accumulate(one.cost(tool) for one in asked)
        at = 0
        for at, many in zip(costs, ends, strict=True):
            whole += at * many
        whole += at * through
    return whole
