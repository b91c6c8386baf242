"""CIDR blocks in the strict reading of Kubernetes 1.36, against the standard library where both must agree."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.net import parse_prefix
from compiler.resources import cidr


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7/32", "192.0.2.7/32"),
        ("255.255.255.255/32", "255.255.255.255/32"),
        ("::/0", "::/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:DB8:0:0::/64", "2001:db8::/64"),  # not in RFC 5952 form, and taken
        ("2001:0db8::/32", "2001:db8::/32"),  # zeros of an IPv6 group are no leading zeros
        ("::1/128", "::1/128"),
        ("64:ff9b::192.0.2.0/120", "64:ff9b::c000:200/120"),
        ("::192.0.2.1/128", "::192.0.2.1/128"),  # IPv4-compatible, not IPv4-mapped
    ],
)
def test_taken(text: str, block: str) -> None:
    found, code, expected = cidr.read(text)
    assert (str(found), code, expected) == (block, "", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/24",
        "10.0.0.0",  # an address alone
        "2001:db8::1",
        "10.0.0.0/",
        "10.0.0.0/33",
        "2001:db8::/129",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/ 8",
        "10.0.0.0/8 ",
        " 10.0.0.0/8",
        "10.0.0.0/8\n",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/0x8",
        "10.0.0.0/٨",  # a digit, and no ASCII
        "10.0.0/8",
        "10/8",
        "10.0.0.0.0/8",
        "256.0.0.0/8",
        "10.0.0.-1/32",
        "0xa.0.0.0/8",
        "10.0.0.1000/32",
        "fe80::%eth0/64",
        "2001:db8::/",
        "2001:db8/32",
        "1::2::3/64",
        ":::/0",
        "12345::/16",
        "1:2:3:4:5:6:7:8:9/128",
        "1:2:3:4:5:6:7:192.0.2.1/128",
        "[2001:db8::]/32",
        "192.0.2.0::/64",
        "everywhere",
    ],
)
def test_no_block(text: str) -> None:
    block, code, expected = cidr.read(text)
    assert (block, code) == (None, "bad-cidr")
    assert "expected a CIDR block such as" in expected


@pytest.mark.parametrize(
    ("text", "block", "code", "expected"),
    [
        ("010.0.0.0/8", "10.0.0.0/8", "leading-zeros", "10.0.0.0/8"),
        ("10.0.0.00/8", "10.0.0.0/8", "leading-zeros", "10.0.0.0/8"),
        ("10.0.0.0/08", "10.0.0.0/8", "leading-zeros", "10.0.0.0/8"),
        ("64:ff9b::192.00.2.0/120", "64:ff9b::c000:200/120", "leading-zeros", "64:ff9b::c000:200/120"),
        ("::ffff:010.0.0.0/104", "::ffff:10.0.0.0/104", "ipv4-mapped", "10.0.0.0/8"),
        ("2001:db8::/032", "2001:db8::/32", "leading-zeros", "2001:db8::/32"),
        ("::ffff:192.0.2.0/120", "::ffff:192.0.2.0/120", "ipv4-mapped", "192.0.2.0/24"),
        ("::ffff:c000:200/120", "::ffff:192.0.2.0/120", "ipv4-mapped", "192.0.2.0/24"),
        ("::FFFF:0:0/96", "::ffff:0.0.0.0/96", "ipv4-mapped", "0.0.0.0/0"),
        ("::ffff:0:0/90", "::ffc0:0:0/90", "ipv4-mapped", "an IPv4 block"),
        ("10.0.0.1/8", "10.0.0.0/8", "host-bits", "10.0.0.0/8 or 10.0.0.1/32"),
        ("192.0.2.129/25", "192.0.2.128/25", "host-bits", "192.0.2.128/25 or 192.0.2.129/32"),
        ("2001:db8::1/64", "2001:db8::/64", "host-bits", "2001:db8::/64 or 2001:db8::1/128"),
        ("1.2.3.4/0", "0.0.0.0/0", "host-bits", "0.0.0.0/0 or 1.2.3.4/32"),
    ],
)
def test_readable_and_refused(text: str, block: str, code: str, expected: str) -> None:
    found, said, wanted = cidr.read(text)
    assert (str(found), said) == (block, code)
    assert wanted.endswith(f"expected {expected}")


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(0, 32))
def test_agrees_with_ipaddress(address: int, length: int, other: int) -> None:
    """Whether a block has host bits, and whether it lies strictly within another one."""
    exact = ipaddress.IPv4Address(address)
    block, code, _ = cidr.read(f"{exact}/{length}")
    inner = ipaddress.IPv4Network((address, length), strict=False)
    assert str(block) == str(inner)
    assert (code == "") == (inner.network_address == exact)
    outer = ipaddress.IPv4Network((address, other), strict=False)
    assert cidr.strictly_within(parse_prefix(str(inner)), parse_prefix(str(outer))) == (length > other)


@given(st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_agrees_with_ipaddress_on_ipv6(address: int, length: int) -> None:
    exact = ipaddress.IPv6Address(address)
    block, code, _ = cidr.read(f"{exact.exploded}/{length}")
    inner = ipaddress.IPv6Network((address, length), strict=False)
    assert parse_prefix(str(inner)) == block
    if exact.ipv4_mapped is None:
        assert (code == "") == (inner.network_address == exact)


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        ("10.1.0.0/16", "10.0.0.0/8", True),
        ("10.0.0.0/8", "10.0.0.0/8", False),
        ("10.0.0.0/7", "10.0.0.0/8", False),
        ("11.0.0.0/16", "10.0.0.0/8", False),
        ("2001:db8:1::/48", "2001:db8::/32", True),
        ("10.0.0.0/8", "::/0", False),
        ("::/64", "0.0.0.0/0", False),
    ],
)
def test_strictly_within(inner: str, outer: str, within: bool) -> None:
    assert cidr.strictly_within(parse_prefix(inner), parse_prefix(outer)) is within
