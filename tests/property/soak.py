"""Packets by the million through real netfilter, each verdict held against the oracle's.

    python -m tests.property.soak [--packets N] [--flavour F ...] [--seed N] [--each N] [--limits low|spent]

Scenario number n of a seed is the same on every machine, and goes to every flavour. Prints what was judged, and for a
disagreement a scenario cut down as far as it still disagrees. Exit status 1 when there was one. Needs root.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.kernel.rig import FLAVOURS
from tests.property.crossings import Rigs
from tests.property.limits import LIMITS, limits
from tests.property.scenarios import Object, Scenario, scenario
from tests.property.trial import Disagreement, Trial

_SHOWN = 5
_BETWEEN_REPORTS = 60.0  # seconds


@dataclass(slots=True)
class Tally:
    """`verdicts` is what hooks were asked: a connection between two nodes crosses one hook on each."""

    packets: int = 0
    verdicts: int = 0
    denied: int = 0
    scenarios: int = 0
    disagreements: int = 0

    def __str__(self) -> str:
        return (
            f"packets {self.packets} verdicts {self.verdicts} (denied {self.denied}) "
            f"scenarios {self.scenarios} disagreements {self.disagreements}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Random packets through real netfilter against the oracle.")
    parser.add_argument("--packets", type=int, default=10_000_000, help="in all, over the flavours (default: 10^7)")
    parser.add_argument("--flavour", action="append", choices=FLAVOURS, help="default: all three")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=1500, help="packets of one scenario at most")
    parser.add_argument("--limits", choices=LIMITS, default="usual", help="the compiler's ways for large clusters")
    options = parser.parse_args()
    with limits(options.limits):
        return _soak(options)


def _soak(options: argparse.Namespace) -> int:
    flavours = options.flavour or list(FLAVOURS)
    tallies = {flavour: Tally() for flavour in flavours}
    rigs = Rigs()
    start = shown = time.monotonic()
    for number, found in enumerate(_scenarios(options.seed)):
        trial = Trial(found.text, options.each, number)
        for flavour in flavours:
            _judge(trial, found, flavour, rigs, tallies[flavour], f"seed {options.seed} scenario {number}")
        done = sum(tally.packets for tally in tallies.values()) >= options.packets
        if done or time.monotonic() - shown > _BETWEEN_REPORTS:
            shown = time.monotonic()
            for flavour, tally in tallies.items():
                print(f"{shown - start:.0f} s {flavour}: {tally}", flush=True)
        if done:
            break
    rigs.close()
    total = sum(tally.packets for tally in tallies.values())
    wrong = sum(tally.disagreements for tally in tallies.values())
    print(f"soak: seed {options.seed} packets {total} disagreements {wrong}")
    return 1 if wrong else 0


def _scenarios(seed: int) -> Iterator[Scenario]:
    number = 0
    while True:
        yield scenario(Random(f"{seed}/{number}"))
        number += 1


def _judge(trial: Trial, found: Scenario, flavour: str, rigs: Rigs, tally: Tally, where: str) -> None:
    wrong = list(trial.against_kernel(rigs, flavour))
    verdicts = [allowed for hooks in trial.expected.values() for allowed in hooks.values()]
    tally.packets += len(trial.packets)
    tally.verdicts += len(verdicts)
    tally.denied += verdicts.count(False)
    tally.scenarios += 1
    tally.disagreements += len(wrong)
    if wrong and tally.disagreements - len(wrong) < _SHOWN:
        small, example = _smallest(found, flavour, rigs, wrong[0])
        print(f"{where} {flavour}: {example}\n{small!r}", flush=True)


def _smallest(found: Scenario, flavour: str, rigs: Rigs, example: Disagreement) -> tuple[Scenario, Disagreement]:
    """Leaves out objects, then rules and peers, as long as the packet is still judged differently."""
    best = found
    while True:
        for smaller in _smaller(best):
            trial = Trial(smaller.text, 0)
            trial.packets = (example.packet,)
            again = next(trial.against_kernel(rigs, flavour), None)
            if again is not None:
                best, example = smaller, again
                break
        else:
            return best, example


def _smaller(whole: Scenario) -> Iterator[Scenario]:
    """Every scenario with one part less."""
    items = whole.objects
    for n, item in enumerate(items):
        yield Scenario((*items[:n], *items[n + 1 :]))
        for direction in ("ingress", "egress"):
            rules = item.get("spec", {}).get(direction) or []
            for k, rule in enumerate(rules):
                yield _with_rules(whole, n, direction, [*rules[:k], *rules[k + 1 :]])
                for field in ("from", "to", "ports", "protocols"):
                    parts = rule.get(field) or []
                    for j in range(len(parts) if len(parts) > 1 else 0):
                        less = {**rule, field: [*parts[:j], *parts[j + 1 :]]}
                        yield _with_rules(whole, n, direction, [*rules[:k], less, *rules[k + 1 :]])


def _with_rules(whole: Scenario, n: int, direction: str, rules: list[Object]) -> Scenario:
    item = whole.objects[n]
    changed = {**item, "spec": {**item["spec"], direction: rules}}
    return Scenario((*whole.objects[:n], changed, *whole.objects[n + 1 :]))


if __name__ == "__main__":
    sys.exit(main())
