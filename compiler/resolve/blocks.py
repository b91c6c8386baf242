"""Which ipBlocks, node addresses and resolved ends hold an address, for every address at once.

The blocks and excepts of a class cut the address space into pieces. A piece is named by the longest prefix around
it that occurs in any block or except: all addresses with the same such prefix lie in the same blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from compiler.net import Family, Prefix, prefixes
from compiler.policy import Block, NodeSelector, Resolved
from compiler.resolve.classes import Clause
from compiler.resolve.inventory import Census

#: Clauses of a class, by number.
Clauses = frozenset[int]
Held = TypeVar("Held")


def nested_blocks(inventory: Census, clauses: Sequence[Clause], family: Family) -> tuple[tuple[Prefix, Clauses], ...]:
    """(prefix, clauses that hold where it is the longest occurring prefix), sorted, the empty prefix first."""
    root = Prefix(family.value, 0, 0)
    adds: dict[Prefix, set[int]] = {root: set()}
    cuts: dict[Prefix, set[int]] = {}
    owner: list[int] = []
    for number, block in _blocks(inventory, clauses, family):
        adds.setdefault(block.prefix, set()).add(len(owner))
        for cut in block.excepts:
            adds.setdefault(cut, set())
            cuts.setdefault(cut, set()).add(len(owner))
        owner.append(number)
    found = []
    around: list[tuple[Prefix, frozenset[int]]] = []
    for prefix in sorted(adds):
        while around and not around[-1][0].covers(prefix):
            around.pop()
        outer = around[-1][1] if around else frozenset()
        inside = (outer | adds[prefix]) - cuts.get(prefix, set())
        around.append((prefix, inside))
        found.append((prefix, frozenset(owner[n] for n in inside)))
    return tuple(found)


def _blocks(inventory: Census, clauses: Sequence[Clause], family: Family) -> Iterator[tuple[int, Block]]:
    for number, clause in enumerate(clauses):
        for peer in clause.rule.peers:
            if isinstance(peer, Block) and peer.prefix.family is family:
                yield number, peer
            elif isinstance(peer, NodeSelector):
                yield from ((number, Block(prefix)) for prefix in inventory.nodes(peer, family))
            elif isinstance(peer, Resolved):
                yield from ((number, Block(prefix)) for prefix in prefixes(peer.addresses.get(family, ()), family))


def flatten(nested: Sequence[tuple[Prefix, Held]], family: Family) -> list[tuple[int, Held]]:
    """The same as disjoint intervals: (first address, what holds), sorted; the last of equal first addresses counts.
    What holds may be anything: clauses here, ports in a reach."""
    spans: list[tuple[int, Held]] = []
    around: list[tuple[int, Held]] = []

    def leave(before: int) -> None:
        while around and around[-1][0] < before:
            end, _ = around.pop()
            if around and end < around[-1][0]:
                spans.append((end + 1, around[-1][1]))

    for prefix, held in nested:
        leave(prefix.base)
        spans.append((prefix.base, held))
        around.append((prefix.base + (1 << family.bits - prefix.length) - 1, held))
    leave(1 << family.bits)
    return spans
