"""Packets as bytes: every header correct, checksums too, and a mark at the end by which the rig knows them again.

A `Packet` of the oracle is what a policy can ask about. The first packet of a connection is made from it: TCP SYN,
UDP datagram, SCTP INIT, the ICMP type that it names, and a bare payload for other protocols. `Segment` and
`Unreachable` are what follows in a connection.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from compiler.semantics.packet import ICMP, ICMPV6, Packet

GRE, ESP = 47, 50
SYN, SYN_ACK, ACK, RST = 0x02, 0x12, 0x10, 0x04

_MARK = b"netpolc "
MARK_LENGTH = len(_MARK) + 4
_ECHO = {ICMP: 8, ICMPV6: 128}
_ECHO_REPLY = {ICMP: 0, ICMPV6: 129}
_UNREACHABLE = {ICMP: 3, ICMPV6: 1}


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP packet in the middle of a connection: `seq` and `ack` count bytes as on the wire."""

    packet: Packet
    flags: int
    seq: int
    ack: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """An ICMP error that `sender` returns to the source of `about`: host unreachable; no route for IPv6."""

    sender: str
    about: Packet


Sendable = Packet | Segment | Unreachable


def reply(packet: Packet) -> Packet:
    """The first answer: addresses and ports the other way round, an echo reply for an echo request."""
    if packet.proto in _ECHO_REPLY:
        return replace(packet, src=packet.dst, dst=packet.src, icmp_type=_ECHO_REPLY[packet.proto])
    return replace(
        packet,
        src=packet.dst,
        dst=packet.src,
        sport=packet.dport,
        dport=packet.sport,
    )


def handshake(packet: Packet) -> tuple[Segment, Segment, Segment, Segment]:
    """SYN, SYN-ACK, data forth, data back. The SYN carries the mark, so the sequence numbers move on by it."""
    near, far = 1000, 5000
    near_next, far_next = near + 1 + MARK_LENGTH, far + 1 + MARK_LENGTH
    return (
        Segment(packet, SYN, near, 0),
        Segment(reply(packet), SYN_ACK, far, near_next),
        Segment(packet, ACK, near_next, far_next),
        Segment(reply(packet), ACK, far_next, near_next + MARK_LENGTH),
    )


def ends(packet: Sendable) -> tuple[str, str, int]:
    """Source, destination and protocol of the outer IP header."""
    if isinstance(packet, Segment):
        packet = packet.packet
    if isinstance(packet, Unreachable):
        return packet.sender, packet.about.src, ICMPV6 if ":" in packet.sender else ICMP
    return packet.src, packet.dst, packet.proto


def encode(packet: Sendable, serial: int) -> bytes:
    """The packet from its IP header on; `serial` (32 bits) is read back by `serial_of`."""
    mark = _MARK + struct.pack("!I", serial)
    if isinstance(packet, Segment):
        return _wrap(packet.packet, _tcp(packet.packet, packet.flags, packet.seq, packet.ack, mark), 16, serial)
    if isinstance(packet, Unreachable):
        return _unreachable(packet, serial)
    match packet.proto:
        case 6:
            return _wrap(packet, _tcp(packet, SYN, 1000, 0, mark), 16, serial)
        case 17:
            body = struct.pack("!HHHH", packet.sport, packet.dport, 8 + len(mark), 0) + mark
            return _wrap(packet, body, 6, serial)
        case 1 | 58:
            kind = _ECHO[packet.proto] if packet.icmp_type is None else packet.icmp_type
            body = struct.pack("!BBHHH", kind, packet.icmp_code, 0, packet.sport, 1) + mark
            return _wrap(packet, body, 2, serial)
        case 132:
            return _wrap(packet, _sctp(packet, mark), None, serial)
        case 47:  # version 0, no options, carrying IPv4 (RFC 2784)
            return _wrap(packet, struct.pack("!HH", 0, 0x0800) + mark, None, serial)
        case 33 | 136:  # DCCP and UDP-Lite have their ports where TCP has them
            return _wrap(packet, struct.pack("!HH", packet.sport, packet.dport) + bytes(16) + mark, None, serial)
        case _:
            return _wrap(packet, mark, None, serial)


def serial_of(raw: bytes) -> int | None:
    """The serial of a packet that `encode` made; None for anything else."""
    if raw[-MARK_LENGTH:-4] != _MARK:
        return None
    return int.from_bytes(raw[-4:], "big")


@lru_cache(maxsize=1 << 18)
def packed(address: str) -> bytes:
    """4 or 16 bytes. OSError for a text that is no address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _tcp(packet: Packet, flags: int, seq: int, ack: int, data: bytes) -> bytes:
    return struct.pack("!HHIIBBHHH", packet.sport, packet.dport, seq, ack, 0x50, flags, 8192, 0, 0) + data


def _sctp(packet: Packet, mark: bytes) -> bytes:
    """An INIT chunk whose last parameter is the mark (RFC 9260, 3.3.2; an unknown parameter type to be skipped)."""
    parameter = struct.pack("!HH", 0x9000, 4 + len(mark)) + mark
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20 + len(parameter), 1, 65535, 1, 1, 1) + parameter
    whole = struct.pack("!HHII", packet.sport, packet.dport, 0, 0) + chunk
    return whole[:8] + struct.pack("<I", _crc32c(whole)) + whole[12:]


def _unreachable(error: Unreachable, serial: int) -> bytes:
    """The error quotes the packet that it is about, so the mark at its very end is the quoted packet's."""
    sender, receiver, protocol = ends(error)
    code = 1 if protocol == ICMP else 0
    body = struct.pack("!BBHI", _UNREACHABLE[protocol], code, 0, 0) + encode(error.about, serial)
    return _wrap(Packet(sender, receiver, protocol), body, 2, serial)


def _wrap(packet: Packet, body: bytes, checksum_at: int | None, serial: int) -> bytes:
    """Adds the IP header, and the upper checksum at that offset of `body` (TCP, UDP, ICMP)."""
    source, destination, protocol = packed(packet.src), packed(packet.dst), packet.proto
    addresses = _address_sum(packet.src) + _address_sum(packet.dst)
    length = len(body)
    if checksum_at is not None:
        pseudo = 0 if protocol == ICMP else addresses + protocol + length
        value = _folded(pseudo + _sum(body)) or 0xFFFF
        body = b"%b%b%b" % (body[:checksum_at], value.to_bytes(2, "big"), body[checksum_at + 2 :])
    if len(source) == 16:
        head = struct.pack("!IHBB16s16s", 0x60000000, length, protocol, packet.hop_limit, source, destination)
        return head + body
    identity, life = serial & 0xFFFF, packet.hop_limit << 8 | protocol
    value = _folded(0x4500 + 20 + length + identity + life + addresses)
    return struct.pack("!HHHHHH4s4s", 0x4500, 20 + length, identity, 0, life, value, source, destination) + body


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
