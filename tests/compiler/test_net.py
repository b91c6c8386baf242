"""Prefixes against the standard library's ipaddress, port sets against sets of numbers."""

from __future__ import annotations

import ipaddress
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler import net
from compiler.net import (
    ALL_PORTS,
    EVERY_PORT,
    NO_PORTS,
    SCTP,
    TCP,
    UDP,
    Family,
    Intervals,
    PortSet,
    Prefix,
    address_text,
    intersect,
    mask,
    parse_address,
    parse_prefix,
    port_set,
    subtract,
    union,
    without,
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network(prefix: Prefix) -> Network:
    """The standard library's idea of a prefix."""
    kind = ipaddress.IPv4Network if prefix.version == 4 else ipaddress.IPv6Network
    return kind((prefix.base, prefix.length))


@st.composite
def prefixes(draw: st.DrawFn, family: Family | None = None) -> Prefix:
    """Anywhere, but near each other often enough to nest."""
    family = family or draw(st.sampled_from(list(Family)))
    length = draw(st.integers(0, family.bits))
    value = draw(st.integers(0, 15)) << family.bits - 4 | draw(st.integers(0, 15))
    return Prefix(family.value, value & mask(family, length), length)


class TestPrefix:
    @given(prefixes(), prefixes())
    def test_covers_is_subnet_of(self, one: Prefix, two: Prefix) -> None:
        same = one.version == two.version
        assert one.covers(two) is (same and network(two).subnet_of(network(one)))  # type: ignore[arg-type]

    def test_covers_needs_the_family(self) -> None:
        assert not Prefix(6, 0, 0).covers(Prefix(4, 0, 0))
        assert not Prefix(4, 0, 0).covers(Prefix(6, 0, 0))

    @given(prefixes())
    def test_text_comes_back(self, prefix: Prefix) -> None:
        assert parse_prefix(str(prefix)) == prefix
        assert str(prefix) == str(network(prefix)) or "." in str(prefix), "inet_ntop writes ::1.2.3.4 for some"

    @given(st.lists(prefixes(), max_size=8))
    def test_order_puts_a_block_before_what_it_covers(self, found: list[Prefix]) -> None:
        ordered = sorted(found)
        assert [p.version for p in ordered] == sorted(p.version for p in ordered)
        for n, outer in enumerate(ordered):
            assert not any(inner.covers(outer) and inner != outer for inner in ordered[n + 1 :])

    def test_mask(self) -> None:
        for family in Family:
            for length in range(family.bits + 1):
                assert mask(family, length) == int(network(Prefix(family.value, 0, length)).netmask)


class TestWithout:
    @given(st.data(), st.sampled_from(list(Family)))
    def test_leaves_exactly_what_no_cut_holds(self, data: st.DataObject, family: Family) -> None:
        """Against address_exclude, on blocks of 32 addresses, one by one."""
        whole = Prefix(family.value, 0xFD << family.bits - 8, family.bits - 5)
        shorter = st.integers(family.bits - 5, family.bits)
        cuts = [
            Prefix(family.value, whole.base + offset & mask(family, length), length)
            for offset, length in data.draw(st.lists(st.tuples(st.integers(0, 31), shorter), max_size=5))
        ]
        left = without(whole, cuts)
        expected = {a for a in network(whole) if not any(a in network(cut) for cut in cuts)}
        assert [a for part in left for a in network(part)] == sorted(expected)  # disjoint and in order as well
        collapsed = list(ipaddress.collapse_addresses(map(network, left)))  # type: ignore[type-var]
        assert collapsed == [network(part) for part in left], "could be fewer blocks"

    def test_of_the_whole_internet_cuts_down_to_one_address(self) -> None:
        left = without(parse_prefix("0.0.0.0/0"), [parse_prefix("10.1.2.3/32")])
        assert len(left) == 32
        expected = sorted(ipaddress.ip_network("0.0.0.0/0").address_exclude(ipaddress.ip_network("10.1.2.3/32")))  # type: ignore[arg-type]
        assert [network(part) for part in left] == expected

    def test_ignores_cuts_elsewhere_and_of_the_other_family(self) -> None:
        whole = parse_prefix("10.0.0.0/24")
        assert without(whole, [parse_prefix("10.0.1.0/24"), parse_prefix("::/0")]) == (whole,)

    def test_of_itself_is_nothing(self) -> None:
        whole = parse_prefix("10.0.0.0/24")
        assert without(whole, [parse_prefix("10.0.0.4/32"), whole]) == ()

    def test_of_a_larger_block_is_nothing(self) -> None:
        assert without(parse_prefix("10.0.0.0/24"), [parse_prefix("10.0.0.0/8")]) == ()
        assert without(parse_prefix("10.0.0.0/24"), [parse_prefix("0.0.0.0/0")]) == ()


class TestParsing:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("0.0.0.0", 0),
            ("10.0.0.1", 0x0A000001),
            ("255.255.255.255", 0xFFFFFFFF),
            ("::", 0),
            ("fd00::1", 0xFD << 120 | 1),
            ("FD00:0::1", 0xFD << 120 | 1),
            ("::ffff:10.0.0.1", 0xFFFF0A000001),
        ],
    )
    def test_address(self, text: str, value: int) -> None:
        family, found = parse_address(text)
        assert found == value
        assert family is (Family.IPV6 if ":" in text else Family.IPV4)

    @pytest.mark.parametrize(
        "text", ["", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1/32", "fd00::1%eth0", "x", "1::2::3", "10.0.0.1\0"]
    )
    def test_what_is_no_address(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"not an IP address|null character"):
            parse_address(text)

    def test_a_prefix_is_masked(self) -> None:
        assert parse_prefix("10.0.0.7/29") == Prefix(4, 0x0A000000, 29)
        assert parse_prefix("10.0.0.8/29") == Prefix(4, 0x0A000008, 29)
        assert parse_prefix("fd00::ffff/120") == Prefix(6, 0xFD << 120 | 0xFF00, 120)
        assert parse_prefix("1.2.3.4/0") == Prefix(4, 0, 0)

    @pytest.mark.parametrize(
        "text",
        [
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "fd00::/129",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "/8",
            "a/8",
        ],
    )
    def test_what_is_no_prefix(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a"):
            parse_prefix(text)

    def test_digits_of_other_scripts_are_none(self) -> None:
        with pytest.raises(ValueError, match="is not a CIDR"):
            parse_prefix("10.0.0.0/²")
        with pytest.raises(ValueError, match="is not a CIDR"):
            parse_prefix("10.0.0.0/٨")

    @given(st.integers(0, 2**32 - 1))
    def test_ipv4_text_is_canonical(self, value: int) -> None:
        assert address_text(Family.IPV4, value) == str(ipaddress.IPv4Address(value))

    @given(st.integers(0, 2**128 - 1) | st.integers(0, 2**128 - 1).map(lambda v: v & 0xFFFF << 112 | v & 0xFFFF))
    def test_ipv6_text_comes_back(self, value: int) -> None:
        text = address_text(Family.IPV6, value)
        assert parse_address(text) == (Family.IPV6, value)
        assert ipaddress.IPv6Address(text) == ipaddress.IPv6Address(value)


#: Numbers of a small universe, to compare intervals with sets; the ends of the real one are mapped to its ends.
SMALL = 12
small_intervals = st.lists(
    st.tuples(st.integers(0, SMALL - 1), st.integers(0, SMALL - 1)).map(lambda pair: (min(pair), max(pair))), max_size=4
)


def numbers(intervals: Intervals) -> set[int]:
    return {n for low, high in intervals for n in range(low, high + 1)}


def assert_canonical(intervals: Intervals) -> None:
    assert all(low <= high for low, high in intervals)
    assert all(one[1] + 1 < two[0] for one, two in pairwise(intervals)), "adjacent, overlapping or out of order"


class TestIntervals:
    @given(st.lists(small_intervals, max_size=3))
    def test_union(self, parts: list[list[tuple[int, int]]]) -> None:
        found = union(*map(tuple, parts))
        assert_canonical(found)
        assert numbers(found) == {n for part in parts for n in numbers(tuple(part))}

    @given(small_intervals, small_intervals)
    def test_subtract_and_intersect(self, one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
        a, b = union(tuple(one)), union(tuple(two))
        for found, expected in (
            (subtract(a, b), numbers(a) - numbers(b)),
            (intersect(a, b), numbers(a) & numbers(b)),
        ):
            assert_canonical(found)
            assert numbers(found) == expected

    def test_cost_grows_with_both_and_not_with_their_product(self) -> None:
        """30,000 single ports from another 30,000: some 0.02 s, where each against each takes minutes."""
        odd, even = (tuple((port, port) for port in range(first, 60_000, 2)) for first in (1, 2))
        before = time.process_time()
        assert subtract(odd, even) == odd
        assert subtract(((1, 60_000),), even) == (*odd[:-1], (59_999, 60_000))
        assert time.process_time() - before < 2

    def test_the_ends_of_the_port_range(self) -> None:
        assert subtract(EVERY_PORT, ((0, 0), (65535, 65535))) == ((1, 65534),)
        assert union(((0, 100),), ((101, 65535),)) == EVERY_PORT
        assert subtract(((80, 80),), ((80, 80),)) == ()


@st.composite
def port_sets(draw: st.DrawFn) -> PortSet:
    tcp, udp, sctp = (union(tuple(draw(small_intervals))) for _ in range(3))
    other = draw(st.booleans())
    spans = {n: draw(st.just(EVERY_PORT if other else ()) | small_intervals.map(tuple).map(union)) for n in (1, 136)}
    apart = tuple((n, found) for n, found in spans.items() if found != (EVERY_PORT if other else ()))
    return PortSet(tcp, udp, sctp, other, apart)


POINTS = [(protocol, port) for protocol in (TCP, UDP, SCTP, 1, 47, 136) for port in range(SMALL)]


def points(ports: PortSet) -> set[tuple[int, int]]:
    return {point for point in POINTS if ports.has(*point)}


class TestPortSet:
    @given(port_sets(), port_sets())
    def test_algebra_is_that_of_sets(self, one: PortSet, two: PortSet) -> None:
        assert points(one | two) == points(one) | points(two)
        assert points(one & two) == points(one) & points(two)
        assert points(one - two) == points(one) - points(two)
        assert bool(one) is bool(points(one))
        assert (one == two) is (points(one) == points(two)), "one value for one set"

    @given(port_sets())
    def test_complement(self, ports: PortSet) -> None:
        assert points(ALL_PORTS - ports) == set(POINTS) - points(ports)
        assert ALL_PORTS - (ALL_PORTS - ports) == ports
        assert ports | NO_PORTS == ports == ports & ALL_PORTS

    @given(port_sets())
    def test_items_are_all_of_it_but_other_protocols(self, ports: PortSet) -> None:
        assert port_set(ports.items()) == PortSet(ports.tcp, ports.udp, ports.sctp)
        assert list(ports.items()) == sorted(ports.items())

    @pytest.mark.parametrize("one", [{"tcp": ((1, 1),)}, {"udp": ((1, 1),)}, {"sctp": ((1, 1),)}, {"other": True}])
    def test_any_part_makes_it_something(self, one: dict[str, Any]) -> None:
        assert PortSet(**one)
        assert not NO_PORTS

    def test_all_other_protocols_go_together(self) -> None:
        for protocol in (0, 1, 2, 47, 58, 136, 255):
            assert ALL_PORTS.has(protocol, 0)
            assert PortSet(other=True).has(protocol, 7)
            assert not PortSet(EVERY_PORT, EVERY_PORT, EVERY_PORT).has(protocol, 0)

    @given(st.lists(port_sets(), min_size=2, max_size=2, unique=True))
    def test_text_tells_sets_apart(self, both: list[PortSet]) -> None:
        """Classes are named after it (`resolve.classes.PodClass.key`)."""
        assert str(both[0]) != str(both[1])

    @pytest.mark.parametrize(
        ("ports", "text"),
        [
            (NO_PORTS, "nothing"),
            (ALL_PORTS, "everything"),
            (PortSet(((80, 80), (443, 445))), "tcp 80,443-445"),
            (PortSet(EVERY_PORT, ((53, 53),)), "tcp; udp 53"),
            (PortSet(sctp=((0, 65534),), other=True), "sctp 0-65534; other protocols"),
            (PortSet(EVERY_PORT, EVERY_PORT, EVERY_PORT), "tcp; udp; sctp"),
            (port_set([(TCP, 80, 80), (1, 8, 8), (47, 0, 65535)]), "tcp 80; protocol 1: 8; protocol 47"),
            (
                ALL_PORTS - port_set([(1, 8, 8), (47, 0, 65535)]),
                "tcp; udp; sctp; other protocols but 1: 8 and 47",
            ),
        ],
    )
    def test_text(self, ports: PortSet, text: str) -> None:
        assert str(ports) == text

    def test_port_set_unites(self) -> None:
        assert port_set([(UDP, 5, 9), (TCP, 2, 2), (UDP, 1, 4)]) == PortSet(tcp=((2, 2),), udp=((1, 9),))
        assert port_set([]) == NO_PORTS

    def test_protocol_numbers_are_iana_s(self) -> None:
        assert net.PROTOCOLS == {"TCP": 6, "UDP": 17, "SCTP": 132}
        assert net.PROTOCOL_NAMES == {6: "tcp", 17: "udp", 132: "sctp"}
