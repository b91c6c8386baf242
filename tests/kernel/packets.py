"""Packets as bytes: every header correct, checksums too, and a mark at the end by which the rig knows them again.

A *header* is what a policy can ask about; anything with its attributes will do (`compiler.semantics.packet.Packet`
has them). The first packet of a connection is made from it: TCP SYN, UDP datagram, SCTP INIT, ICMP echo request or
the ICMP type that it names, and a bare payload for other protocols.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

ICMP, TCP, UDP, GRE, ICMPV6, SCTP = 1, 6, 17, 47, 58, 132
SYN, SYN_ACK, ACK, RST = 0x02, 0x12, 0x10, 0x04

_MARK = b"netpolc "
MARK_LENGTH = len(_MARK) + 4
_ECHO = {ICMP: 8, ICMPV6: 128}
_ECHO_REPLY = {ICMP: 0, ICMPV6: 129}
_UNREACHABLE = {ICMP: 3, ICMPV6: 1}


class Header(Protocol):
    """Addresses are canonical texts of one family; ports are 0 where the protocol has none."""

    @property
    def src(self) -> str: ...
    @property
    def dst(self) -> str: ...
    @property
    def proto(self) -> int: ...
    @property
    def sport(self) -> int: ...
    @property
    def dport(self) -> int: ...
    @property
    def icmp_type(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Tuple:
    """A header of the rig's own. For ICMP `sport` is the echo identifier."""

    src: str
    dst: str
    proto: int = TCP
    dport: int = 80
    sport: int = 40000
    icmp_type: int | None = None

    def back(self) -> Tuple:
        """The header of the answers to this one."""
        answer = None if self.proto not in _ECHO else _ECHO_REPLY[self.proto]
        ports = (self.sport, self.dport) if answer is None else (self.dport, self.sport)
        return replace(self, src=self.dst, dst=self.src, dport=ports[0], sport=ports[1], icmp_type=answer)


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP packet in the middle of a connection: `seq` and `ack` count bytes as on the wire."""

    header: Header
    flags: int
    seq: int
    ack: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """An ICMP error that `sender` returns to the source of `about`: host unreachable; no route for IPv6."""

    sender: str
    about: Header


Sendable = Header | Segment | Unreachable


def handshake(header: Tuple) -> tuple[Segment, Segment, Segment, Segment]:
    """SYN, SYN-ACK, data forth, data back. The SYN carries the mark, so the sequence numbers move on by it."""
    near, far = 1000, 5000
    near_next, far_next = near + 1 + MARK_LENGTH, far + 1 + MARK_LENGTH
    return (
        Segment(header, SYN, near, 0),
        Segment(header.back(), SYN_ACK, far, near_next),
        Segment(header, ACK, near_next, far_next),
        Segment(header.back(), ACK, far_next, near_next + MARK_LENGTH),
    )


def ends(packet: Sendable) -> tuple[str, str, int]:
    """Source, destination and protocol of the outer IP header."""
    if isinstance(packet, Segment):
        return packet.header.src, packet.header.dst, TCP
    if isinstance(packet, Unreachable):
        return packet.sender, packet.about.src, ICMPV6 if ":" in packet.sender else ICMP
    return packet.src, packet.dst, packet.proto


def encode(packet: Sendable, serial: int) -> bytes:
    """The packet from its IP header on; `serial` (32 bits) is read back by `serial_of`."""
    mark = _MARK + struct.pack("!I", serial)
    if isinstance(packet, Segment):
        header = packet.header
        body = _tcp(header, packet.flags, packet.seq, packet.ack, mark)
        return _wrap(header.src, header.dst, TCP, body, 16, serial)
    if isinstance(packet, Unreachable):
        return _unreachable(packet, mark, serial)
    proto = packet.proto
    if proto == TCP:
        return _wrap(packet.src, packet.dst, TCP, _tcp(packet, SYN, 1000, 0, mark), 16, serial)
    if proto == UDP:
        body = struct.pack("!HHHH", packet.sport, packet.dport, 8 + len(mark), 0) + mark
        return _wrap(packet.src, packet.dst, UDP, body, 6, serial)
    if proto in _ECHO:
        kind = _ECHO[proto] if packet.icmp_type is None else packet.icmp_type
        body = struct.pack("!BBHHH", kind, 0, 0, packet.sport, 1) + mark
        return _wrap(packet.src, packet.dst, proto, body, 2, serial)
    if proto == SCTP:
        return _wrap(packet.src, packet.dst, SCTP, _sctp(packet, mark), None, serial)
    if proto == GRE:  # version 0, no options, carrying IPv4
        return _wrap(packet.src, packet.dst, GRE, struct.pack("!HH", 0, 0x0800) + mark, None, serial)
    return _wrap(packet.src, packet.dst, proto, mark, None, serial)


def serial_of(raw: bytes) -> int | None:
    """The serial of a packet that `encode` made; None for anything else."""
    if raw[-MARK_LENGTH:-4] != _MARK:
        return None
    return int.from_bytes(raw[-4:], "big")


@lru_cache(maxsize=1 << 18)
def packed(address: str) -> bytes:
    """4 or 16 bytes. OSError for a text that is no address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _tcp(header: Header, flags: int, seq: int, ack: int, data: bytes) -> bytes:
    return struct.pack("!HHIIBBHHH", header.sport, header.dport, seq, ack, 0x50, flags, 8192, 0, 0) + data


