"""Words of rules -> numbers, and sorted intervals of them. ValueError for a word that is no such thing."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.net import Family, Intervals, parse_address

#: IANA's numbers by the names that the tools print.
PROTOCOLS = {
    **{"icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 94, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6": 41},
    **{"gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "icmp6": 58, "eigrp": 88, "ospf": 89},
    **{"pim": 103, "ipcomp": 108, "comp": 108, "vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136},
}


def protocol(word: str) -> int:
    """By name or number; 0 is none of them."""
    return PROTOCOLS[word.lower()] if word.lower() in PROTOCOLS else number(word, 255)


def number(word: str, top: int = 0xFFFFFFFF) -> int:
    """Decimal or hexadecimal."""
    value = int(word, 16) if word[:2].lower() == "0x" else int(word, 10)
    if not 0 <= value <= top:
        raise ValueError(f"{word} is not between 0 and {top}")
    return value


def span(word: str, separator: str, top: int = 65535) -> tuple[int, int]:
    """`80`, `80:90`, `:90`, `80:`."""
    low, ranged, high = word.partition(separator)
    first = number(low, top) if low or not ranged else 0
    last = (number(high, top) if high else top) if ranged else first
    if first > last:
        raise ValueError(f"{word} ends before it begins")
    return first, last


def joined(intervals: Iterable[tuple[int, int]]) -> Intervals:
    """Sorted, disjoint, not adjacent."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return tuple(found)


def others(intervals: Intervals, top: int) -> Intervals:
    """What is in none of them, from 0 to `top`."""
    found, start = [], 0
    for low, high in intervals:
        if start < low:
            found.append((start, low - 1))
        start = high + 1
    return (*found, (start, top)) if start <= top else tuple(found)


def common(one: Intervals, two: Intervals) -> Intervals:
    """What is in both."""
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in two)
    return joined(pair for pair in pairs if pair[0] <= pair[1])


def top_of(version: int) -> int:
    """The last address of a family."""
    return (1 << Family(version).bits) - 1


def block(word: str) -> tuple[int, tuple[int, int]]:
    """(version, first and last address) of an address, a prefix or one with a mask; bits of hosts do not count.
    ValueError also where the mask is none of a prefix."""
    base, masked, length = word.partition("/")
    family, value = parse_address(base)
    if not masked:
        return family.value, (value, value)
    top = top_of(family.value)
    if length.isdecimal():
        mask = top ^ top >> number(length, family.bits)
    else:
        given, mask = parse_address(length)
        rest = mask ^ top
        if given is not family or rest & rest + 1:
            raise ValueError(f"{word} has a mask that is none of a prefix")
    return family.value, (value & mask, value & mask | mask ^ top)


def between(word: str) -> tuple[int, tuple[int, int]]:
    """(version, first and last) of `10.0.0.1-10.0.0.9`, or what `block` takes."""
    low, ranged, high = word.partition("-")
    if not ranged:
        return block(word)
    (one, first), (two, last) = parse_address(low), parse_address(high)
    if one is not two or first > last:
        raise ValueError(f"{word} is no range of addresses")
    return one.value, (first, last)


def parsed_end(word: str) -> tuple[int, int, int | None]:
    """(version, address, port or None) of `10.0.0.9`, `10.0.0.9:80`, `2001:db8::9`, `[2001:db8::9]:80`."""
    base, port = word, None
    if word.startswith("["):
        base, _, tail = word[1:].partition("]")
        port = number(tail.removeprefix(":"), 65535) if tail else None
    elif word.count(":") == 1:
        base, _, tail = word.partition(":")
        port = number(tail, 65535)
    version, (first, last) = between(base)
    if first != last or "/" in base:
        raise ValueError(f"{word} is not one address")
    return version, first, port


def rate(count: int, unit: str, burst: int) -> str:
    """How often, in the language's words, which leave out the burst that both tools have by themselves."""
    if not 1 <= count <= 10_000 or not 1 <= burst <= 10_000:
        raise ValueError(f"a rate of {count} or a burst of {burst}")
    return f"{count}/{unit}" + ("" if burst == 5 else f" burst {burst}")
