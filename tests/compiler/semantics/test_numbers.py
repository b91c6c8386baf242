"""Intervals and the numbers behind words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.semantics.rules import numbers

WIDTH = 6
TOP = (1 << WIDTH) - 1
INTERVALS = st.lists(st.tuples(st.integers(0, TOP), st.integers(0, TOP)).map(lambda pair: (min(pair), max(pair))))


def members(intervals: tuple[tuple[int, int], ...]) -> set[int]:
    return {n for low, high in intervals for n in range(low, high + 1)}


@given(INTERVALS)
def test_normal_and_complement(found: list[tuple[int, int]]) -> None:
    normal = numbers.normal(found)
    assert members(normal) == members(tuple(found))
    assert all(after[0] > before[1] + 1 for before, after in pairwise(normal))
    assert members(numbers.complement(normal, TOP)) == set(range(TOP + 1)) - members(normal)


@given(INTERVALS, st.integers(0, TOP))
def test_unmasked(found: list[tuple[int, int]], mask: int) -> None:
    """Only masks of prefixes can be written out; then it is what the mask means."""
    normal = numbers.normal(found)
    plain = numbers.unmasked(normal, mask, WIDTH)
    assert (plain is None) == (f"{mask:06b}" != f"{mask:06b}".replace("01", "00").rstrip("0").ljust(WIDTH, "0"))
    if plain is not None:
        assert members(plain) == {n for n in range(TOP + 1) if n & mask in members(normal)}


@given(st.integers(0, TOP), st.integers(0, TOP))
def test_blocks_between(one: int, other: int) -> None:
    first, last = min(one, other), max(one, other)
    found = list(numbers.blocks_between(first, last, WIDTH))
    assert members(tuple(found)) == set(range(first, last + 1))
    assert all(low % (high - low + 1) == 0 and (high - low + 1).bit_count() == 1 for low, high in found)


def test_whole_range_is_one_block() -> None:
    assert list(numbers.blocks_between(0, numbers.all_ones(32), 32)) == [(0, numbers.all_ones(32))]


@pytest.mark.parametrize("text", ["", "-1", "+1", "0x", "1e3", "256", "0b1", " 1", "1_0", "09", "٣"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|is not"):
        numbers.number(text, 255)


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "::g", "fe80::1%eth0", "é", "1.2.3.4\0", "01.2.3.4"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        numbers.address(text)


def test_translations() -> None:
    assert numbers.translation("0.0.0.1-0.0.0.2:80-90", 4) == ((1, 2), (80, 90))
    assert numbers.translation("[::1]:80", 6) == ((1, 1), (80, 80))
    assert numbers.translation("::1", 6) == ((1, 1), None)
    assert numbers.translation(":80", 6) == (None, (80, 80))
    with pytest.raises(ValueError, match="family"):
        numbers.translation("10.0.0.1", 6)


@pytest.mark.parametrize(
    ("low", "high", "name"),
    [
        (1, 1 << 127, "eth0"),
        (numbers.interface("lo", "*")[0] + 1, (1 << 128) - 1, "lo0"),
        (numbers.interface("wg*", "*")[1] + 1, (1 << 128) - 1, "wh"),
        (numbers.interface("eth*", "*")[0], numbers.interface("eth0", "*")[0] - 1, "eth"),
        (numbers.interface("a", "*")[0] + 1, numbers.interface("a-b", "*")[0], "a" + "\x00" * 14 + "\x01"),
        *((numbers.interface(name, "*")[0],) * 2 + (name,) for name in ("veth+weird@if2", "a-fifteen-chars")),
    ],
)
def test_a_name_that_a_reader_understands(low: int, high: int, name: str) -> None:
    assert numbers.interface_text(numbers.some_interface(low, high)) == name
