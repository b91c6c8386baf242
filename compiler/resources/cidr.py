"""CIDR blocks as the API server takes them: what it refuses, and why.

Two readings exist. The ipBlock of a NetworkPolicy follows Kubernetes 1.36 ("strict IP and CIDR validation"): no
leading zeros, no IPv4-mapped IPv6 address, no bits behind the prefix length. The `networks` of the cluster-wide
kinds follow the CRD's rule `isCIDR`, which takes the same texts and host bits too.
"""

from __future__ import annotations

import re
from functools import lru_cache

from compiler.net import Family, Prefix, address_text, mask, parse_address

#: A decimal octet, leading zeros allowed: older servers took them, so the message can name them.
_SLOPPY_IPV4 = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
_EXAMPLES = "expected a CIDR block such as 10.9.8.0/24 or 2001:db8::/64"
#: ::ffff:0:0/96, the IPv6 form of every IPv4 address.
_MAPPED = Prefix(Family.IPV6.value, 0xFFFF << 32, 96)


@lru_cache(maxsize=65536)
def read(text: str) -> tuple[Prefix | None, str, str]:
    """(block masked to its length or None when unreadable, fault's code or "", fault's text).

    A block with a fault may still be readable: what it means is known, only its form is refused.
    """
    address, slash, length = text.partition("/")
    if not slash:
        return None, "bad-cidr", f"{_EXAMPLES}; a single address needs /32 or /128"
    if not (length.isascii() and length.isdigit()):
        return None, "bad-cidr", _EXAMPLES
    zeros = len(length) > 1 and length[0] == "0"
    head, colon, tail = address.rpartition(":")  # an IPv6 address may end in an IPv4 one
    if octets := _SLOPPY_IPV4.fullmatch(tail):
        zeros = zeros or any(len(octet) > 1 and octet[0] == "0" for octet in octets.groups())
        address = head + colon + ".".join(str(int(octet)) for octet in octets.groups())
    try:
        family, value = parse_address(address)
        bits = int(length)
    except ValueError:
        return None, "bad-cidr", _EXAMPLES
    if bits > family.bits:
        return None, "bad-cidr", _EXAMPLES
    block, exact = Prefix(family.value, value & mask(family, bits), bits), Prefix(family.value, value, family.bits)
    if _MAPPED.covers(exact):
        return block, "ipv4-mapped", f"must not be an IPv4-mapped IPv6 address, expected {_unmapped(block)}"
    if zeros:
        return block, "leading-zeros", f"must not have leading zeros, expected {block}"
    if exact.base != block.base:
        return block, "host-bits", f"must not have bits set behind the prefix length, expected {block} or {exact}"
    return block, "", ""


def _unmapped(block: Prefix) -> str:
    if not _MAPPED.covers(block):
        return "an IPv4 block"
    return f"{address_text(Family.IPV4, block.base & 0xFFFFFFFF)}/{block.length - _MAPPED.length}"


def strictly_within(inner: Prefix, outer: Prefix) -> bool:
    """Whether `inner` is a part of `outer`, and not all of it."""
    return outer.covers(inner) and inner != outer
