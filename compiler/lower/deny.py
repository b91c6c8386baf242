"""The end of every denied packet: dropped or answered, unless no policy may deny it.

"A pod always reaches itself" and IPv6's neighbour discovery are checked here and not in front, so that only packets
about to be dropped pay for it. With sets of address pairs the first is one lookup; without, a tree of chains over
the destination, four bits a level, or where the addresses are not known, a comparison of the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from compiler.backends.target import Capabilities
from compiler.ir.effects import Effect, Log
from compiler.ir.match import Field, HasBit, InPrefix, InSet, IsProtocol, NeighbourDiscovery, Per, Rate
from compiler.ir.names import Namer
from compiler.ir.ruleset import Answer, Chain, Drop, Goto, Reject, Return, Rule, Set
from compiler.net import TCP, Family, Prefix
from compiler.resolve.classes import PodClass

DENY = "deny"
_ROW = 16  # address rules in a row before a tree is cheaper
_LEVEL = 4  # bits a level
_NOTE = "a pod always reaches itself"
_PAIR = (Field.SOURCE, Field.DESTINATION)
#: What copies of denied packets are marked with, and how many there are at most.
DENIED = "netpolc denied"
LOG_RATE = Rate(10, Per.SECOND, 20)
_NEAREST = dict.fromkeys((Answer.NET_PROHIBITED, Answer.HOST_PROHIBITED), Answer.ADMIN_PROHIBITED)


@dataclass(frozen=True, slots=True)
class Denials:
    """What denies beside Kubernetes' policies, and whom: every pod with one of the addresses `own`, whatever selects
    it. For each of `answers` there is a chain that rejects."""

    answers: Collection[Answer] = ()
    own: Mapping[Family, Collection[int]] = field(default_factory=dict)


NONE_BESIDES = Denials()


def answering(answer: Answer) -> str:
    """The name of the chain that is the end of packets that are answered so."""
    return f"no-{answer.value.removeprefix('icmp-')}"


class Deny:
    """`chains` and `sets` of the end of denied packets; the first chain is `deny`. `by_hand`: the addresses of the
    pods are not known yet, so their pairs are a set to be filled; without sets of pairs, both addresses are compared
    bit by bit. `log_group`: the NFLOG group that gets copies of denied packets, `LOG_RATE` at most."""

    def __init__(
        self,
        classes: Sequence[PodClass],
        families: Sequence[Family],
        capabilities: Capabilities,
        by_hand: bool = False,
        denials: Denials = NONE_BESIDES,
        log_group: int | None = None,
    ) -> None:
        self._namer = Namer()
        self._families = families
        self._own = {
            family: sorted({*denials.own.get(family, ()), *(a for pods in classes for a in pods.addresses(family))})
            for family in families
        }
        self._pairs = capabilities.pair_sets
        self._by_hand = by_hand
        self.sets = list(self._sets())
        self._below: list[Chain] = []
        told = () if log_group is None else (Log(DENIED, log_group, LOG_RATE),)
        drop = self._chain(DENY, (Rule((), Drop(), effects=told),), f"what no policy allows; {_NOTE}")
        ends = [
            self._chain(answering(answer), tuple(rejecting(answer, told)), f"what a policy rejects; {_NOTE}")
            for answer in denials.answers
        ]
        self.chains = (drop, *ends, *self._below)

    def _sets(self) -> Iterator[Set]:
        note = f"{_NOTE}: to be filled with every pod's address, twice" if self._by_hand else _NOTE
        for family, own in self._own.items():
            if self._pairs and (own or self._by_hand):
                yield Set(f"self{family.value}", family, _PAIR, tuple((a, a) for a in own), (note,), self._by_hand)

    def _chain(self, name: str, ends: Sequence[Rule], note: str) -> Chain:
        """The chain of that name, where `ends` wait for what is not let go."""
        known = {found.family: found.name for found in self.sets}
        rules = [Rule((NeighbourDiscovery(),), Return(), Family.IPV6)] if Family.IPV6 in self._families else []
        for family, own in self._own.items():
            if family in known:
                rules.append(Rule((InSet(_PAIR, known[family]),), Return(), family))
            elif self._by_hand:
                rules.extend(_apart(family, ends))
            else:
                rules.extend(self._among(family, own, name, ends))
        last = (Rule((), Return()),) if self._by_hand and not self._pairs else ends
        return Chain(name, (*rules, *last), notes=(note,))

    def _among(self, family: Family, own: Sequence[int], top: str, ends: Sequence[Rule]) -> Iterator[Rule]:
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
            key = str(prefix) if top == DENY else f"{top} {prefix}"
            name = self._namer.name(f"d{family.value}", "deny", key)
            rules = (*self._among(family, inside, top, ends), *_of(family, ends))
            self._below.append(Chain(name, rules, family=family, notes=(f"what no policy allows, to {prefix}",)))
            yield Rule((InPrefix(Field.DESTINATION, prefix),), Goto(name), family)


def rejecting(answer: Answer, effects: tuple[Effect, ...] = ()) -> Iterator[Rule]:
    """Rules that end every packet, after these effects. Where the family has no such answer it is the nearest (RFC
    7915, 4.2); a reset is for TCP alone."""
    matches = (IsProtocol(TCP),) if answer is Answer.TCP_RESET else ()
    yield Rule(matches, Reject(answer), answer.family, effects=effects)
    if matches or answer.family is not None:
        yield Rule((), Reject(_NEAREST.get(answer, Answer.PORT_UNREACHABLE)), effects=effects)


def _of(family: Family, ends: Sequence[Rule]) -> Iterator[Rule]:
    """The rules that are for packets of the family, in its words."""
    return (replace(rule, family=family) for rule in ends if rule.family in (None, family))


def _apart(family: Family, ends: Sequence[Rule]) -> Iterator[Rule]:
    """Ends what has two different addresses. The last bits come first, which tell most pods of a cluster apart."""
    for bit, one in product(range(family.bits), (True, False)):
        matches = (HasBit(Field.SOURCE, bit, one), HasBit(Field.DESTINATION, bit, not one))
        for end in _of(family, ends):
            yield replace(end, matches=(*matches, *end.matches), note="two different addresses")
