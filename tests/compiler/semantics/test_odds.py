"""Chance as exact probabilities of outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from fractions import Fraction
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.semantics.diagrams.diagram import Diagrams
from compiler.semantics.diagrams.odds import Odds, probability, settled


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("-m statistic --mode random --probability 0.3333333333", Fraction(1, 3)),
        ("-m statistic --mode random --probability 0.33333333349", Fraction(1, 3)),  # as iptables-save shows it
        ("-m statistic --mode random --probability 1.0000000000", Fraction(1)),
        ("-m statistic --mode random --probability 0.14285714272", Fraction(1, 7)),
        ("-m statistic --mode random --probability 0.75", Fraction(3, 4)),
        ("-m statistic --mode random --probability 0", Fraction(0)),
        ("numgen random mod 7 0", Fraction(1, 7)),
        ("numgen random mod 7 == 0", Fraction(1, 7)),
        ("numgen inc mod 7 0", None),
        ("-m statistic --mode nth --every 3 --packet 0", None),
        ("-m limit --limit 5/min", None),
    ],
)
def test_probabilities_of_texts(text: str, share: Fraction | None) -> None:
    assert probability(text) == share


def test_every_packet_has_the_odds_that_counting_finds() -> None:
    for seed in range(60):
        random = Random(seed)
        made = Diagrams([4, 3])
        coins = {made.add_field(2): Fraction(1, random.randint(2, 5)) for _ in range(3)}
        other = made.add_field(2)
        parts = []
        for n in range(5):
            box = {f: (v := random.randint(0, s - 1), v) for f, s in ((0, 4), (1, 3)) if random.random() < 0.5}
            box |= {level: (1, 1) for level in (*coins, other) if random.random() < 0.4}
            parts.append(made.box(box, made.outcome(f"says {n % 3}")))
        diagram = made.first([*parts, made.outcome("last")])
        found = settled(made, diagram, coins)
        assert not made.asked(found) & coins.keys()
        for packet in ({0: a, 1: b, other: c} for a, b, c in product(range(4), range(3), range(2))):
            odds: Counter[Hashable] = Counter()
            for sides in product((0, 1), repeat=len(coins)):
                share = Fraction(1)
                for side, chance in zip(sides, coins.values(), strict=True):
                    share *= chance if side else 1 - chance
                odds[made.says(diagram, packet | dict(zip(coins, sides, strict=True)))] += share  # type: ignore[assignment]
            wanted = next(iter(odds)) if len(odds) == 1 else Odds(frozenset(odds.items()))  # type: ignore[arg-type]
            assert made.says(found, packet) == wanted


@given(st.integers(2, 10000))
def test_one_in_n_is_known_as_both_tools_write_it(n: int) -> None:
    assert probability(f"-m statistic --mode random --probability {1 / n:.10f}") == Fraction(1, n)
    printed = round(round(1 / n * 2**31) / 2**31, 11)
    assert probability(f"-m statistic --mode random --probability {printed:.11f}") == Fraction(1, n)
