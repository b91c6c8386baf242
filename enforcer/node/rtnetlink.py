"""Dumps of rtnetlink (rtnetlink(7)), in the network namespace of the calling thread."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

_ROUTE, _REQUEST_DUMP, _ERROR, _DONE = 0, 0x301, 2, 3  # NETLINK_ROUTE, NLM_F_REQUEST | NLM_F_DUMP
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_KIND = 0x3FFF
_ROOM = 1 << 16


def dump(kind: int, header: int) -> Iterator[bytes]:
    """The bodies of all messages that answer a request whose header is so long and says nothing. OSError when the
    kernel refuses."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _ROUTE) as route:
        route.send(_HEADER.pack(_HEADER.size + header, kind, _REQUEST_DUMP, 1, 0) + bytes(header))
        while True:
            data, at = route.recv(_ROOM), 0
            while at + _HEADER.size <= len(data):
                length, found, *_ = _HEADER.unpack_from(data, at)
                if found == _DONE:
                    return
                body = data[at + _HEADER.size : at + length]
                if found == _ERROR:
                    (number,) = struct.unpack_from("=i", body)
                    raise OSError(-number, os.strerror(-number))
                yield body
                at += length + 3 & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """Kind -> value."""
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        found[kind & _KIND] = data[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
    return found
