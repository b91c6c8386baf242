"""A small share of `make mutants`: every planted mistake that changes a verdict is caught by the proof alone."""

from __future__ import annotations

from tests.property.mutants import Tally, run


def test_planted_mistakes_are_caught() -> None:
    tally = Tally()
    for seed in range(900, 906):
        run(tally, seed, 6)
    assert not tally.missed
    assert tally.changed >= 100
    assert tally.caught.total() > tally.changed // 2
