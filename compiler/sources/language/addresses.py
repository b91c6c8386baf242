"""Which addresses an end can be, as far as that is known without a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import assert_never

from compiler.net import Intervals, intersect, subtract, union
from compiler.resources.language import (
    Addresses,
    Anyone,
    Both,
    Either,
    End,
    Interfaces,
    Less,
    Nodes,
    Pods,
    Routed,
    ThisNode,
)

#: IP version -> addresses as sorted, disjoint intervals.
ByVersion = Mapping[int, Intervals]
VERSIONS = (4, 6)

#: Sources that no packet from elsewhere may have (RFC 6890 and its registries): this network, without the address that
#: DHCP asks from; loopback; documentation; benchmarking; multicast and reserved. Private ranges are none: they are
#: people's own.
BOGONS = (
    "0.0.0.1-0.255.255.255 127.0.0.0-127.255.255.255 192.0.2.0-192.0.2.255 198.18.0.0-198.19.255.255 "
    "198.51.100.0-198.51.100.255 203.0.113.0-203.0.113.255 224.0.0.0-255.255.255.255 ::1-::1 "
    "::ffff:0:0-::ffff:ffff:ffff 100::-100::ffff:ffff:ffff:ffff 2001:2::-2001:2:0:ffff:ffff:ffff:ffff:ffff "
    "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 3fff::-3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff "
    "fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
)


def bogons() -> Either:
    """The built-in set."""
    pairs = (text.split("-") for text in BOGONS.split())
    return Either(ends=tuple(Addresses(first=ip_address(low), last=ip_address(high)) for low, high in pairs))


def known(end: End) -> ByVersion | None:
    """The addresses of an end that is made of addresses alone; None when it needs a cluster or interfaces."""
    match end:
        case Addresses(first=first, last=last):
            return {first.version: ((int(first), int(last)),)}
        case Either(ends=ends):
            parts = [known(one) for one in ends]
            if any(part is None for part in parts):
                return None
            return {v: union(*(part.get(v, ()) for part in parts if part is not None)) for v in VERSIONS}
        case Both(ends=ends):
            whole: ByVersion | None = None
            for one in ends:
                part = known(one)
                if part is None:
                    return None
                whole = part if whole is None else {v: intersect(whole.get(v, ()), part.get(v, ())) for v in VERSIONS}
            return whole
        case Less(end=inner, without=cut):
            left, right = known(inner), known(cut)
            if left is None or right is None:
                return None
            return {v: subtract(left.get(v, ()), right.get(v, ())) for v in VERSIONS}
        case Anyone() | ThisNode() | Pods() | Nodes() | Interfaces() | Routed():
            return None
        case _:
            assert_never(end)


def versions(end: End) -> frozenset[int]:
    """The IP versions that the addresses of an end can have; none for an end that is surely nobody."""
    exact = known(end)
    if exact is not None:
        return frozenset(version for version, spans in exact.items() if spans)
    match end:
        case Either(ends=ends):
            return frozenset[int]().union(*map(versions, ends))
        case Both(ends=ends):
            return frozenset(VERSIONS).intersection(*map(versions, ends))
        case Less(end=inner):
            return versions(inner)
        case Routed(kind="broadcast"):
            return frozenset({4})
        case _:
            return frozenset(VERSIONS)


def single(end: End) -> Mapping[int, IPv4Address | IPv6Address] | None:
    """IP version -> the one address that an end is in it; None when it is several, or not known."""
    exact = known(end)
    if exact is None or any(len(spans) > 1 or any(a != b for a, b in spans) for spans in exact.values()):
        return None
    return {v: IPv4Address(a[0][0]) if v == 4 else IPv6Address(a[0][0]) for v, a in exact.items() if a}
