"""A small share of `make fuzz`, the same in every run; NETPOLC_EXAMPLES scales it."""

from __future__ import annotations

import os

import pytest

from grammar import dsl
from grammar.dsl_recovery import MOST
from grammar.source import Source
from tests.grammar import fuzz

SHARE = 10 * int(os.environ.get("NETPOLC_EXAMPLES", "150"))


@pytest.mark.parametrize("seed", [1, 2])
def test_changed_programs_are_read_to_their_end(seed: int) -> None:
    inputs, programs, _, failure = fuzz.run(seed, SHARE)
    assert failure == ""
    assert inputs == SHARE
    assert 0.02 * SHARE < programs < 0.5 * SHARE  # changes that do nothing, or only harm, find nothing


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        "zone a = " + "{" * 100_000,
        "zone a = pods(" * 9_000,
        "a b\n" * 50_000,
        '"' * 100_001,
        "}" * 100_000,
    ],
    ids=lambda text: text[:20].strip(),
)
def test_nonsense(text: str) -> None:
    assert not fuzz.judge(text)


def test_errors_are_bounded() -> None:
    flaws: list[object] = []
    dsl.parse(Source("x.np", "policy p {\n" + "allow a b\n" * 5000 + "}"), flaws.append)
    assert len(flaws) == MOST + 1
    assert "too many errors" in str(flaws[-1])


def test_texts_have_a_limit() -> None:
    flaws: list[object] = []
    assert dsl.parse(Source("x.np", " " * (dsl.LARGEST + 1)), flaws.append) is None
    assert "larger than 4 MiB" in str(flaws[0])
    assert fuzz.judge(" " * dsl.LARGEST)
