"""Numbers, addresses and other literals of the policy language: what is wrong with one, in words.

Each function takes the text of a literal and gives (message, code), or None when the literal is right.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from difflib import get_close_matches

Problem = tuple[str, str] | None

#: Protocols by name: those with ports, ICMP with types, and others, which have neither.
WITH_PORTS = frozenset({"tcp", "udp", "sctp", "dccp", "udplite"})
WITH_TYPES = frozenset({"icmp", "icmpv6"})
WITHOUT = frozenset({"ah", "egp", "eigrp", "esp", "gre", "igmp", "ipcomp", "ipip", "l2tp", "ospf", "pim", "vrrp"})
PROTOCOLS = WITH_PORTS | WITH_TYPES | WITHOUT
#: `proto/47`: a protocol by its number.
BY_NUMBER = "proto"

#: Types by the names that nft has for them, and iptables' where they differ.
_ICMP_TYPES = """
    echo-reply destination-unreachable source-quench redirect echo-request router-advertisement router-solicitation
    time-exceeded parameter-problem timestamp-request timestamp-reply info-request info-reply address-mask-request
    address-mask-reply
"""
ICMP_TYPES = frozenset(_ICMP_TYPES.split())
_ICMPV6_TYPES = """
    destination-unreachable packet-too-big time-exceeded parameter-problem echo-request echo-reply mld-listener-query
    mld-listener-report mld-listener-done mld2-listener-report nd-router-solicit nd-router-advert nd-neighbor-solicit
    nd-neighbor-advert nd-redirect router-renumbering ind-neighbor-solicit ind-neighbor-advert
"""
ICMPV6_TYPES = frozenset(_ICMPV6_TYPES.split())
DSCP_CLASSES = frozenset(
    ["be", "ef", "le", "va", *(f"cs{n}" for n in range(8)), *(f"af{n}{m}" for n in range(1, 5) for m in range(1, 4))]
)
_ANSWERS = """
    tcp-reset icmp-port-unreachable icmp-host-unreachable icmp-net-unreachable icmp-proto-unreachable
    icmp-host-prohibited icmp-net-prohibited icmp-admin-prohibited
"""
ANSWERS = frozenset(_ANSWERS.split())
#: Conntrack's states of a packet.
STATES = frozenset({"new", "established", "related", "invalid", "untracked"})
#: Ends by what routing says of an address.
ROUTED = frozenset({"local", "broadcast", "multicast"})
#: What the language itself defines.
BUILT_IN = frozenset({"bogons"}) | ROUTED

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_INTERFACE = re.compile(r"[!-~]{1,15}")


def number(text: str, low: int, high: int, what: str, *, hexadecimal: bool = False) -> Problem:
    """A number within bounds, both included; `what` it is, with its article."""
    bounds = f"{what} is a number from {low} to {hex(high) if high > 65535 else high}"
    if text[:2] in ("0x", "0X"):
        if not hexadecimal:
            return f"{bounds}, written in decimal", "bad-number"
        if len(text) == 2:
            return f"no digits behind 0x: {bounds}", "bad-number"
    elif len(text) > 1 and text[0] == "0":
        plain = text.lstrip("0") or "0"
        return f"a number has no leading zeros: write {plain[:20]}", "leading-zeros"
    if len(text) > 20 or not low <= value(text) <= high:
        return bounds, "out-of-range"
    return None


def value(text: str) -> int:
    """The number that a text of digits, or of 0x and hexadecimal digits, stands for."""
    return int(text, 16 if text[:2] in ("0x", "0X") else 10)


def address(text: str) -> Problem:
    """An IPv4 or IPv6 address."""
    if packed(text) is not None:
        if text.lower().startswith("::ffff:") and "." in text:
            return f"an IPv4 address inside of IPv6: write {text.rpartition(':')[2]}", "bad-address"
        return None
    if ":" not in text:
        return f"{text[:60]} is no address: {_dotted(text)}", "bad-address"
    before, _, last = text.rpartition(":")
    hint = ""
    if ":::" in text or text.count("::") > 1:
        hint = ': "::" stands once at most'
    elif last.isdigit() and packed(before) is not None:
        hint = ': put a space before the ":" of a port'
    elif any(len(part) > 4 and "." not in part for part in text.split(":")):
        hint = ": each part has four digits at most"
    return f"{text[:60]} is no IPv6 address{hint}", "bad-address"


def _dotted(text: str) -> str:
    """What is wrong with an IPv4 address."""
    parts = text.split(".")
    if len(parts) != 4:
        return f"an IPv4 address has four numbers, not {len(parts)}"
    if any(len(part) > 1 and part[0] == "0" for part in parts):
        return "its numbers have no leading zeros"
    return "its numbers go up to 255"


def prefix(text: str) -> Problem:
    """`ADDRESS/LENGTH` without bits behind the length; the message names the network when there are some."""
    base, _, length = text.partition("/")
    if (wrong := address(base)) is not None:
        return wrong
    raw = packed(base)
    assert raw is not None
    bits = 8 * len(raw)
    if "." in length:
        mask = packed(length)
        ones = None if mask is None or bits != 32 else _ones(int.from_bytes(mask, "big"))
        return (
            f"a prefix is an address and a length: write {base}/{ones if ones is not None else 'LENGTH'}",
            "bad-prefix",
        )
    if (wrong := number(length, 0, bits, f"the length of an {'IPv4' if bits == 32 else 'IPv6'} prefix")) is not None:
        return wrong
    shift = bits - int(length)
    network = int.from_bytes(raw, "big") >> shift << shift
    if network != int.from_bytes(raw, "big"):
        return f"{text} has bits set behind its length: the network is {_text(network, bits)}/{length}", "host-bits"
    return None


def _ones(mask: int) -> int | None:
    """The length of a netmask; None when its ones are not together."""
    ones = mask.bit_count()
    return ones if mask == ((1 << ones) - 1) << (32 - ones) else None


def packed(text: str) -> bytes | None:
    """The bytes of an address; None when it is none."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return None


