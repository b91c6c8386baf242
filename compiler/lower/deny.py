"""The end of every denied packet: dropped, unless no policy may deny it.

"A pod always reaches itself" and IPv6's neighbour discovery are checked here and not in front, so that only packets
about to be dropped pay for it. With sets of address pairs the first is one lookup; without, a tree of chains over
the destination, four bits a level, or where the addresses are not known, a comparison of the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from compiler.backends.target import Capabilities
from compiler.ir.match import Field, HasBit, InPrefix, InSet, NeighbourDiscovery
from compiler.ir.names import Namer
from compiler.ir.ruleset import Chain, Drop, Goto, Return, Rule, Set
from compiler.net import Family, Prefix
from compiler.resolve.classes import PodClass

DENY = "deny"
_ROW = 16  # address rules in a row before a tree is cheaper
_LEVEL = 4  # bits a level
_NOTE = "a pod always reaches itself"
_PAIR = (Field.SOURCE, Field.DESTINATION)


class Deny:
    """`chains` and `sets` of the end of denied packets; the first chain is `deny`. `by_hand`: the addresses of the
    pods are not known yet, so their pairs are a set to be filled; without sets of pairs, both addresses are compared
    bit by bit."""

    def __init__(
        self,
        classes: Sequence[PodClass],
        families: Sequence[Family],
        capabilities: Capabilities,
        by_hand: bool = False,
    ) -> None:
        self._namer = Namer()
        self.sets: list[Set] = []
        self._below: list[Chain] = []
        rules = [Rule((NeighbourDiscovery(),), Return(), Family.IPV6)] if Family.IPV6 in families else []
        for family in families:
            own = sorted({address for pods in classes for address in pods.addresses(family)})
            if capabilities.pair_sets and (own or by_hand):
                name = f"self{family.value}"
                note = f"{_NOTE}: to be filled with every pod's address, twice" if by_hand else _NOTE
                self.sets.append(Set(name, family, _PAIR, tuple((a, a) for a in own), (note,), by_hand))
                rules.append(Rule((InSet(_PAIR, name),), Return(), family))
            elif by_hand:
                rules.extend(_apart(family))
            else:
                rules.extend(self._among(family, own))
        end = Return() if by_hand and not capabilities.pair_sets else Drop()
        top = Chain(DENY, (*rules, Rule((), end)), notes=(f"what no policy allows; {_NOTE}",))
        self.chains = (top, *self._below)

    def _among(self, family: Family, own: Sequence[int]) -> Iterator[Rule]:
        if len(own) <= _ROW:
            for address in own:
                host = Prefix(family.value, address, family.bits)
                matches = (InPrefix(Field.SOURCE, host), InPrefix(Field.DESTINATION, host))
                yield Rule(matches, Return(), family)
            return
        common = family.bits - (own[0] ^ own[-1]).bit_length()
        length = min(family.bits, common + _LEVEL)
        branches: dict[int, list[int]] = {}
        for address in own:
            branches.setdefault(address >> family.bits - length, []).append(address)
        for head, inside in branches.items():
            prefix = Prefix(family.value, head << family.bits - length, length)
            name = self._namer.name(f"d{family.value}", "deny", str(prefix))
            rules = (*self._among(family, inside), Rule((), Drop(), family))
            self._below.append(Chain(name, rules, family=family, notes=(f"what no policy allows, to {prefix}",)))
            yield Rule((InPrefix(Field.DESTINATION, prefix),), Goto(name), family)


def _apart(family: Family) -> Iterator[Rule]:
    """Drops what has two different addresses. The last bits come first, which tell most pods of a cluster apart."""
    for bit, one in product(range(family.bits), (True, False)):
        matches = (HasBit(Field.SOURCE, bit, one), HasBit(Field.DESTINATION, bit, not one))
        yield Rule(matches, Drop(), family, note="two different addresses")
