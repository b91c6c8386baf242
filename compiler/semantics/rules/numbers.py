"""The numbers that words in texts of rules stand for, and sorted intervals of numbers.

Functions that take a text raise ValueError with what was expected when it is no such thing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_pton

from compiler.semantics.rules.netfilter import Interval, Intervals

#: Names of IANA's registry as the tools print them, each with its number.
_NAMES = """
    hopopt 0 icmp 1 igmp 2 ggp 3 ipencap 4 st 5 tcp 6 egp 8 igp 9 pup 12 udp 17 hmp 20 xns-idp 22 rdp 27 iso-tp4 29
    dccp 33 xtp 36 ddp 37 idpr-cmtp 38 ipv6 41 ipv6-route 43 ipv6-frag 44 idrp 45 rsvp 46 gre 47 esp 50 ah 51 skip
    57 ipv6-icmp 58 ipv6-nonxt 59 ipv6-opts 60 rspf 73 vmtp 81 eigrp 88 ospf 89 ax.25 93 ipip 94 etherip 97 encap 98
    pim 103 ipcomp 108 vrrp 112 l2tp 115 isis 124 sctp 132 fc 133 mobility-header 135 udplite 136 mpls-in-ip 137
    manet 138 hip 139 shim6 140 wesp 141 rohc 142 ethernet 143
    icmpv6 58 icmp6 58 comp 108 mh 135 ipv6-mh 135
"""
PROTOCOLS = dict(zip(_NAMES.split()[::2], map(int, _NAMES.split()[1::2]), strict=True))

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")


def number(text: str, top: int) -> int:
    """Decimal, 0x hexadecimal or 0 octal, from 0 to `top`."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text} is no number")
    value = int(text, 16 if text[:2] in ("0x", "0X") else 8 if text[0] == "0" else 10)
    if value > top:
        raise ValueError(f"{text} is not between 0 and {top}")
    return value


def protocol(text: str) -> int:
    """A number or a name."""
    found = PROTOCOLS.get(text.lower())
    if found is None:
        if not (text.isascii() and text.isdecimal()):
            raise ValueError(f"{text} is no protocol that is known here; its number would do")
        return number(text, 255)
    return found


def port(text: str) -> int:
    """A number; names of services are not known."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text} is no port number")
    return number(text, 65535)


def dscp(text: str) -> int:
    """A number or the name of a class (RFC 2474, 2597, 3246, 5865, 8622), in either case."""
    name = text.lower()
    if re.fullmatch("cs[0-7]|af[1-4][1-3]", name):
        return int(name[2]) << 3 | (int(name[3]) << 1 if name[0] == "a" else 0)
    found = {"be": 0, "df": 0, "ef": 46, "va": 44, "voice-admit": 44, "lephb": 1}.get(name)
    return number(text, 63) if found is None else found


def span(text: str, separator: str, top: int) -> Interval:
    """`80`, `80:90`, `:90`, `80:`; the separator is `:` or `-`."""
    low, given, high = text.partition(separator)
    first = port(low) if low or not given else 0
    last = (port(high) if high else top) if given else first
    if first > last:
        raise ValueError(f"{text} ends before it begins")
    return first, last


def address(text: str) -> tuple[int, int]:
    """(family, number) of an address as the tools print it."""
    try:
        if ":" not in text:
            return 4, int.from_bytes(inet_pton(AF_INET, text), "big")
        return 6, int.from_bytes(inet_pton(AF_INET6, text), "big")
    except (OSError, ValueError):  # ValueError: characters that are not ASCII, or NUL
        raise ValueError(f"{text} is no address") from None


def bits(family: int) -> int:
    """Of an address."""
    return 32 if family == 4 else 128


def mask_of(text: str, family: int) -> int:
    """A mask as its length or as an address."""
    width = bits(family)
    if text.isascii() and text.isdecimal():
        return all_ones(width) ^ all_ones(width - number(text, width))
    found, value = address(text)
    if found != family:
        raise ValueError(f"{text} is no mask for IPv{family}")
    return value


def block(text: str) -> tuple[int, Interval]:
    """(family, first and last address) of `10.0.0.1` or `10.0.0.0/8`; host bits are masked."""
    if "/" not in text:
        family, value = address(text)
        return family, (value, value)
    base, _, length = text.partition("/")
    family, value = address(base)
    mask = mask_of(length, family)
    if not is_prefix(mask, bits(family)):
        raise ValueError(f"{text} is no block of consecutive addresses")
    first = value & mask
    return family, (first, first | all_ones(bits(family)) ^ mask)


def blocks_between(first: int, last: int, width: int) -> Iterable[Interval]:
    """The fewest aligned blocks that make up a range, as ipset stores it."""
    while first <= last:
        size = first & -first or 1 << width
        while first + size - 1 > last:
            size >>= 1
        yield first, first + size - 1
        first += size


def all_ones(width: int) -> int:
    """A number of so many bits, all set."""
    return (1 << width) - 1


def is_prefix(mask: int, width: int) -> bool:
    """Whether the mask's set bits are the leading ones of `width`."""
    inverse = all_ones(width) ^ mask
    return inverse & (inverse + 1) == 0


