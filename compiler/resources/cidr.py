"""CIDR blocks as the API server takes them: what it refuses, and why.

Two readings exist. The ipBlock of a NetworkPolicy follows Kubernetes 1.36 ("strict IP and CIDR validation"): no
leading zeros, no IPv4-mapped IPv6 address, no bits behind the prefix length. The `networks` of the cluster-wide
kinds follow the CRD's rule `isCIDR`, which takes the same texts and host bits too.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

#: A decimal octet, leading zeros allowed: older servers took them, so the message can name them.
_SLOPPY_IPV4 = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
_EXAMPLES = "expected a CIDR block such as 10.9.8.0/24 or 2001:db8::/64"


@lru_cache(maxsize=65536)
def read(text: str) -> tuple[Network | None, str, str]:
    """(block masked to its length or None when unreadable, fault's code or "", fault's text).

    A block with a fault may still be readable: what it means is known, only its form is refused.
    """
    address, slash, length = text.partition("/")
    if not slash:
        return None, "bad-cidr", f"{_EXAMPLES}; a single address needs /32 or /128"
    if not (length.isascii() and length.isdigit()):
        return None, "bad-cidr", _EXAMPLES
    zeros = len(length) > 1 and length[0] == "0"
    if octets := _SLOPPY_IPV4.fullmatch(address):
        numbers = [int(octet) for octet in octets.groups()]
        zeros = zeros or any(len(octet) > 1 and octet[0] == "0" for octet in octets.groups())
        address = ".".join(map(str, numbers))
    try:
        if "%" in address:
            raise ValueError("an IPv6 zone names no block")
        block = ip_network(f"{address}/{int(length)}", strict=False)
        exact = ip_network(address)
    except ValueError:
        return None, "bad-cidr", _EXAMPLES
    if isinstance(exact, IPv6Network) and exact.network_address.ipv4_mapped is not None:
        return block, "ipv4-mapped", f"must not be an IPv4-mapped IPv6 address, expected {_unmapped(block)}"
    if zeros:
        return block, "leading-zeros", f"must not have leading zeros, expected {block}"
    if exact.network_address != block.network_address:
        return block, "host-bits", f"must not have bits set behind the prefix length, expected {block} or {exact}"
    return block, "", ""


def _unmapped(block: Network) -> str:
    assert isinstance(block, IPv6Network)
    mapped = block.network_address.ipv4_mapped
    return f"{mapped}/{block.prefixlen - 96}" if mapped is not None and block.prefixlen >= 96 else "an IPv4 block"


def strictly_within(inner: Network, outer: Network) -> bool:
    """Whether `inner` is a part of `outer`, and not all of it."""
    return (
        inner.version == outer.version
        and inner.prefixlen > outer.prefixlen
        and int(inner.network_address) >> (inner.max_prefixlen - outer.prefixlen)
        == int(outer.network_address) >> (outer.max_prefixlen - outer.prefixlen)
    )
