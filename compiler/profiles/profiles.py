"""What rules counted, taken from dumps of them, and what several dumps say of now.

Of counters that go on growing, what counts is by how much they grew from one profile to the next. A chain in which one
counter is smaller than before was loaded anew or set to zero meanwhile: then its counters are what was counted since.
(So does Prometheus' `increase`.) Old packets say less of the next ones, so they count less: of profiles p_0 ... p_n,
the oldest first,

    packets = sum over k from 1 to n of (p_k - p_(k-1)) * 2 ** -age_k

the exponential decay of Cohen and Strauss, "Maintaining time-decaying stream aggregates" (2003). age_k is how long p_k
was taken before p_n, in half-lives; where a profile does not know its time, it is n - k for all. What p_0 had counted
by then it counted in an unknown time, so it only tells where to begin; alone, or when nothing was counted since, the
newest one is taken as it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

#: Factors of age are multiples of one by this: what is older than 17 half-lives counts nothing.
_FINEST = 1 << 16


class Key(NamedTuple):
    """By which a rule is found again: `number` counts rules of the chain with the same words, from 0."""

    table: str
    chain: str
    words: str
    number: int = 0


class Count(NamedTuple):
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Profile:
    """`name`: of the file. `tool`: iptables, ip6tables or nft. `counts`: of rules that have counters, those of a chain
    in the order in which they were loaded. `time`: seconds since 1970, None where the file does not tell."""

    name: str
    tool: str
    counts: Mapping[Key, Count]
    time: int | None = None

    @property
    def packets(self) -> int:
        return sum(count.packets for count in self.counts.values())


class OutOfOrder(Exception):
    """A profile is older than the one before it; its message says which."""


def numbered(rules: Iterable[tuple[str, str, str]]) -> Iterator[Key]:
    """The keys of rules, of which table, chain and words are given, those of a chain in their order."""
    met: dict[tuple[str, str, str], int] = {}
    for rule in rules:
        number = met.get(rule, 0)
        met[rule] = number + 1
        yield Key(*rule, number)


def smoothed(profiles: Sequence[Profile], half_life: int) -> dict[Key, Fraction]:
    """Packets of every rule that is in any of the profiles, the oldest profile first. `half_life` in seconds, above 0.
    Raises OutOfOrder."""
    *_, last = profiles
    grown: dict[Key, Fraction] = {}
    seen: dict[Key, int] = {}
    for n, (profile, age) in enumerate(zip(profiles, _ages(profiles, half_life), strict=True)):
        factor = Fraction(round(2.0**-age * _FINEST), _FINEST)
        counts = {key: count.packets for key, count in profile.counts.items()}
        for key, more in _grown(seen, counts) if n else ():
            grown[key] = grown.get(key, Fraction(0)) + more * factor
        seen.update(counts)
    if not any(grown.values()):
        return {key: Fraction(count.packets) for key, count in last.counts.items()}
    return grown


def _ages(profiles: Sequence[Profile], half_life: int) -> list[float]:
    times = [profile.time for profile in profiles if profile.time is not None]
    if len(times) < len(profiles):
        return [float(len(profiles) - 1 - n) for n in range(len(profiles))]
    for before, profile, one, other in zip(profiles, profiles[1:], times, times[1:], strict=False):
        if other < one:
            raise OutOfOrder(f"{profile.name} is older than {before.name}: the oldest profile comes first")
    # Beyond this nothing is left; and 2.0 ** -age has its limits.
    return [min((times[-1] - time) / half_life, 64.0) for time in times]


def _grown(before: Mapping[Key, int], now: Mapping[Key, int]) -> Iterator[tuple[Key, int]]:
    """By how much counters grew; in chains that began anew, all of them."""
    anew = {_chain(key) for key, packets in now.items() if packets < before.get(key, 0)}
    for key, packets in now.items():
        yield key, packets if _chain(key) in anew else packets - before.get(key, 0)


def _chain(key: Key) -> Hashable:
    return key.table, key.chain