def unmasked(intervals: Intervals, mask: int, width: int) -> Intervals | None:
    """The numbers that lie in the intervals once masked; None for masks that are not of a prefix."""
    if not is_prefix(mask, width):
        return None
    rest = all_ones(width) ^ mask
    found = (((low + rest) & ~rest, (high & mask) | rest) for low, high in intervals)
    return normal((low, high) for low, high in found if low <= high)


def translation(text: str, family: int) -> tuple[Interval | None, Interval | None]:
    """(addresses, ports) that NAT gives: `10.0.0.1`, `10.0.0.1-10.0.0.9:80-90`, `:80`, `[2001:db8::1]:80`."""
    if family == 6 and text[:1] != "[" and (text[:1] != ":" or text[:2] == "::"):
        where, which = text, ""
    elif family == 6 and text.startswith("["):
        where, _, which = text[1:].partition("]")
        which = which.removeprefix(":")
    else:
        where, _, which = text.partition(":")
    addresses = None
    if where:
        low, given, high = where.partition("-")
        ends = address(low), address(high if given else low)
        if any(found != family for found, _ in ends):
            raise ValueError(f"{text} is not of the right family")
        addresses = (ends[0][1], ends[1][1])
    return addresses, span(which, "-", 65535) if which else None


#: Printable characters but those that the kernel takes in no name (dev_valid_name).
_NAME = re.compile(rb"[!-.0-9;-~]{0,15}")
_USUAL_NAMES = ("eth0", "eth1", "eth2")


def interface(name: str, wildcard: str) -> Interval:
    """All names that begin so when the last character is the wildcard, else the one name."""
    plain = name.removesuffix(wildcard)
    raw = plain.encode()
    if len(raw) > 15:
        raise ValueError(f"{name} is longer than the name of an interface can be")
    low = int.from_bytes(raw.ljust(16, b"\0"), "big")
    if plain == name:
        return low, low
    return low, int.from_bytes(raw.ljust(16, b"\xff"), "big")


def some_interface(low: int, high: int) -> int:
    """A name that an interface may have and a reader understands, between these; `low` where there is none."""
    stem = _NAME.match(_raw(low))
    assert stem is not None, "an empty name is one"
    begins = stem[0].decode()
    for name in (*_USUAL_NAMES, begins, *(f"{begins}{more}" for more in "0aZ" if len(begins) < 15)):
        number = int.from_bytes(name.encode().ljust(16, b"\0"), "big")
        if low <= number <= high:
            return number
    return low


def interface_text(number: int) -> str:
    """The name that a number stands for."""
    return _raw(number).rstrip(b"\0").decode("ascii", "backslashreplace")


def _raw(number: int) -> bytes:
    return number.to_bytes(16, "big")


def normal(intervals: Iterable[Interval]) -> Intervals:
    """Sorted, disjoint, not adjacent."""
    found: list[Interval] = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1] + 1:
            if high > found[-1][1]:
                found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return tuple(found)


def complement(intervals: Intervals, top: int) -> Intervals:
    """Everything from 0 to `top` that is in none of them; they are normal."""
    found = []
    after = 0
    for low, high in intervals:
        if low > after:
            found.append((after, low - 1))
        after = high + 1
    if after <= top:
        found.append((after, top))
    return tuple(found)


def address_text(family: int, value: int) -> str:
    """As the tools print it."""
    return str(ipaddress.IPv4Address(value) if family == 4 else ipaddress.IPv6Address(value))
