"""Open connections as conntrack tells them, and which of them a change of verdicts revokes.

Conntrack has two tuples of a connection: *original*, as its first packet came, and *reply*, as answers come. What the
filter table saw of the first packet is the original's source and the reply's source: translation of the destination
was done by then, that of the source was not.

Layouts: linux/netfilter/nfnetlink_conntrack.h, as ctnetlink_dump_tuples of the kernel writes them: addresses first,
then the protocol, then its ports. Only ends are read of every connection, the rest of those that are cut.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from compiler.ir.ruleset import Hook
from compiler.net import Family, address_text
from enforcer.flows.walk import First

_ORIGINAL, _REPLY, _STATUS, _ID, _MASTER, _ZONE, _FILTER = 1, 2, 3, 12, 14, 18, 25
_IP, _PROTOCOL = 1, 2
_NESTED, _KIND = 0x8000, 0x3FFF
_EXPECTED = 1  # IPS_EXPECTED: a connection that another one announced
_SOURCE_FLAG, _BY_ORIGINAL, _BY_REPLY = 1, 1, 2  # CTA_FILTER_FLAG_CTA_IP_SRC, CTA_FILTER_ORIG_FLAGS, ..._REPLY_FLAGS
_ATTRIBUTE = struct.Struct("=HH")
_BIG_SHORT = struct.Struct("!H")
_WITH_PORTS = 28  # the length of a tuple's protocol with its number and two ports
_FAMILIES = {2: Family.IPV4, 10: Family.IPV6}
_NUMBERS = {Family.IPV4: 2, Family.IPV6: 10}
_ICMP = (1, 58)

#: Whether the first packet of a connection passes at a hook; None when that cannot be told.
Verdict = Callable[[First, Hook], bool | None]


class Flow(NamedTuple):
    """`first`: as the filter table saw it. `translated`: the destination was another at first. `expected`: let through
    because `master`, another connection, announced it (RELATED). `entry`: what conntrack says of it, whole."""

    first: First
    translated: bool
    expected: bool
    entry: bytes

    def __str__(self) -> str:
        one = self.first
        source, destination = (address_text(one.family, end) for end in (one.source, one.destination))
        return f"{source} -> {destination} protocol {one.protocol} port {one.port}"


def read(number: int, entry: bytes, pods: frozenset[bytes]) -> Flow | None:
    """The entry of the address family `number` as a flow, when one of its ends is among these addresses (packed)."""
    family = _FAMILIES.get(number)
    if family is None:
        return None
    size = 4 if family is Family.IPV4 else 16
    reply = _ATTRIBUTE.unpack_from(entry)[0]
    source, destination = entry[12 : 12 + size], entry[reply + 12 : reply + 12 + size]
    if source not in pods and destination not in pods:
        return None
    return _flow(family, size, entry, reply)


def _flow(family: Family, size: int, entry: bytes, reply: int) -> Flow:
    original = entry[16 + size : 16 + 2 * size]
    destination = entry[reply + 12 : reply + 12 + size]
    first = _first(family, size, entry, 0, destination, reply)
    behind = reply + _ATTRIBUTE.unpack_from(entry, reply)[0]
    expected = _ATTRIBUTE.unpack_from(entry, behind)[1] & _KIND == _STATUS and bool(entry[behind + 7] & _EXPECTED)
    return Flow(first, original != destination, expected, entry)


def _first(family: Family, size: int, entry: bytes, start: int, destination: bytes, reply: int | None) -> First:
    """The tuple whose head is at `start`; the destination port is the source port of the `reply`, or its own. An
    attribute's head is 4 long, and values are padded to 4."""
    at = start + 16 + 2 * size  # of the protocol: behind the heads of tuple, addresses, source and destination
    protocol, source_port, port = entry[at + 8], 0, 0
    kind, code = None, 0
    if protocol in _ICMP:
        (source_port,) = _BIG_SHORT.unpack_from(entry, at + 16)
        kind, code = entry[at + 24], entry[at + 32]
    elif _ATTRIBUTE.unpack_from(entry, at)[0] >= _WITH_PORTS:
        (source_port,) = _BIG_SHORT.unpack_from(entry, at + 16)
        (port,) = _BIG_SHORT.unpack_from(entry, at + 24 if reply is None else reply + 16 + 2 * size + 16)
    source = int.from_bytes(entry[start + 12 : start + 12 + size], "big")
    return First(family, source, int.from_bytes(destination, "big"), protocol, source_port, port, kind, code)


def revoked(
    flows: Iterable[Flow], local: frozenset[bytes], now: Verdict, before: Verdict | None = None
) -> Iterator[Flow]:
    """The flows that `now` denies and that `before` did not (None: nobody knows, and they are open, so somebody let
    them). `local`: the node's own addresses; what goes between two of them is nobody's but its own. A connection that
    another announced stays or goes with that one. What cannot be told stays."""
    for flow in flows:
        judged = flow.first
        if flow.expected:
            master = _master(flow)
            if master is None:
                continue
            judged = master
        hook = _hook(judged, local)
        if hook is None or now(judged, hook) is not False:
            continue
        if before is None or before(judged, hook) is not False:
            yield flow


def _hook(first: First, local: frozenset[bytes]) -> Hook | None:
    size = first.family.bits // 8
    sent, taken = (end.to_bytes(size, "big") in local for end in (first.source, first.destination))
    if sent:
        return None if taken else Hook.OUTPUT
    return Hook.INPUT if taken else Hook.FORWARD


def _master(flow: Flow) -> First | None:
    """The connection that announced this one, as it came: of a translated one nobody can say whom it meant."""
    found = dict(_attributes(flow.entry)).get(_MASTER)
    if found is None or flow.translated:
        return None
    family, size = flow.first.family, flow.first.family.bits // 8
    entry = _attribute(_MASTER, found)
    return _first(family, size, entry, 0, entry[16 + size : 16 + 2 * size], None)


def deletion(flow: Flow) -> tuple[int, bytes]:
    """Address family and attributes of a message that deletes exactly this connection: a later one with the same tuple
    has another id."""
    kept = b"".join(
        _ATTRIBUTE.pack(4 + len(value), kind | (_NESTED if kind == _ORIGINAL else 0)) + value + bytes(-len(value) % 4)
        for kind, value in _attributes(flow.entry)
        if kind in (_ORIGINAL, _ID, _ZONE)
    )
    return _NUMBERS[flow.first.family], kept


def asking(address: bytes, reply: bool) -> tuple[int, bytes]:
    """Address family and attributes of a dump that tells only connections whose original (`reply`: whose reply) has
    this source. Kernels before 5.8 tell all."""
    six = len(address) == 16
    source = _nest(_IP, _attribute(3 if six else 1, address))
    flags = _attribute(_BY_REPLY if reply else _BY_ORIGINAL, struct.pack("=I", _SOURCE_FLAG))
    other = _attribute(_BY_ORIGINAL if reply else _BY_REPLY, struct.pack("=I", 0))
    return 10 if six else 2, _nest(_REPLY if reply else _ORIGINAL, source) + _nest(_FILTER, flags + other)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at, end = 0, len(data)
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _KIND, data[at + 4 : at + length]
        at += length + 3 & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nest(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)