def _text(address: int, bits: int) -> str:
    return socket.inet_ntop(socket.AF_INET if bits == 32 else socket.AF_INET6, address.to_bytes(bits // 8, "big"))


def bounds(text: str) -> tuple[int, int, int]:
    """(bits of the family, first, last) of an address or prefix that is right."""
    base, slash, length = text.partition("/")
    raw = packed(base)
    assert raw is not None
    bits, first = 8 * len(raw), int.from_bytes(raw, "big")
    return bits, first, first + ((1 << bits - int(length)) - 1 if slash else 0)


def known(text: str, words: Collection[str], what: str, code: str) -> Problem:
    """One of some words; with the nearest one when it is none."""
    if text in words:
        return None
    near = get_close_matches(text.lower(), words, 1, 0.6) if len(text) < 40 else []
    hint = f"did you mean {near[0]}?" if near else "known are " + ", ".join(sorted(words))
    return f'"{text[:60]}" is no {what}: {hint}', code


def label_key(text: str) -> Problem:
    """[PREFIX/]NAME, as Kubernetes has it."""
    before, slash, name = text.rpartition("/")
    if slash and not (_SUBDOMAIN.fullmatch(before) and len(before) <= 253):
        return f'"{before[:60]}" before the / of a label must be a DNS name in small letters', "bad-label"
    if not _LABEL.fullmatch(name):
        return "a label is at most 63 letters, digits, -, _ and ., with a letter or digit at both ends", "bad-label"
    return None


def label_value(text: str) -> Problem:
    """Empty, or like the name of a label."""
    if text and not _LABEL.fullmatch(text):
        return (
            "a label's value is at most 63 letters, digits, -, _ and ., with a letter or digit at both ends",
            "bad-label",
        )
    return None


def namespace(text: str) -> Problem:
    """The name of a namespace."""
    if not _NAMESPACE.fullmatch(text):
        return "a namespace's name is at most 63 small letters, digits and -", "bad-label"
    return None


def interface(text: str) -> Problem:
    """The name of an interface, as the kernel takes it, or the beginning of one and `*`."""
    name = text.removesuffix("*")
    if text == "*":
        return None
    if not _INTERFACE.fullmatch(name) or "/" in name or ":" in name or "*" in name or name in (".", ".."):
        return "an interface's name is 1 to 15 characters without blanks, / and :", "bad-interface"
    return None
