"""A small share of `make fuzz`, the same in every run; NETPOLC_EXAMPLES scales it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grammar import dsl
from grammar.dsl_recovery import MOST
from grammar.format import format_file
from grammar.source import Flaw, Source
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
    flaws: list[Flaw] = []
    dsl.parse(Source("x.np", "policy p {\n" + "allow a b\n" * 5000 + "}"), flaws.append)
    assert len(flaws) == MOST + 1
    assert "too many errors" in str(flaws[-1])


def test_texts_have_a_limit() -> None:
    flaws: list[Flaw] = []
    assert dsl.parse(Source("x.np", " " * (dsl.LARGEST + 1)), flaws.append) is None
    assert "larger than 4 MiB" in str(flaws[0])
    assert fuzz.judge(" " * dsl.LARGEST)


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=SHARE, deadline=None, derandomize=os.environ.get("NETPOLC_RANDOM") != "1")
def test_any_bytes(data: bytes) -> None:
    flaws: list[Flaw] = []
    assert (dsl.read("x.np", data, flaws.append) is None) == bool(flaws)


@pytest.fixture
def quick() -> Iterator[None]:
    """As commands run: nothing is collected, since everything lives to the end."""
    gc.disable()
    yield
    gc.enable()


#: (what begins a text, what fills the rest of it)
FILLED = {
    **{
        unit: ("", unit)
        for unit in ("{", "a", '"', "-", "#", ":", "\n", "}", "f:", "a-", "1.", "allow ", "policy p { ")
    },
    "addresses": ("set a = {", "10.0.0.1, "),
    "wrong addresses": ("set a = {", "10.0.0.256, "),
    "ends": ("zone a = b", " and b"),
    "rules": ("node {", "allow any -> self : tcp/80\n"),
    "no rules": ("node {", "allow any self\n"),
    "texts": ("node {", '"x\n'),
    "expectations": ("expect {", "a can b\n"),
    "hidden": ("", "# \u202e\n"),
}


@pytest.mark.parametrize("kind", FILLED)
def test_a_megabyte_of_anything(kind: str, quick: None) -> None:
    """CPU seconds and messages are bounded. Measured, for 4 MiB, the most that is read: at most 8 s, for addresses and
    ends that are right."""
    begun, unit = FILLED[kind]
    text = begun + unit * ((1 << 20) // len(unit))
    flaws: list[Flaw] = []
    begin = time.process_time()
    dsl.parse(Source("x.np", text), flaws.append)
    assert time.process_time() - begin < 10
    assert len(flaws) <= MOST + 1


def test_ten_thousand_lines_are_read_soon(quick: None) -> None:
    """Measured: 0.7 s of CPU, and 0.1 s to lay them out."""
    block = fuzz.EXAMPLES[0].read_text(encoding="utf-8")
    text = block * (10_000 // block.count("\n") + 1)
    begin = time.process_time()
    flaws: list[Flaw] = []
    tree = dsl.parse(Source("x.np", text), flaws.append)
    assert tree is not None
    assert format_file(Source("x.np", text), tree).count("\n") >= 10_000
    assert time.process_time() - begin < 2.5
