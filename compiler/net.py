"""Prefix and port algebra on plain integers.

Addresses are integers of 32 or 128 bits; the family travels beside them. Port intervals are inclusive pairs
within 0-65535; a sorted tuple of disjoint, non-adjacent pairs is the canonical form that every function here
takes and gives.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

TCP, UDP, SCTP = 6, 17, 132
PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
PROTOCOL_NAMES = {number: name.lower() for name, number in PROTOCOLS.items()}

Intervals = tuple[tuple[int, int], ...]
EVERY_PORT: Intervals = ((0, 65535),)


class Family(Enum):
    """An address family; the value is the IP version."""

    IPV4 = 4
    IPV6 = 6

    __hash__ = object.__hash__  # by identity, as equality: Enum's own is Python, and families are in many keys

    @property
    def bits(self) -> int:
        """Width of an address in bits."""
        return 32 if self is Family.IPV4 else 128


_FAMILIES = {family.value: family for family in Family}


class Prefix(NamedTuple):
    """A CIDR block: `base` has no bit set behind `length`. Orders by family, base, length."""

    version: int
    base: int
    length: int

    @property
    def family(self) -> Family:
        return _FAMILIES[self.version]

    def covers(self, other: Prefix) -> bool:
        """Whether every address of `other` is one of this block."""
        shift = self.family.bits - self.length
        return (
            self.version == other.version and self.length <= other.length and self.base == other.base >> shift << shift
        )

    def __str__(self) -> str:
        return f"{address_text(self.family, self.base)}/{self.length}"


def without(prefix: Prefix, cuts: Iterable[Prefix]) -> tuple[Prefix, ...]:
    """The addresses of `prefix` that lie in none of `cuts`, as few disjoint blocks as possible, sorted."""
    inside = [cut for cut in cuts if prefix.covers(cut) or cut.covers(prefix)]
    if any(cut.covers(prefix) for cut in inside):
        return ()
    if not inside:
        return (prefix,)
    half = 1 << prefix.family.bits - prefix.length - 1
    halves = (prefix._replace(length=prefix.length + 1), Prefix(prefix.version, prefix.base + half, prefix.length + 1))
    return tuple(left for part in halves for left in without(part, inside))


def prefixes(spans: Intervals, family: Family) -> list[Prefix]:
    """As few prefixes as hold these addresses and no others, sorted."""
    version, bits = family.value, family.bits
    found = []
    for low, high in spans:
        while low < high:
            size = min(low & -low or 1 << bits, 1 << (high - low + 1).bit_length() - 1)
            found.append(Prefix(version, low, bits + 1 - size.bit_length()))
            low += size
        if low == high:
            found.append(Prefix(version, low, bits))
    return found


def parse_address(text: str) -> tuple[Family, int]:
    """A canonical address string as (family, integer). ValueError when it is none."""
    family = Family.IPV6 if ":" in text else Family.IPV4
    try:
        raw = socket.inet_pton(socket.AF_INET6 if family is Family.IPV6 else socket.AF_INET, text)
    except OSError:
        raise ValueError(f"{text!r} is not an IP address") from None
    return family, int.from_bytes(raw, "big")


def parse_prefix(text: str) -> Prefix:
    """`ADDRESS/LENGTH`, masked to its length. ValueError when it is none."""
    address, slash, length = text.partition("/")
    family, value = parse_address(address)
    if not slash or not length.isascii() or not length.isdigit() or int(length) > family.bits:
        raise ValueError(f"{text!r} is not a CIDR block")
    shift = family.bits - int(length)
    return Prefix(family.value, value >> shift << shift, int(length))


def address_text(family: Family, value: int) -> str:
    """The canonical text of an address, as inet_ntop(3) and the kernel's tools print it."""
    if family is Family.IPV4:
        return socket.inet_ntop(socket.AF_INET, value.to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16, "big"))


def mask(family: Family, length: int) -> int:
    """The netmask of a prefix length, as an integer."""
    return ((1 << length) - 1) << (family.bits - length)


