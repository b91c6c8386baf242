"""Texts of nft with words out of place: refused, or optimised without a difference; never anything else."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from compiler.analysis.proof import NotProved
from compiler.analysis.same import differences
from compiler.optimizing.passes.simplify import Pass
from compiler.optimizing.readers.nftables_rules import listing
from compiler.optimizing.whole import optimize
from grammar.ruletext import Refused
from grammar.source import Source

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
FILES = [*sorted((FIXTURES / "import").glob("*.nft")), FIXTURES / "optimize" / "shop.nft"]
TEXTS = [file.read_text() for file in FILES]
_TOKEN = re.compile(r'"[^"\n]*"|[\w.:/@*-]+|\s+|.')
WORDS = [word for text in TEXTS for word in _TOKEN.findall(text) if word.strip()]


def changed(seed: int) -> str:
    """One of the texts with a few words left out, put in, or in each other's places."""
    chosen = Random(seed)
    words = _TOKEN.findall(chosen.choice(TEXTS))
    for _ in range(chosen.choice((1, 1, 2, 5))):
        here, there = chosen.randrange(len(words)), chosen.randrange(len(words))
        match chosen.randrange(4):
            case 0:
                del words[here]
            case 1:
                words[here] = chosen.choice(WORDS)
            case 2:
                words.insert(here, chosen.choice(WORDS))
            case _:
                words[here], words[there] = words[there], words[here]
    return "".join(words)


def optimized(text: str) -> str:
    return optimize(listing(Source("x.nft", text)), tuple(Pass), Fraction(0), counters=True).listing.written()


def became(seed: int) -> str:
    """What becomes of the text, in a word."""
    text = changed(seed)
    try:
        new = optimized(text)
    except Refused:
        return "refused"
    try:
        assert not differences([("old", text)], [("new", new)], (4, 6), ("old", "new"), partly=True)
    except NotProved:
        return "not proved"
    assert optimized(new) == new
    return "proved"


@pytest.mark.parametrize("part", range(8))
def test_nothing_else_becomes_of_them(part: int) -> None:
    found = [became(seed) for seed in range(part * 25, part * 25 + 25)]
    assert found.count("proved") > 5
