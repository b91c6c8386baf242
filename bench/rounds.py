"""Measuring in turns: every round visits every contender once, so that whatever else the machine does meets all.

A visit opens a connection per packet ("first"), answers each unmeasured, and sends on them again ("established"); then
the node forgets them. Packets go in bursts of `BURST`, each timed on its own. A visit counts as the lower
quartile of its bursts, which bursts that something else interrupted do not move.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.wire import Flow, Node, Packets

BURST = 250


@dataclass(frozen=True, slots=True)
class Traffic:
    """Packets of connections and of the answers to them. `passes`: whether they are to arrive."""

    there: Packets
    back: Packets
    passes: bool = True

    @classmethod
    def of(cls, flows: Sequence[Flow], passes: bool = True) -> Traffic:
        return cls(Packets.of(flows), Packets.of([flow.reversed() for flow in flows]), passes)


@dataclass(slots=True)
class Contender:
    """One ruleset on its node; `first` and `established` are nanoseconds a packet, one value a round."""

    name: str
    node: Node
    traffic: Traffic
    packets: int = 0
    first: list[float] = field(default_factory=list)
    established: list[float] = field(default_factory=list)

    def calibrate(self, nanoseconds: float, most: int) -> None:
        """Fixes how many packets a visit sends: what fits into `nanoseconds`, and at most `most`."""
        each = self._bursts(BURST)
        self.node.forget()
        whole = int(nanoseconds / each) // BURST * BURST
        self.packets = max(2 * BURST, min(whole, most, self.traffic.there.count))

    def visit(self) -> None:
        """One round's measurement. AssertionError when packets do not meet the fate they should."""
        self.first.append(self._measure())
        if self.traffic.passes:
            for first in range(0, self.packets, BURST):
                self.node.answer(self.traffic.back, first, BURST)
            self.established.append(self._measure())
        self.node.forget()

    def _measure(self) -> float:
        before = self.node.forwarded()
        found = self._bursts(self.packets)
        passed, expected = self.node.forwarded() - before, self.packets if self.traffic.passes else 0
        assert passed == expected, f"{self.name}: {passed} of {self.packets} packets passed, expected {expected}"
        return found

    def _bursts(self, count: int) -> float:
        """Nanoseconds a packet: the lower quartile of the bursts."""
        there, passes = self.traffic.there, self.traffic.passes
        times = [self.node.send(there, first, BURST, passes) for first in range(0, count, BURST)]
        return statistics.quantiles(times, n=4)[0] / BURST if len(times) > 1 else times[0] / BURST


def race(contenders: Sequence[Contender], rounds: int) -> None:
    """Visits all in turn, `rounds` times, starting with another one each time."""
    for number in range(rounds):
        shift = number % len(contenders)
        for contender in (*contenders[shift:], *contenders[:shift]):
            contender.visit()


@dataclass(frozen=True, slots=True)
class Figure:
    """Nanoseconds a packet (best and median of the rounds), and the median of the rounds' ratios to the baseline
    with its quartiles: a ratio compares two visits of one round, so slow drift cancels out."""

    best: float
    median: float
    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], baseline: Sequence[float]) -> Figure:
        ratios = sorted(one / other for one, other in zip(values, baseline, strict=True))
        low, ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        return cls(min(values), statistics.median(values), ratio, low, high)
