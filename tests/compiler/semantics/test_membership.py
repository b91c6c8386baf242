"""Which element decides: the quick way is the slow way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compiler.semantics.rules.membership import Membership
from compiler.semantics.rules.netfilter import Element, Set
from grammar.ruletext import Place
from grammar.source import Source

PLACE = Place(Source("sets", "x"), 0, 1)
_NUMBERS = st.integers(0, 31)


@st.composite
def nets(draw: st.DrawFn) -> tuple[int, int]:
    size = 1 << draw(st.integers(0, 4))
    low = draw(_NUMBERS) // size * size
    return low, low + size - 1


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int]:
    low = draw(_NUMBERS)
    return low, min(31, low + draw(st.integers(0, 9)))


def first(elements: tuple[Element, ...], numbers: tuple[int, ...]) -> Element | None:
    for element in elements:
        if all(low <= number <= high for number, (low, high) in zip(numbers, element.box, strict=True)):
            return element if element.member else None
    return None


@given(st.dictionaries(nets(), st.booleans(), max_size=12))
def test_nets_with_exceptions(found: dict[tuple[int, int], bool]) -> None:
    longest = sorted(found.items(), key=lambda entry: entry[0][1] - entry[0][0])
    elements = tuple(Element((net,), PLACE, None, member) for net, member in longest)
    membership = Membership(Set("x", elements, PLACE))
    assert all(membership.find((n,)) == first(elements, (n,)) for n in range(32))


@given(st.lists(st.tuples(ranges(), nets()), max_size=12))
def test_boxes_that_are_all_members(found: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    elements = tuple(Element(box, PLACE) for box in found)
    membership = Membership(Set("x", elements, PLACE))
    for numbers in ((n, m) for n in range(32) for m in range(0, 32, 5)):
        assert (membership.find(numbers) is None) == (first(elements, numbers) is None)


@given(st.lists(ranges(), max_size=8))
def test_intervals(found: list[tuple[int, int]]) -> None:
    elements = tuple(Element((box,), PLACE) for box in found)
    membership = Membership(Set("x", elements, PLACE))
    assert all((membership.find((n,)) is None) == (first(elements, (n,)) is None) for n in range(33))
