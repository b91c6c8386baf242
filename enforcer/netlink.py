"""Netfilter's netlink sockets (NETLINK_NETFILTER): requests, dumps, notifications, and what they are made of.

Layouts: linux/netlink.h, linux/netfilter/nfnetlink.h. Numbers of netfilter's attributes are big endian, headers are
the machine's.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_NETFILTER = 12  # NETLINK_NETFILTER
_SOL_NETLINK, _ADD_MEMBERSHIP, _CAP_ACK = 270, 1, 10
_RECEIVE_BUFFER = 33  # SO_RCVBUFFORCE
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_REQUEST, _ACK, _DUMP_INTERRUPTED, _DUMP = 0x1, 0x4, 0x10, 0x300
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_GENERAL = struct.Struct("=BBH")  # struct nfgenmsg: family, version, resource id
_ATTRIBUTE = struct.Struct("=HH")
_KIND = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
NESTED = 0x8000
_ROOM = 1 << 20
_PATIENCE = 30.0  # seconds until an answer must be there
_TRIES = 5


class Message(NamedTuple):
    """`kind` has the subsystem in its upper byte; `payload` is what stands behind the family's header. `port`: of the
    socket that asked for this, or did what is notified of."""

    kind: int
    family: int
    payload: bytes
    port: int


class Lost(Exception):
    """Notifications came faster than they were read (ENOBUFS)."""


class Netlink:
    """One socket in the network namespace of the calling thread. `groups`: notifications to listen for; `room`: for so
    many bytes of them, if not the kernel's default."""

    def __init__(self, *groups: int, room: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            if room:
                self._socket.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER, room)
            for group in groups:
                self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
            self._socket.settimeout(_PATIENCE)
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def ask(self, kind: int, family: int, payload: bytes = b"", resource: int = 0) -> list[Message]:
        """What the kernel answers to one request. OSError with the kernel's number when it refuses."""
        return self._talk(kind, _REQUEST | _ACK, family, payload, resource)

    def dump(self, kind: int, family: int, payload: bytes = b"") -> list[Message]:
        """Everything of a kind, seen at one moment: a dump during which something changed is begun anew, and
        OSError (EINTR) when that does not end."""
        for _ in range(_TRIES):
            try:
                return self._talk(kind, _REQUEST | _ACK | _DUMP, family, payload, 0)
            except InterruptedError:
                continue
        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))

    def _talk(self, kind: int, flags: int, family: int, payload: bytes, resource: int) -> list[Message]:
        self._sequence += 1
        general = _GENERAL.pack(family, 0, socket.htons(resource))
        header = _HEADER.pack(_HEADER.size + len(general) + len(payload), kind, flags, self._sequence, 0)
        self._socket.send(header + general + payload)
        answers: list[Message] = []
        interrupted = False
        while True:
            for found, said, sequence, port, body in _messages(self._socket.recv(_ROOM)):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(said & _DUMP_INTERRUPTED)
                if found in (_ERROR, _DONE):
                    (number,) = struct.unpack_from("=i", body)
                    if number:
                        raise OSError(-number, os.strerror(-number))
                    if interrupted:
                        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
                    return answers
                answers.append(_message(found, port, body))

    def heard(self, seconds: float) -> list[Message]:
        """Notifications that are there, or come within so long; none when the time is over. Raises Lost."""
        if not select.select([self._socket], [], [], seconds)[0]:
            return []
        try:
            told = _messages(self._socket.recv(_ROOM))
            return [_message(found, port, body) for found, _, _, port, body in told if found >= 256]
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise Lost from None
            raise


def _messages(data: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Type, flags, sequence, port and body of each message of a datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, found, flags, sequence, port = _HEADER.unpack_from(data, at)
        yield found, flags, sequence, port, data[at + _HEADER.size : at + length]
        at += length + 3 & ~3


def _message(found: int, port: int, body: bytes) -> Message:
    return Message(found, body[0], body[_GENERAL.size :], port)


def attributes(data: bytes) -> dict[int, bytes]:
    """Kind -> value; of several of a kind the last."""
    return dict(each(data))


def each(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Attributes in their order, as kind and value."""
    at, end = 0, len(data)
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _KIND, data[at + 4 : at + length]
        at += length + 3 & ~3


def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def word(text: str) -> bytes:
    """A string as attributes have it."""
    return text.encode() + b"\0"


def text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
