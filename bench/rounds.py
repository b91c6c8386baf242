"""Measuring in turns: every round visits every contender once, so that whatever else the machine does meets all.

A visit opens a connection per packet between a few hundred pairs of pods, answers each unmeasured, sends on them
again, and then opens connections between pairs that hardly ever repeat; the node forgets what it saw in between.
Packets go in bursts of `BURST`, each timed on its own. A visit counts as the lower quartile of its bursts, which
bursts that something else interrupted do not move.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from bench.wire import Flow, Node, Packets

BURST = 250


class Kind(Enum):
    """Of packet; the value heads a column."""

    FIRST = "first packet, some pairs in use"
    ESTABLISHED = "packet of an established connection"
    COLD = "first packet, always another pair"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Packets of connections between few pairs and of the answers to them, and of connections between many pairs.
    `passes`: whether they are to arrive."""

    there: Packets
    back: Packets
    cold: Packets
    passes: bool = True

    @classmethod
    def of(cls, few: Sequence[Flow], many: Sequence[Flow]) -> Traffic:
        return cls(Packets.of(few), Packets.of([flow.reversed() for flow in few]), Packets.of(many))


@dataclass(slots=True)
class Contender:
    """One ruleset on its node; `nanoseconds` a packet, one value a round for each kind."""

    name: str
    node: Node
    traffic: Traffic
    packets: int = 0
    nanoseconds: dict[Kind, list[float]] = field(default_factory=lambda: {kind: [] for kind in Kind})

    def calibrate(self, nanoseconds: float, most: int) -> None:
        """Fixes how many packets a visit sends at a time: what fits into `nanoseconds`, and at most `most`."""
        each = self._bursts(self.traffic.there, BURST)
        self.node.forget()
        whole = int(nanoseconds / each) // BURST * BURST
        self.packets = max(2 * BURST, min(whole, most, self.traffic.there.count))

    def visit(self) -> None:
        """One round's measurement. AssertionError when packets do not meet the fate they should."""
        self._measure(Kind.FIRST, self.traffic.there)
        if self.traffic.passes:
            for first in range(0, self.packets, BURST):
                self.node.answer(self.traffic.back, first, BURST)
            self._measure(Kind.ESTABLISHED, self.traffic.there)
        self.node.forget()
        self._measure(Kind.COLD, self.traffic.cold)
        self.node.forget()

    def _measure(self, kind: Kind, packets: Packets) -> None:
        before = self.node.forwarded()
        self.nanoseconds[kind].append(self._bursts(packets, self.packets))
        passed, expected = self.node.forwarded() - before, self.packets if self.traffic.passes else 0
        assert passed == expected, f"{self.name}: {passed} of {self.packets} packets passed, expected {expected}"

    def _bursts(self, packets: Packets, count: int) -> float:
        """Nanoseconds a packet: the lower quartile of the bursts."""
        passes = self.traffic.passes
        times = [self.node.send(packets, first, BURST, passes) for first in range(0, count, BURST)]
        return statistics.quantiles(times, n=4, method="inclusive")[0] / BURST if len(times) > 1 else times[0] / BURST


def race(contenders: Sequence[Contender], rounds: int) -> None:
    """Visits all in turn, `rounds` times, each time in another order: who comes after whom also decides what is
    left in the cache."""
    draw = random.Random(1)
    for _ in range(rounds):
        for contender in draw.sample(contenders, len(contenders)):
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
        low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        return cls(min(values), statistics.median(values), ratio, low, high)
