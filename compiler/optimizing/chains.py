"""Rules of any tool as values. Readers make them of a text (`iptables_rules`, `nftables_rules`), passes and orders make
others of them, and `Listing.written` is the text again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from compiler.ordering.overlap import Box
from compiler.ordering.prices import JUMP, Kind, Tool, price
from grammar import nftables_tree
from grammar.iptables import Command
from grammar.ruletext import Place
from grammar.source import Source


class Asked(NamedTuple):
    """What an order needs to know of a rule. `box` holds all packets that it matches, and maybe more; so do `parts`
    together, boxes within it, if there are any. `ends`: a packet
    that matches goes no further in the chain. `to`: chains of the table's own that it may go to. `barrier`: nothing
    moves past the rule."""

    box: Box
    kinds: tuple[Kind, ...]
    ends: bool = False
    to: tuple[str, ...] = ()
    barrier: bool = False
    parts: tuple[Box, ...] = ()

    def cost(self, tool: Tool) -> int:
        """What the rule costs a packet that it does not match; one that it always matches also pays for the way to a
        chain. In the unit of `prices`."""
        return price(tool, self.kinds) + (JUMP[tool] if self.to and not self.kinds else 0)

    def most(self, tool: Tool) -> int:
        """What all its questions cost, of a packet that does not meet the last."""
        return sum(price(tool, (kind,)) for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Rule:
    """`place`: where it stands in the text that was read; `text`: how it is to be written, with its counters. `said`:
    its tree, None where the reader does not understand it. `counted`: whether it has a counter; `packets` and `bytes`
    are 0 without. `does`: of two rules with the same words here packets that match fare the same. `returns`: what
    matches goes back to the chain that it came from. `weight`: packets that match by what another text counted, or by
    an estimate; None: by the text's own counters."""

    place: Place
    text: str
    said: Command | nftables_tree.Rule | None
    asked: Asked
    counted: bool = False
    packets: int = 0
    bytes: int = 0
    does: str = ""
    comment: str = ""
    returns: bool = False
    weight: int | Fraction | None = None

    @property
    def matched(self) -> int | Fraction:
        """Packets that are taken to match."""
        return self.packets if self.weight is None else self.weight


@dataclass(frozen=True, slots=True)
class Policy:
    """What a chain of a hook does with packets that come to its end. `place`, `text`: the words that set it, as they
    stand and as they are to be written, with its counters; the numbers are 0 without. `does`: as of a rule that does
    the same."""

    place: Place
    text: str
    does: str
    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """`table` has the family in front where the tool has several; a text may have several tables of one name: rules
    lead only to chains of the same `block`. `own`: it hangs on no hook, rules lead to it. `slots`: where the text has
    rules of the chain, in their order; never fewer than there are `rules`. `fixed`: why places do not tell in which
    order rules are asked, or nothing: then they stay as they are. `policy`: None where the text does not say it, once
    and for all."""

    block: int
    table: str
    name: str
    own: bool
    rules: tuple[Rule, ...]
    slots: tuple[Place, ...]
    fixed: str = ""
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A text and its chains. `notes`: what is said about the text as a whole."""

    source: Source
    tool: Tool
    chains: tuple[Chain, ...]
    notes: tuple[str, ...] = ()

    def blocks(self) -> dict[int, list[Chain]]:
        """The chains that rules may lead to each other from, by their number."""
        found: dict[int, list[Chain]] = {}
        for chain in self.chains:
            found.setdefault(chain.block, []).append(chain)
        return found

    def written(self) -> str:
        """The text, with the rules of each chain in its slots; what is left of these is cut out, a line if it has
        nothing else."""
        whole = self.source.text
        text, at = [], 0
        for start, end, new in sorted(piece for chain in self.chains for piece in self._pieces(chain)):
            text += [whole[at:start], new]
            at = end
        return "".join([*text, whole[at:]])

    def _pieces(self, chain: Chain) -> Iterator[tuple[int, int, str]]:
        if chain.policy is not None:
            yield chain.policy.place.start, chain.policy.place.end, chain.policy.text
        for slot, rule in zip(chain.slots, chain.rules, strict=False):
            yield slot.start, slot.end, rule.text
        for slot in chain.slots[len(chain.rules) :]:
            yield (*self._cut(slot), "")

    def _cut(self, slot: Place) -> tuple[int, int]:
        whole = self.source.text
        start = whole.rfind("\n", 0, slot.start) + 1
        end = whole.find("\n", slot.end) + 1 or len(whole)
        alone = not (whole[start : slot.start] + whole[slot.end : end]).strip()
        return (start, end) if alone else (slot.start, slot.end)
