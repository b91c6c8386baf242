"""nft's data types: words -> intervals of numbers.

Names are those that `nft describe` lists; the numbers of ICMP are IANA's.
"""

from __future__ import annotations

from collections.abc import Callable

from compiler.semantics.rules.netfilter import AddressType, Interval, State
from compiler.semantics.rules.numbers import address, all_ones, block, interface, number, protocol, span

_ICMP = """
    echo-reply 0 destination-unreachable 3 source-quench 4 redirect 5 echo-request 8 router-advertisement 9
    router-solicitation 10 time-exceeded 11 parameter-problem 12 timestamp-request 13 timestamp-reply 14 info-request 15
    info-reply 16 address-mask-request 17 address-mask-reply 18
"""
_ICMPV6 = """
    destination-unreachable 1 packet-too-big 2 time-exceeded 3 parameter-problem 4 echo-request 128 echo-reply 129
    mld-listener-query 130 mld-listener-report 131 mld-listener-done 132 mld-listener-reduction 132
    nd-router-solicit 133 nd-router-advert 134 nd-neighbor-solicit 135 nd-neighbor-advert 136 nd-redirect 137
    router-renumbering 138 ind-neighbor-solicit 141 ind-neighbor-advert 142 mld2-listener-report 143
"""
_ICMP_CODES = """
    net-unreachable 0 host-unreachable 1 prot-unreachable 2 port-unreachable 3 frag-needed 4 net-prohibited 9
    host-prohibited 10 admin-prohibited 13
"""
_ICMPV6_CODES = """
    no-route 0 admin-prohibited 1 addr-unreachable 3 port-unreachable 4 policy-fail 5 reject-route 6
"""


def _names(text: str) -> dict[str, int]:
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


def _one_of(names: dict[str, int], top: int) -> Callable[[str], Interval]:
    def read(text: str) -> Interval:
        if text in names:
            return names[text], names[text]
        if top < 0:
            raise ValueError(f"{text} is not one of {', '.join(names)}")
        return _range(text, top)

    return read


def _range(text: str, top: int) -> Interval:
    low, given, high = text.partition("-")
    first = number(low, top)
    last = number(high, top) if given else first
    if last < first:
        raise ValueError(f"{text} ends before it begins")
    return first, last


def _address(family: int) -> Callable[[str], Interval]:
    def read(text: str) -> Interval:
        if "-" in text:
            low, _, high = text.partition("-")
            (found, first), (other, last) = address(low), address(high)
            if other != found or last < first:
                raise ValueError(f"{text} is no range of addresses")
        else:
            found, (first, last) = block(text)
            # Written so it means the block; printed so, a comparison with a mask that leaves nothing (nft 1.0.6).
            if "/" in text and address(text.partition("/")[0])[1] != first:
                raise ValueError(f"{text} has bits behind the prefix, which nft takes one way and prints another way")
        if found != family:
            raise ValueError(f"{text} is no address of IPv{family}")
        return first, last

    return read


def _protocol(text: str) -> Interval:
    try:
        found = protocol(text)
    except ValueError:
        if "-" not in text or not text[0].isdecimal():
            raise
        return _range(text, 255)
    return found, found


def _interface(text: str) -> Interval:
    if "\\" in text:
        raise ValueError(f"{text} is no name of an interface that is understood here")
    return interface(text, "*")


#: Names, and the numbers that `nft -nn` prints: one bit for each state.
_STATES = {state.name.lower(): int(state) for state in State} | {
    "0x1": int(State.INVALID),
    "0x2": int(State.ESTABLISHED),
    "0x4": int(State.RELATED),
    "0x8": int(State.NEW),
    "0x40": int(State.UNTRACKED),
}
_TYPES = {kind.name.lower(): int(kind) for kind in AddressType} | {str(int(kind)): int(kind) for kind in AddressType}

#: Data type -> (what reads its values, the largest number).
_READERS: dict[str, tuple[Callable[[str], Interval], int]] = {
    "ipv4_addr": (_address(4), all_ones(32)),
    "ipv6_addr": (_address(6), all_ones(128)),
    "inet_proto": (_protocol, 255),
    "inet_service": (lambda text: span(text, "-", 65535), 65535),
    "mark": (lambda text: _range(text, all_ones(32)), all_ones(32)),
    "integer": (lambda text: _range(text, 255), 255),
    "ifname": (_interface, all_ones(128)),
    # Names stand for numbers here; 0 is none (nft_meta_store_ifindex).
    "iface_index": (lambda text: (0, 0) if text == "0" else _interface(text), all_ones(128)),
    "icmp_type": (_one_of(_names(_ICMP), 255), 255),
    "icmpv6_type": (_one_of(_names(_ICMPV6), 255), 255),
    "icmp_code": (_one_of(_names(_ICMP_CODES), 255), 255),
    "icmpv6_code": (_one_of(_names(_ICMPV6_CODES), 255), 255),
    "ct_state": (_one_of(_STATES, -1), int(max(State))),
    "fib_addrtype": (_one_of(_TYPES, -1), int(max(AddressType))),
    "nf_proto": (_one_of({"ipv4": 4, "ipv6": 6, "2": 4, "10": 6}, -1), 15),
    "ether_type": (_one_of({"ip": 4, "ip6": 6, "0x0800": 4, "0x86dd": 6}, -1), 15),
}


def is_known(kind: str) -> bool:
    """Whether it is a data type of which values can be read."""
    return kind in _READERS


def interval(kind: str, text: str) -> Interval:
    """The numbers that a word of this data type means, without quotes; `*` is all. ValueError when it has none."""
    read, top = _READERS[kind]
    return (0, top) if text == "*" else read(text)


def top_of(kind: str) -> int:
    """The largest number of the data type."""
    return _READERS[kind][1]
