"""Intervals as prefixes: the same addresses, and few entries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compiler.lower.prefixes import nested
from compiler.net import Family, Intervals, Prefix, parse_prefix, prefixes, union
from compiler.resolve.ends import everything

_BASE = {Family.IPV4: 10 << 24, Family.IPV6: 0xFD << 120}


@st.composite
def spans(draw: st.DrawFn, family: Family) -> Intervals:
    found = []
    for _ in range(draw(st.integers(0, 5))):
        low = draw(st.integers(0, 70))
        found.append((_BASE[family] + low, _BASE[family] + draw(st.integers(low, 70))))
    return union(tuple(found))


def longest(found: list[tuple[Prefix, bool]], address: int, family: Family) -> bool:
    host = Prefix(family.value, address, family.bits)
    around = [(prefix.length, member) for prefix, member in found if prefix.covers(host)]
    return max(around)[1] if around else False


@given(data=st.data(), family=st.sampled_from(list(Family)))
def test_they_hold_the_same_addresses(data: st.DataObject, family: Family) -> None:
    given_spans = data.draw(spans(family))
    for negated in (False, True):
        chosen = given_spans
        if negated:
            edges = [-1, *(edge for span in given_spans for edge in span), everything(family)[0][1] + 1]
            chosen = tuple((a + 1, b - 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if a + 1 < b)
        flat, tree = prefixes(chosen, family), nested(chosen, family)
        assert flat == sorted(flat)
        assert tree == sorted(tree)
        assert all(prefix.length for prefix, _ in tree)
        assert len(tree) <= len(flat) + 1, "two halves for everything"
        for address in (0, *range(_BASE[family] - 1, _BASE[family] + 72), everything(family)[0][1]):
            inside = any(low <= address <= high for low, high in chosen)
            assert longest(tree, address, family) is inside
            assert any(p.covers(Prefix(family.value, address, family.bits)) for p in flat) is inside


def test_exceptions_are_few() -> None:
    one = _BASE[Family.IPV6] + 5
    everybody = everything(Family.IPV6)[0][1]
    found = nested(((0, one - 1), (one + 1, everybody)), Family.IPV6)
    assert found == [
        (parse_prefix("::/1"), True),
        (parse_prefix("8000::/1"), True),
        (parse_prefix("fd00::5/128"), False),
    ]
