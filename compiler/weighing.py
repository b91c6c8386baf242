"""What compiled rules counted -> weights of the rules that they are printed from, in the IR.

A profile is of what an earlier compile brought into the kernel. Its rules are found again by chain and words, so one
that has changed since then counts nothing, and neither do rules of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from compiler.backends import iptables, nftables
from compiler.backends.iptables_rules import PREFIX
from compiler.backends.target import Backend
from compiler.backends.text import Printed
from compiler.ir.ruleset import Chain, Ruleset
from compiler.profiles.profiles import Key, Profile, numbered, smoothed
from compiler.profiles.words import of_iptables_text
from grammar.ruletext import Refused

#: Which tools have the rules of a back end.
TOOLS = {Backend.NFTABLES: ("nft",), Backend.IPTABLES: ("iptables", "ip6tables")}


@dataclass(frozen=True, slots=True)
class Weighed:
    """`loaded`: of each chain, its rules in the order in which the last profile has them, by their places; those that
    it does not have stand where they are. `found`: printed rules that a profile counted, of `rules` of the tools that
    profiles are of. `strange`: rules of our chains in profiles that are not printed any more, and the packets that they
    count for in `lost`."""

    ruleset: Ruleset
    loaded: Mapping[str, tuple[int, ...]]
    rules: int
    found: int
    strange: int
    lost: Fraction


def weighed(ruleset: Ruleset, backend: Backend, profiles: Sequence[Profile], half_life: int) -> Weighed:
    """The ruleset, which can be printed, with weights. `half_life` in seconds; profiles with the oldest first. Raises
    OutOfOrder where they are not."""
    weights: dict[tuple[int, int], Fraction] = {}
    ranks: list[Mapping[tuple[int, int], int]] = []
    printed = list((nftables if backend is Backend.NFTABLES else iptables).rules(ruleset))
    every = found = strange = 0
    lost = Fraction(0)
    for tool in TOOLS[backend]:
        own = [profile for profile in profiles if profile.tool == tool]
        if not own:
            continue
        packets = smoothed(own, half_life)
        rank = {key: n for n, key in enumerate(own[-1].counts)}
        places = {key: one.at for key, one in _keys(one for one in printed if one.tool == tool)}
        every += len(places)
        for key, at in places.items():
            if key in packets:
                found += 1
                weights[at] = weights.get(at, Fraction(0)) + packets[key]
        ranks.append({at: rank[key] for key, at in places.items() if key in rank})
        left = [many for key, many in packets.items() if key not in places and _is_ours(key)]
        strange, lost = strange + len(left), lost + sum(left)
    chains = tuple(_weighed(chain, n, weights) for n, chain in enumerate(ruleset.chains))
    loaded = {chain.name: _loaded(n, len(chain.rules), ranks) for n, chain in enumerate(ruleset.chains)}
    return Weighed(replace(ruleset, chains=chains), loaded, every, found, strange, lost)


def _keys(printed: Iterable[Printed]) -> Iterator[tuple[Key, Printed]]:
    """With the key of each: in the words of the profile."""
    rules = list(printed)
    return zip(numbered((one.table, one.chain, _words(one)) for one in rules), rules, strict=True)


def _words(printed: Printed) -> str:
    """A rule of one tool may be anything."""
    try:
        return printed.text if printed.tool == "nft" else of_iptables_text(printed.text)
    except Refused:
        return printed.text


def _is_ours(key: Key) -> bool:
    return key.table == nftables.TABLE or key.chain.startswith(PREFIX)


def _weighed(chain: Chain, number: int, weights: Mapping[tuple[int, int], Fraction]) -> Chain:
    found = ((rule, weights.get((number, place))) for place, rule in enumerate(chain.rules))
    new = (rule if weight is None else replace(rule, weight=float(weight)) for rule, weight in found)
    return replace(chain, rules=tuple(new))


def _loaded(chain: int, rules: int, ranks: Iterable[Mapping[tuple[int, int], int]]) -> tuple[int, ...]:
    """The places of a chain, those of each family that its profile has in the order there."""
    row = list(range(rules))
    for rank in ranks:
        slots = [place for place in range(rules) if (chain, place) in rank]
        for slot, place in zip(
            slots, sorted(slots, key=[rank.get((chain, n), 0) for n in row].__getitem__), strict=True
        ):
            row[slot] = place
    return tuple(row)