def _sctp(header: Header, mark: bytes) -> bytes:
    """An INIT chunk whose last parameter is the mark (RFC 9260, 3.3.2; an unknown parameter type to be skipped)."""
    parameter = struct.pack("!HH", 0x9000, 4 + len(mark)) + mark
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(parameter), 1, 65535, 1, 1, 1) + parameter
    whole = struct.pack("!HHII", header.sport, header.dport, 0, 0) + chunk
    return whole[:8] + struct.pack("<I", _crc32c(whole)) + whole[12:]


def _unreachable(packet: Unreachable, mark: bytes, serial: int) -> bytes:
    about = packet.about
    inner = encode(about, serial)
    proto = ICMP if len(packed(about.src)) == 4 else ICMPV6
    # The error quotes the packet; the mark at its very end is the quoted packet's own.
    body = struct.pack("!BBHI", _UNREACHABLE[proto], proto == ICMP, 0, 0) + inner
    return _wrap(packet.sender, about.src, proto, body, 2, serial)


def _wrap(src: str, dst: str, proto: int, body: bytes, checksum_at: int | None, serial: int) -> bytes:
    """Adds the IP header, and the upper checksum at that offset of `body` (TCP, UDP, ICMP)."""
    source, destination = packed(src), packed(dst)
    length = len(body)
    if checksum_at is not None:
        total = _sum(body)
        if proto != ICMP:
            total += _address_sum(src) + _address_sum(dst) + proto + length
        value = _folded(total) or 0xFFFF
        body = b"%b%b%b" % (body[:checksum_at], value.to_bytes(2, "big"), body[checksum_at + 2 :])
    if len(source) == 16:
        return struct.pack("!IHBB16s16s", 0x60000000, length, proto, 64, source, destination) + body
    identity = serial & 0xFFFF
    value = _folded(0x4500 + 20 + length + identity + 0x4000 + proto + _address_sum(src) + _address_sum(dst))
    return struct.pack("!HHHHBBH4s4s", 0x4500, 20 + length, identity, 0, 64, proto, value, source, destination) + body


@lru_cache(maxsize=1 << 18)
def _address_sum(address: str) -> int:
    return _sum(packed(address))


@lru_cache(maxsize=64)
def _words(length: int) -> Callable[[bytes], tuple[int, ...]]:
    return struct.Struct(f"!{length // 2}H").unpack


def _sum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    return sum(_words(len(data))(data))


def _folded(total: int) -> int:
    """One's complement of the one's complement sum (RFC 1071)."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
