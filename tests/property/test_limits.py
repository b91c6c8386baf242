"""The low limits do lead the compiler down its other ways."""

from __future__ import annotations

from collections import Counter
from random import Random

from compiler.backends.target import Backend
from compiler.ir.ruleset import Ruleset
from tests.property.limits import limits
from tests.property.scenarios import scenario
from tests.property.trial import Trial


def rulesets(which: str, backend: Backend) -> list[Ruleset]:
    with limits(which):
        trials = [Trial(scenario(Random(seed)).text, 0) for seed in range(40)]
        return [trial.compiled("n0", backend).ruleset for trial in trials]


def kinds(found: list[Ruleset]) -> Counter[str]:
    """How many chains, sets and maps of each kind: their names without stem and digest."""
    named = (item.name for ruleset in found for item in (*ruleset.chains, *ruleset.sets, *ruleset.maps))
    return Counter(name.split("-")[0] for name in named)


def pairs(found: list[Ruleset]) -> int:
    return sum(len(known.elements) for ruleset in found for known in ruleset.sets if known.name.startswith("pairs"))


def test_shared_sets_and_trees() -> None:
    usual, low = (kinds(rulesets(which, Backend.IPTABLES)) for which in ("usual", "low"))
    assert low["s4"] > usual["s4"]
    assert low["t4"] + low["t"] > usual["t4"] + usual["t"]
    assert low["d4"] > usual["d4"]


def test_prefix_maps() -> None:
    found = (rulesets(which, Backend.NFTABLES) for which in ("usual", "low"))
    usual, low = ([m.name for ruleset in some for m in ruleset.maps if m.name.endswith("-n")] for some in found)
    assert len(usual) < len(low)


def test_pairs_beyond_their_budget() -> None:
    usual, spent = (pairs(rulesets(which, Backend.NFTABLES)) for which in ("usual", "spent"))
    assert 0 < spent < usual
