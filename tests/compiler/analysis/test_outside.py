"""Addresses outside pods: stretches, ranges, and how they are written."""

from __future__ import annotations

import pytest

from compiler.analysis.outside import Range, Stretch, holds, joined, span_text, stretches, title, union
from compiler.net import Family, parse_address

V4, V6 = Family.IPV4, Family.IPV6


def ranges(*texts: str) -> list[Range]:
    found = []
    for text in texts:
        first, _, last = text.partition("-")
        family, low = parse_address(first)
        found.append((family, low, parse_address(last or first)[1]))
    return found


def test_stretches_cover_everything_and_find_a_free_address() -> None:
    found = list(stretches(V4, [[0, 10, 12], [0, 11]], {10, 12, 13}))
    assert [(one.first, one.last, one.free) for one in found] == [
        (0, 9, 0),
        (10, 10, None),
        (11, 11, 11),
        (12, (1 << 32) - 1, 14),
    ]


def test_neighbours_of_a_kind_are_one_range_over_what_pods_fill() -> None:
    parts = [Stretch(0, 9, 0), Stretch(10, 10, None), Stretch(11, 19, 11), Stretch(20, 29, 20), Stretch(30, 39, 30)]
    kinds = ["a", "pods", "a", "b", "a"]
    found = joined((V4, part, kind) for part, kind in zip(parts, kinds, strict=True))
    assert found == {"a": ((V4, 0, 19), (V4, 30, 39)), "b": ((V4, 20, 29),)}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["0.0.0.0-255.255.255.255"], "0.0.0.0/0"),
        (["10.0.0.0-10.255.255.255"], "10.0.0.0/8"),
        (["10.0.0.7"], "10.0.0.7"),
        (["10.0.0.7-10.0.0.9"], "10.0.0.7-10.0.0.9"),
        (["0.0.0.0-9.255.255.255", "11.0.0.0-255.255.255.255"], "0.0.0.0/0 except 10.0.0.0/8"),
        (["0.0.0.0-255.255.255.254"], "0.0.0.0-255.255.255.254"),
        (["fd00::-fd00::f"], "fd00::/124"),
        (["10.0.0.1", "fd00::1"], "10.0.0.1 and fd00::1"),
    ],
)
def test_titles(given: list[str], text: str) -> None:
    assert title(ranges(*given)) == text


def test_long_lists_are_cut_in_a_title() -> None:
    assert title(ranges(*(f"10.0.{n}.1" for n in range(9)))).endswith("10.0.5.1 and 3 more")


def test_union_joins_neighbours_of_one_family() -> None:
    last, first = ranges("255.255.255.255")[0], (V6, 0, 0)
    assert union([(V4, 5, 9), (V4, 0, 4), (V4, 11, 12), last, first]) == ((V4, 0, 9), (V4, 11, 12), last, first)


def test_spans_and_membership() -> None:
    assert span_text(V4, 1, 2) == "0.0.0.1-0.0.0.2"
    assert holds([(V4, 1, 2)], V4, 2)
    assert not holds([(V4, 1, 2)], V4, 3)
    assert not holds([(V4, 1, 2)], V6, 2)
