"""A listing -> the same with the rules of its chains in the order that costs least.

A rule moves with its counters and comments; each chain is ordered for itself. Packet counters are the weights of rules
that end a packet's way through the chain; of a jump, the part of its packets that ended in the chain it leads to, as
far as counters tell (`shares`). What overlaps keeps its order, so each rule goes on matching exactly the packets that
it matched, and counters stay true.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from compiler.optimizing.chains import Asked, Chain, Listing, Rule
from compiler.ordering.dimensions import EVERYTHING
from compiler.ordering.order import Ordering
from compiler.ordering.ordered import comparisons, moved, ordered
from compiler.ordering.overlap import Box
from compiler.ordering.prices import Tool
from grammar.ruletext import Place

#: Of a chain whose rules have more boxes than these together, each has the one around its own.
_MOST_PARTS = 20_000


@dataclass(frozen=True, slots=True)
class ChainOrder:
    """A chain of more than one rule. `was`: these as they stood; `barriers`: those that nothing moves past; `weights`:
    packets whose way through the chain ended at each rule, as written; costs of `ordering` are what all of them
    together spend on comparing, in the unit of `prices`. `now`: those weights in the new order, where they are others
    (`relax`); then no bound is known."""

    table: str
    chain: str
    was: tuple[Rule, ...]
    barriers: tuple[Place, ...]
    weights: tuple[Fraction, ...]
    ordering: Ordering
    now: tuple[Fraction, ...] = ()

    @property
    def rules(self) -> int:
        return len(self.weights)

    @property
    def counted(self) -> Fraction:
        """Packets that ended in the chain."""
        return sum(self.weights, Fraction(0))

    @property
    def moved(self) -> int:
        """The fewest rules that change places."""
        return moved(self.ordering.row)

    def asked(self) -> tuple[Fraction, Fraction]:
        """Rules that a packet that ends in the chain is compared with on average, as written and in the new order.
        ZeroDivisionError where none is counted."""
        written = comparisons(self.weights, range(self.rules))
        return written / self.counted, comparisons(self.now or self.weights, self.ordering.row) / self.counted


@dataclass(frozen=True, slots=True)
class Reordered:
    """`left`: table and chain of those that stay as they are, and why."""

    listing: Listing
    chains: tuple[ChainOrder, ...]
    left: tuple[tuple[str, str, str], ...] = ()

    @property
    def text(self) -> str:
        return self.listing.written()


def reorder(
    listing: Listing,
    threshold: Fraction = Fraction(0),
    better: Callable[[Chain, ChainOrder], ChainOrder] = lambda _, order: order,
) -> Reordered:
    """The listing with every chain in its new order, or as it was where that does not save more than the `threshold`,
    a part of the cost. `better` may make another one of the order of a chain."""
    found: list[ChainOrder] = []
    left: list[tuple[str, str, str]] = []
    chains: list[Chain] = []
    known = {number: shares(own) for number, own in listing.blocks().items()}
    for chain in listing.chains:
        new = chain
        if len(chain.rules) > 1:
            own = None if chain.fixed else _ordered(chain, known[chain.block], listing.tool, threshold)
            if own is None:
                left.append((chain.table, chain.name, chain.fixed or "too many rules hang together"))
            else:
                own = better(chain, own)
                found.append(own)
                new = replace(chain, rules=tuple(_rules(chain, own)))
        chains.append(new)
    return Reordered(replace(listing, chains=tuple(chains)), tuple(found), tuple(left))


def _rules(chain: Chain, order: ChainOrder) -> Iterator[Rule]:
    for job in order.ordering.row:
        rule = chain.rules[job]
        changed = bool(order.now) and order.now[job] != order.weights[job]
        yield replace(rule, weight=order.now[job]) if changed else rule


def shares(chains: Collection[Chain]) -> dict[str, Fraction]:
    """Chains of a table's own (of one block) that leave the addresses of packets alone, with the share of the packets
    that enter it and end there: those of its rules that end them and do not return, and its jumps' shares. From the
    last chain that jumps lead to, backwards; a chain in a circle is not among them."""
    entered: dict[str, int | Fraction] = {}
    for rule in (rule for chain in chains for rule in chain.rules):
        for name in rule.asked.to:
            entered[name] = entered.get(name, 0) + rule.matched
    found = dict.fromkeys(entered.keys() - {chain.name for chain in chains}, Fraction(0))  # those without a rule
    waiting, left = [chain for chain in chains if chain.own], -1
    while len(waiting) != left:
        left = len(waiting)
        for chain in waiting:
            rules = [(rule, settled(rule.asked, found)) for rule in chain.rules]
            if not any(asked.barrier for _, asked in rules):
                all_ended = sum(ended(rule, asked, found) for rule, asked in rules if not rule.returns)
                all_ = entered.get(chain.name)
                found[chain.name] = min(Fraction(all_ended) / all_, Fraction(1)) if all_ else Fraction(0)
        waiting = [chain for chain in waiting if chain.name not in found]
    return found


def settled(asked: Asked, known: Collection[str]) -> Asked:
    """With `known`, the chains that leave addresses alone: a rule that leads to another one is a barrier."""
    if all(name in known for name in asked.to):
        return asked
    return asked._replace(box=EVERYTHING, to=(), barrier=True, parts=())


def ended(rule: Rule, asked: Asked, known: Mapping[str, Fraction]) -> Fraction:
    """Packets whose way through the chain ended here."""
    if asked.ends:
        return Fraction(rule.matched)
    return rule.matched * max((known[name] for name in asked.to), default=Fraction(0))


def parts(rules: Sequence[Asked]) -> list[tuple[Box, ...]]:
    """The boxes of each rule; none where each has but one, or all too many together."""
    found = [rule.parts or (rule.box,) for rule in rules]
    return found if len(found) < sum(map(len, found)) <= _MOST_PARTS else []


def _ordered(chain: Chain, known: Mapping[str, Fraction], tool: Tool, threshold: Fraction) -> ChainOrder | None:
    """None when more rules hang together than fit into memory as pairs."""
    rules = [settled(rule.asked, known) for rule in chain.rules]
    weights = [ended(rule, asked, known) for rule, asked in zip(chain.rules, rules, strict=True)]
    boxes, costs = [rule.box for rule in rules], [rule.cost(tool) for rule in rules]
    ordering = ordered(boxes, weights, costs, threshold, parts=parts(rules))
    if ordering is None:
        return None
    barriers = tuple(rule.place for rule, asked in zip(chain.rules, rules, strict=True) if asked.barrier)
    return ChainOrder(chain.table, chain.name, chain.rules, barriers, tuple(weights), ordering)