def union(*parts: Intervals) -> Intervals:
    """All ports that lie in any part."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(interval for part in parts for interval in part):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def subtract(whole: Intervals, part: Intervals) -> Intervals:
    """The ports of `whole` that do not lie in `part`: one pass over both."""
    if not part or whole == part:
        return () if part else whole
    left: list[tuple[int, int]] = []
    n = 0
    for low, high in whole:
        while n < len(part) and part[n][0] <= high:
            cut_low, cut_high = part[n]
            if cut_low > low:
                left.append((low, cut_low - 1))
            low = max(low, cut_high + 1)
            if cut_high > high:  # it may cut the next interval, too
                break
            n += 1
        if low <= high:
            left.append((low, high))
    return tuple(left)


def intersect(one: Intervals, two: Intervals) -> Intervals:
    """The ports that lie in both."""
    return subtract(one, subtract(one, two))


@dataclass(frozen=True, slots=True)
class PortSet:
    """A set of (protocol, destination port) points: what a policy lets through towards one peer.

    `other` stands for every protocol without a port that policies of Kubernetes can name: ICMP and the rest pass or
    fail together (SEMANTICS, "other protocols"). Programs can name them: `apart` are those that are not as `other`
    says, by number, with what is in the set: ports, types of ICMP, or all.
    """

    tcp: Intervals = ()
    udp: Intervals = ()
    sctp: Intervals = ()
    other: bool = False
    apart: tuple[tuple[int, Intervals], ...] = field(default=(), repr=False)
    _hash: int | None = field(default=None, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        """Remembered: port sets are keys of everything."""
        found = self._hash
        if found is None:
            found = hash((self.tcp, self.udp, self.sctp, self.other, self.apart))
            object.__setattr__(self, "_hash", found)
        return found

    def __or__(self, more: PortSet) -> PortSet:
        return all_of((self, more))

    def __sub__(self, less: PortSet) -> PortSet:
        other = self.other and not less.other
        apart = _numbers((self, less))
        return PortSet(
            subtract(self.tcp, less.tcp),
            subtract(self.udp, less.udp),
            subtract(self.sctp, less.sctp),
            other,
            _apart({n: subtract(self.spans(n), less.spans(n)) for n in apart}, other) if apart else (),
        )

    def __and__(self, both: PortSet) -> PortSet:
        return self - (self - both)

    def __bool__(self) -> bool:
        return bool(self.tcp or self.udp or self.sctp or self.other or self.apart)

    def items(self) -> tuple[tuple[int, int, int], ...]:
        """(protocol, first port, last port) of every interval of TCP, UDP and SCTP, in numeric order."""
        pairs = ((TCP, self.tcp), (UDP, self.udp), (SCTP, self.sctp))
        return tuple((protocol, low, high) for protocol, spans in pairs for low, high in spans)

    def spans(self, protocol: int) -> Intervals:
        """What the set has of a protocol."""
        known = {TCP: self.tcp, UDP: self.udp, SCTP: self.sctp}.get(protocol)
        if known is None:
            known = dict(self.apart).get(protocol, EVERY_PORT if self.other else ())
        return known

    @property
    def listed(self) -> tuple[tuple[int, Intervals], ...]:
        """The shorter list of what the set has of the protocols apart: with `other`, of what it has not."""
        return tuple((n, subtract(EVERY_PORT, spans)) for n, spans in self.apart) if self.other else self.apart

    def has(self, protocol: int, port: int) -> bool:
        """Whether the point is in the set; `port` is ignored for protocols that `other` speaks of."""
        return any(low <= port <= high for low, high in self.spans(protocol))

    def __str__(self) -> str:
        if self == ALL_PORTS:
            return "everything"
        shown = []
        for name in PROTOCOL_NAMES.values():
            shown += _shown(name, getattr(self, name))
        others = [f"{n}" if part == EVERY_PORT else _shown(f"{n}:", part)[0] for n, part in self.listed]
        if self.other:
            shown.append("other protocols" + f" but {' and '.join(others)}" * bool(others))
        else:
            shown += (f"protocol {one}" for one in others)
        return "; ".join(shown) or "nothing"


NO_PORTS = PortSet()
ALL_PORTS = PortSet(EVERY_PORT, EVERY_PORT, EVERY_PORT, True)


def all_of(sets: Collection[PortSet]) -> PortSet:
    """All ports that lie in any of these."""
    tcp, udp, sctp = ({one.tcp for one in sets}, {one.udp for one in sets}, {one.sctp for one in sets})
    other, apart = any(one.other for one in sets), _numbers(sets)
    more = _apart({n: union(*(one.spans(n) for one in sets)) for n in apart}, other) if apart else ()
    return PortSet(_joined(tcp), _joined(udp), _joined(sctp), other, more)


def _joined(distinct: set[Intervals]) -> Intervals:
    full = distinct - {()}
    return full.pop() if len(full) == 1 else union(*full)


def _numbers(sets: Collection[PortSet]) -> set[int]:
    """The protocols that some of these sets have apart."""
    return {number for one in sets for number, _ in one.apart}


def _apart(spans: Mapping[int, Intervals], other: bool) -> tuple[tuple[int, Intervals], ...]:
    whole = EVERY_PORT if other else ()
    return tuple((number, found) for number, found in sorted(spans.items()) if found != whole)


def _shown(name: str, spans: Intervals) -> list[str]:
    if not spans or spans == EVERY_PORT:
        return [name] if spans else []
    return [f"{name} " + ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)]


def port_set(items: Iterable[tuple[int, int, int]]) -> PortSet:
    """The set of these (protocol, first, last) intervals."""
    spans: dict[int, list[tuple[int, int]]] = {TCP: [], UDP: [], SCTP: []}
    for protocol, low, high in items:
        spans.setdefault(protocol, []).append((low, high))
    tcp, udp, sctp = (union(tuple(spans.pop(protocol))) for protocol in (TCP, UDP, SCTP))
    return PortSet(tcp, udp, sctp, apart=_apart({n: union(tuple(found)) for n, found in spans.items()}, False))
