"""The tracer says of random rulesets what the kernel does: a share of `make trace-soak` on every run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compiler.semantics import nftables_rules
from compiler.semantics.netfilter import Accept
from tests.kernel.random_rulesets import Disagreement, Rulesets
from tests.kernel.rig import FLAVOURS, Rig

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def rulesets() -> Iterator[Rulesets]:
    """In a rig of its own: these rules leave tables of all kinds behind."""
    with Rig() as rig:
        yield Rulesets(rig)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("seed", range(7_000, 7_005))
def test_kernel_and_tracer_agree(rulesets: Rulesets, flavour: str, seed: int) -> None:
    before = rulesets.packets, rulesets.dropped
    rulesets.trial(seed, flavour, 400)
    assert rulesets.packets == before[0] + 400


def test_both_answers_occur(rulesets: Rulesets) -> None:
    """Rulesets that drop all, or nothing, would show little."""
    for seed in range(8_000, 8_009):
        rulesets.trial(seed, FLAVOURS[seed % 3], 100)
    assert rulesets.packets // 10 < rulesets.dropped < rulesets.packets * 9 // 10


def test_disagreements_are_found(rulesets: Rulesets, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself: a tracer that takes every drop for an accept is caught."""
    monkeypatch.setitem(nftables_rules._VERDICTS, "drop", Accept())

    def many() -> None:
        for seed in range(7_000, 7_010):
            rulesets.trial(seed, "nftables", 100)

    with pytest.raises(Disagreement, match="the kernel says False"):
        many()
