"""Packets as they arrive at a machine: what the rules on the way have made of their headers."""

from __future__ import annotations

import select
import socket
import struct
from types import TracebackType
from typing import NamedTuple

from tests.kernel.machines import ALLOWED_WITHIN, Machine

_ALL_PROTOCOLS = 3  # ETH_P_ALL, linux/if_ether.h
_TCP, _UDP = 6, 17
_MSS = 2  # RFC 9293, 3.2: kind of the option


class Header(NamedTuple):
    """`ports` are 0 for protocols without; `mss` is that of a SYN, None without the option."""

    version: int
    source: str
    destination: str
    protocol: int
    ports: tuple[int, int]
    dscp: int
    hops: int
    mss: int | None
    checksum: bool  # whether IPv4's is right


def header(raw: bytes) -> Header:
    """Of a packet from its IP header on, without extension headers."""
    version = raw[0] >> 4
    if version == 4:
        body = raw[(raw[0] & 15) * 4 :]
        ends, protocol, hops, dscp = raw[12:20], raw[9], raw[8], raw[1] >> 2
        total = sum(struct.unpack("!10H", raw[:20]))
        right = (total & 0xFFFF) + (total >> 16) == 0xFFFF
    else:
        body = raw[40:]
        ends, protocol, hops, dscp = raw[8:40], raw[6], raw[7], (raw[0] << 8 | raw[1]) >> 6 & 63
        right = True
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    half = len(ends) // 2
    source, destination = (socket.inet_ntop(family, part) for part in (ends[:half], ends[half:]))
    ports = struct.unpack("!HH", body[:4]) if protocol in (_TCP, _UDP) else (0, 0)
    mss = _announced(body) if protocol == _TCP else None
    return Header(version, source, destination, protocol, ports, dscp, hops, mss, right)


def _announced(segment: bytes) -> int | None:
    options = segment[20 : (segment[12] >> 4) * 4]
    while len(options) > 1 and options[0]:
        if options[0] == _MSS:
            return int.from_bytes(options[2:4], "big")
        options = options[1 if options[0] == 1 else options[1] :]
    return None


class Sniffer:
    """`with Sniffer(machine) as wire:`; sees what the machine's eth0 receives, from then on."""

    def __init__(self, machine: Machine) -> None:
        with machine.namespace:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_PROTOCOLS))
        self._socket.bind(("eth0", _ALL_PROTOCOLS))
        self._socket.setblocking(False)

    def __enter__(self) -> Sniffer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def first(self, destination: str, port: int, seconds: float = ALLOWED_WITHIN) -> Header | None:
        """The next packet to that address and port; None when there is none in time."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while poll.poll(seconds * 1000):
            raw, (_, _, kind, *_) = self._socket.recvfrom(2048)
            if kind == socket.PACKET_OUTGOING or raw[0] >> 4 not in (4, 6):
                continue
            found = header(raw)
            if (found.destination, found.ports[1]) == (destination, port):
                return found
        return None
