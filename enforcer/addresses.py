"""The addresses that the machine itself has, by rtnetlink: what `fib saddr type local` and `addrtype --src-type LOCAL`
hold for a node's own."""

from __future__ import annotations

import os
import socket
import struct

_ROUTE = 0  # NETLINK_ROUTE
_GET_ADDRESS, _REQUEST_DUMP = 22, 0x301  # RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, interface
_ATTRIBUTE = struct.Struct("=HH")
_ADDRESS, _LOCAL = 1, 2  # IFA_ADDRESS is the other end's on a point-to-point link; IFA_LOCAL is ours then
_ROOM = 1 << 16


def local_addresses() -> frozenset[bytes]:
    """Packed, both families, of all interfaces in the network namespace of the calling thread."""
    found: set[bytes] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _ROUTE) as route:
        route.send(
            _HEADER.pack(_HEADER.size + _MESSAGE.size, _GET_ADDRESS, _REQUEST_DUMP, 1, 0) + _MESSAGE.pack(0, 0, 0, 0, 0)
        )
        while True:
            data, at = route.recv(_ROOM), 0
            while at + _HEADER.size <= len(data):
                length, kind, *_ = _HEADER.unpack_from(data, at)
                if kind == _DONE:
                    return frozenset(found)
                if kind == _ERROR:
                    (number,) = struct.unpack_from("=i", data, at + _HEADER.size)
                    raise OSError(-number, os.strerror(-number))
                attributes = _attributes(data[at + _HEADER.size + _MESSAGE.size : at + length])
                found.add(attributes.get(_LOCAL) or attributes[_ADDRESS])
                at += length + 3 & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        found[kind] = data[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
    return found
