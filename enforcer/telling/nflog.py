"""What the kernel says to an NFLOG group, as a logging daemon hears it (linux/netfilter/nfnetlink_log.h)."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator
from errno import ENOBUFS
from types import TracebackType
from typing import NamedTuple

_NETFILTER = 12  # NETLINK_NETFILTER
_PACKET, _CONFIG = 4 << 8, 4 << 8 | 1  # NFNL_SUBSYS_ULOG; NFULNL_MSG_PACKET, NFULNL_MSG_CONFIG
_REQUEST_ACK = 0x5  # NLM_F_REQUEST | NLM_F_ACK
_COMMAND, _MODE, _THRESHOLD = 1, 2, 5  # NFULA_CFG_*
_MARK, _PAYLOAD, _PREFIX = 2, 9, 10  # NFULA_*
_BUFFER = 1 << 20


class Message(NamedTuple):
    """`payload` is the packet from its IP header on."""

    prefix: str
    payload: bytes
    mark: int


class Listener:
    """Hears what comes to a group of the calling thread's network namespace from now on. `largest`: so many bytes of
    each packet at most. OSError where the group has a listener already."""

    def __init__(self, group: int, largest: int = 0xFFFF) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._group = group
            self._configure(_COMMAND, b"\1\0\0\0")  # bind
            self._configure(_MODE, struct.pack("!IBx", largest, 2))  # packets
            self._configure(_THRESHOLD, struct.pack("!I", 1))  # each at once
        except OSError:
            self._socket.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def wait(self, seconds: float) -> bool:
        """Waits until there is a message, so long at most. Whether there is."""
        return bool(self._poll.poll(seconds * 1000))

    def messages(self, seconds: float = 0.05) -> list[Message]:
        """Everything since the last time, until nothing has come for so long. What did not fit the socket's buffer is
        lost, as the kernel's word for it says."""
        found: list[Message] = []
        while self.wait(seconds):
            try:
                found += _messages(self._socket.recv(1 << 17))
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise
        return found

    def _configure(self, attribute: int, value: bytes) -> None:
        body = struct.pack("=BBH", 0, 0, socket.htons(self._group)) + struct.pack("=HH", 4 + len(value), attribute)
        body += value + bytes(-len(value) % 4)
        self._socket.send(struct.pack("=IHHII", 16 + len(body), _CONFIG, _REQUEST_ACK, 0, 0) + body)
        (error,) = struct.unpack_from("=i", self._socket.recv(4096), 16)
        if error:
            raise OSError(-error, os.strerror(-error))


def _messages(data: bytes) -> Iterator[Message]:
    while data:
        length, kind = struct.unpack_from("=IH", data)
        if kind == _PACKET:
            yield _message(data[20:length])
        data = data[length + 3 & ~3 :]


def _message(attributes: bytes) -> Message:
    values = dict(_attributes(attributes))
    mark = int.from_bytes(values.get(_MARK, b""), "big")
    return Message(values.get(_PREFIX, b"").rstrip(b"\0").decode(), values.get(_PAYLOAD, b""), mark)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[length + 3 & ~3 :]
