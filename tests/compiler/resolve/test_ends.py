"""Ends as alternatives, against the sets that their expressions say, point by point."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.net import Family, parse_address
from compiler.resolve.ends import Alternative, Ends, Here, Side
from compiler.resolve.inventory import Inventory
from compiler.resources.cluster import Node, Pod
from compiler.resources.language import (
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    ThisNode,
)
from compiler.snapshot import build
from tests.compiler.programs import NAMES, ends
from tests.compiler.reading import Point, is_at, is_named
from tests.compiler.worlds import UNIVERSE, worlds

SIDES = [Side(here, interfaces) for here in Here for interfaces in (True, False)]


def holds(one: Alternative, address: str, name: str, own: bool, side: Side) -> bool:
    value = parse_address(address)[1]
    by = one.interface is None or (side.interfaces and is_named(one.interface, name))
    cut = any(is_named(pattern, name) for pattern in one.outside)
    return by and not cut and one.local in (None, own) and any(low <= value <= high for low, high in one.addresses)


@settings(deadline=None, max_examples=300)
@given(world=worlds(), end=ends, side=st.sampled_from(SIDES), data=st.data())
def test_alternatives_are_what_the_expression_says(world, end, side, data) -> None:  # type: ignore[no-untyped-def]
    cluster = world.snapshot
    resolved = Ends(Inventory(cluster), None)
    for family in Family:
        found = resolved.alternatives(end, family, side)
        for address in data.draw(st.lists(st.sampled_from(UNIVERSE[family]), min_size=8, max_size=8, unique=True)):
            for name in NAMES:
                for own in (True, False):
                    here = own if side.here is Here.ASKED else side.here is Here.ALWAYS
                    expected = is_at(end, Point(address, name if side.interfaces else None, here), cluster)
                    assert any(holds(one, address, name, own, side) for one in found) is expected


class TestFew:
    """What rules are made of is as little as can be."""

    resolved = Ends(Inventory(build()), None)
    side = Side(Here.ASKED)

    def few(self, end: End) -> list[tuple[str | None, tuple[str, ...], bool | None]]:
        return [(a.interface, a.outside, a.local) for a in self.resolved.alternatives(end, Family.IPV4, self.side)]

    def test_nothing_is_asked_of_anyone(self) -> None:
        assert self.few(Anyone()) == [(None, (), None)]
        assert self.few(Either(ends=())) == []
        assert self.few(Either(ends=(Anyone(), Interfaces(names=("eth0",))))) == [(None, (), None)]

    def test_patterns_inside_of_patterns(self) -> None:
        assert self.few(Interfaces(names=("wg0", "wg*", "eth0"))) == [("wg*", (), None), ("eth0", (), None)]
        cut = Less(end=Interfaces(names=("wg*",)), without=Interfaces(names=("wg1*",)))
        assert self.few(cut) == [("wg*", ("wg1*",), None)]

    def test_exceptions(self) -> None:
        assert self.few(Less(end=Anyone(), without=Interfaces(names=("eth0",)))) == [(None, ("eth0",), None)]
        assert self.few(Less(end=Anyone(), without=ThisNode())) == [(None, (), False)]
        assert self.few(Less(end=Anyone(), without=Interfaces(names=("*",)))) == []


def test_pods_of_this_node() -> None:
    pods = [
        Pod("x", "a", ips=("10.0.0.2", "fd00::2"), node="n1"),
        Pod("x", "b", ips=("10.0.0.1",), node="n2"),
        Pod("x", "c", ips=("10.0.0.9",), node="n1", host_network=True),
        Pod("x", "d", ips=("10.0.0.7",), node="n1"),
        Pod("x", "e", ips=("10.0.0.7",), node="n1"),
    ]
    inventory = Inventory(build(pods, nodes=[Node("n1")]))
    assert Ends(inventory, "n1").own_pods(Family.IPV4) == (parse_address("10.0.0.2")[1],)
    assert len(Ends(inventory, None).own_pods(Family.IPV4)) == 2


class TestArriving:
    """What came by `lo` is at ends alone that name the interface."""

    resolved = Ends(Inventory(build()), None)

    def few(self, end: End, **side: bool) -> list[tuple[str | None, tuple[str, ...]]]:
        found = self.resolved.alternatives(end, Family.IPV4, Side(Here.NEVER, **side))
        return [(one.interface, one.outside) for one in found]

    def test_addresses(self) -> None:
        assert self.few(Anyone(), arriving=True) == [(None, ("lo",))]
        assert self.few(Less(end=Anyone(), without=Interfaces(names=("eth0",))), arriving=True) == [
            (None, ("lo", "eth0"))
        ]

    def test_interfaces(self) -> None:
        for names in (("eth0",), ("lo",), ("l*",)):
            assert self.few(Interfaces(names=names), arriving=True) == [(names[0], ())]
        assert self.few(Interfaces(names=("*",)), arriving=True) == [(None, ())]
        assert self.few(Both(ends=(Interfaces(names=("*",)), Anyone())), arriving=True) == [(None, ())]
        assert self.few(Either(ends=(Interfaces(names=("lo",)), Anyone())), arriving=True) == [(None, ())]
        no_lo = Less(end=Interfaces(names=("*",)), without=Interfaces(names=("lo",)))
        assert self.few(no_lo, arriving=True) == [(None, ("lo",))]

    def test_none_at_all(self) -> None:
        """Behind routing a packet of the node itself came in by none."""
        assert self.few(Anyone(), optional=True) == [(None, ())]
        assert self.few(Interfaces(names=("*",)), optional=True) == [("*", ())]
        assert self.few(Less(end=Anyone(), without=Interfaces(names=("*",))), optional=True) == [(None, ("*",))]
