"""iptables-save text -> the same text with the rules of its chains in the order that costs least.

A rule moves with its counters and comments. Each chain is ordered for itself, among rules that end a packet's way
through the chain; all others are barriers, which nothing passes. Packet counters are weights. What overlaps keeps its
order, so each rule goes on matching exactly the packets that it matched, and counters stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from compiler.optimizing.asked import Asked, asked
from compiler.ordering.jobs import Jobs
from compiler.ordering.order import Ordering, order_apart
from compiler.ordering.overlap import groups, overlaps
from compiler.ordering.prices import JUMP, Tool, price
from grammar.iptables import Command, tables
from grammar.source import Source


@dataclass(frozen=True, slots=True)
class ChainOrder:
    """A chain of more than one rule. `counted`: packets that ended in it; costs of `ordering` are tenths of nanoseconds
    that all of them together spend on comparing (`prices`)."""

    table: str
    chain: str
    rules: int
    barriers: int
    counted: int
    ordering: Ordering


@dataclass(frozen=True, slots=True)
class Reordered:
    text: str
    chains: tuple[ChainOrder, ...]


def reorder(source: Source, tool: Tool, threshold: Fraction = Fraction(0)) -> Reordered:
    """The text with every chain in its new order, or as it was where that does not save more than the `threshold`, a
    part of the cost. A chain that the text inserts rules into stays. Raises Refused for what is no iptables-save."""
    found: list[ChainOrder] = []
    pieces: list[tuple[int, int, str]] = []
    for table in tables(source):
        chains: dict[str, list[Command]] = {}
        for command in table.commands:
            if command.verb in ("-A", "-I"):
                chains.setdefault(command.chain.text, []).append(command)
        for name, commands in chains.items():
            if len(commands) < 2 or any(command.verb == "-I" for command in commands):
                continue
            own = _ordered(table.name.text, name, commands, tool, threshold)
            found.append(own)
            for place, job in zip((command.place for command in commands), own.ordering.row, strict=True):
                pieces.append((place.start, place.end, commands[job].place.text))
    text, at = [], 0
    for start, end, line in sorted(pieces):
        text += [source.text[at:start], line]
        at = end
    return Reordered("".join([*text, source.text[at:]]), tuple(found))


def _ordered(table: str, chain: str, commands: Sequence[Command], tool: Tool, threshold: Fraction) -> ChainOrder:
    rules = [asked(command) for command in commands]
    weights = [command.packets if rule.ends else 0 for command, rule in zip(commands, rules, strict=True)]
    boxes, costs = [rule.box for rule in rules], [_cost(rule, tool) for rule in rules]
    apart = []
    for group in groups(boxes):
        before = overlaps([boxes[n] for n in group])
        apart.append((group, Jobs.of([weights[n] for n in group], [costs[n] for n in group], before)))
    barriers = sum(rule.barrier for rule in rules)
    return ChainOrder(table, chain, len(rules), barriers, sum(weights), order_apart(apart, threshold))


def _cost(rule: Asked, tool: Tool) -> int:
    """A barrier asks what is not known here; most are jumps."""
    return JUMP[tool] if rule.barrier else price(tool, rule.kinds)
