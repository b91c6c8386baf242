"""iptables-save text -> the same text with the rules of its chains in the order that costs least.

A rule moves with its counters and comments; each chain is ordered for itself. Packet counters are the weights of rules
that end a packet's way through the chain; of a jump, the part of its packets that ended in the chain it leads to, as
far as counters tell (`shares`). What overlaps keeps its order, so each rule goes on matching exactly the packets that
it matched, and counters stay true.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

from compiler.optimizing.asked import Asked, asked
from compiler.ordering.jobs import Jobs
from compiler.ordering.order import Ordering, order_apart
from compiler.ordering.overlap import groups, overlaps
from compiler.ordering.prices import JUMP, Tool, price
from grammar.iptables import Command, tables
from grammar.ruletext import Place
from grammar.source import Source

#: More rules than these, each overlapping some other, are not ordered: all their pairs take a bit each.
LARGEST = 20_000


@dataclass(frozen=True, slots=True)
class ChainOrder:
    """A chain of more than one rule. `barriers`: the rules that nothing moves past; `weights`: packets whose way
    through the chain ended at each rule, as written; costs of `ordering` are what all of them together spend on
    comparing, in the unit of `prices`."""

    table: str
    chain: str
    barriers: tuple[Place, ...]
    weights: tuple[Fraction, ...]
    ordering: Ordering

    @property
    def rules(self) -> int:
        return len(self.weights)

    @property
    def counted(self) -> Fraction:
        """Packets that ended in the chain."""
        return sum(self.weights, Fraction(0))

    @property
    def moved(self) -> int:
        """The fewest rules that change places: all but those of a longest row that keeps its order."""
        ends: list[int] = []  # of rows of each length, the least last rule
        for job in self.ordering.row:
            at = bisect_left(ends, job)
            ends[at : at + 1] = [job]
        return len(self.weights) - len(ends)

    def asked(self, row: Iterable[int]) -> Fraction:
        """Rules that a packet that ends in the chain is compared with in this order, on average. ZeroDivisionError
        where none is counted."""
        return sum((self.weights[job] * at for at, job in enumerate(row, 1)), Fraction(0)) / self.counted


@dataclass(frozen=True, slots=True)
class Reordered:
    """`left`: table and chain of those that stay as they are, since too many rules hang together in them, or since the
    text inserts rules there."""

    text: str
    chains: tuple[ChainOrder, ...]
    left: tuple[tuple[str, str], ...] = ()


def reorder(source: Source, tool: Tool, threshold: Fraction = Fraction(0)) -> Reordered:
    """The text with every chain in its new order, or as it was where that does not save more than the `threshold`, a
    part of the cost. Raises Refused for what is no iptables-save."""
    found: list[ChainOrder] = []
    left: list[tuple[str, str]] = []
    pieces: list[tuple[int, int, str]] = []
    for table in tables(source):
        chains: dict[str, list[Command]] = {}
        for command in table.commands:
            if command.verb in ("-A", "-I"):
                chains.setdefault(command.chain.text, []).append(command)
        known = shares(chains, {command.chain.text for command in table.commands if command.verb == "-N"})
        for name, commands in chains.items():
            if len(commands) < 2:
                continue
            inserted = any(command.verb == "-I" for command in commands)
            own = None if inserted else _ordered(table.name.text, name, commands, known, tool, threshold)
            if own is None:
                left.append((table.name.text, name))
                continue
            found.append(own)
            for place, job in zip((command.place for command in commands), own.ordering.row, strict=True):
                pieces.append((place.start, place.end, commands[job].place.text))
    text, at = [], 0
    for start, end, line in sorted(pieces):
        text += [source.text[at:start], line]
        at = end
    return Reordered("".join([*text, source.text[at:]]), tuple(found), tuple(left))


def shares(chains: Mapping[str, Sequence[Command]], named: Collection[str]) -> dict[str, Fraction]:
    """Chains of a table's own that leave the addresses of packets alone, with the share of the packets that enter it
    and end there: those of its rules that end them and do not return, and its jumps' shares. From the last chain that
    jumps lead to, backwards; a chain in a circle is not among them."""
    entered: dict[str, int] = {}
    for command in (command for commands in chains.values() for command in commands):
        for option in command.options:
            if option.name in ("-j", "-g", "--jump", "--goto") and option.values:
                entered[option.values[0].text] = entered.get(option.values[0].text, 0) + command.packets
    found: dict[str, Fraction] = {}
    waiting, left = sorted(named), -1
    while len(waiting) != left:
        left = len(waiting)
        for name in waiting:
            rules = [(command, asked(command, found)) for command in chains.get(name, ())]
            if not any(rule.barrier for _, rule in rules):
                ended = sum(_ended(command, rule, found) for command, rule in rules if not _returns(command))
                found[name] = min(Fraction(ended) / entered[name], Fraction(1)) if entered.get(name) else Fraction(0)
        waiting = [name for name in waiting if name not in found]
    return found


def _ended(command: Command, rule: Asked, known: Mapping[str, Fraction]) -> Fraction:
    """Packets whose way through the chain ended here."""
    if rule.ends:
        return Fraction(command.packets)
    return command.packets * known[rule.to] if rule.to else Fraction(0)


def _returns(command: Command) -> bool:
    return any(option.values and option.values[0].text == "RETURN" for option in command.options)


def _ordered(
    table: str, chain: str, commands: Sequence[Command], known: Mapping[str, Fraction], tool: Tool, threshold: Fraction
) -> ChainOrder | None:
    """None when more rules hang together than fit into memory as pairs."""
    rules = [asked(command, known) for command in commands]
    weights = [_ended(command, rule, known) for command, rule in zip(commands, rules, strict=True)]
    factor = lcm(*(weight.denominator for weight in weights))  # groups have one unit
    boxes, costs = [rule.box for rule in rules], [_cost(rule, tool) for rule in rules]
    apart = []
    hanging = groups(boxes)
    if max(map(len, hanging)) > LARGEST:
        return None
    for group in hanging:
        before = overlaps([boxes[n] for n in group])
        jobs = Jobs.of([int(weights[n] * factor) for n in group], [costs[n] for n in group], before)
        apart.append((group, replace(jobs, unit=jobs.unit / factor)))
    barriers = tuple(command.place for command, rule in zip(commands, rules, strict=True) if rule.barrier)
    ordering = order_apart(apart, threshold)
    return ChainOrder(table, chain, barriers, tuple(weights), ordering)


def _cost(rule: Asked, tool: Tool) -> int:
    """What the rule costs a packet that it does not match; one that it always matches also pays for the way there."""
    return price(tool, rule.kinds) + (JUMP[tool] if rule.to and not rule.kinds else 0)
