"""What the kernel says to an NFLOG group, as a logging daemon would hear it (linux/netfilter/nfnetlink_log.h)."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple

from tests.kernel.namespace import Namespace

_NETFILTER = 12  # NETLINK_NETFILTER
_PACKET, _CONFIG = 4 << 8, 4 << 8 | 1  # NFNL_SUBSYS_ULOG; NFULNL_MSG_PACKET, NFULNL_MSG_CONFIG
_REQUEST_ACK = 0x5  # NLM_F_REQUEST | NLM_F_ACK
_COMMAND, _MODE, _THRESHOLD = 1, 2, 5  # NFULA_CFG_*
_MARK, _PAYLOAD, _PREFIX = 2, 9, 10  # NFULA_*


class Message(NamedTuple):
    """`payload` is the packet from its IP header on."""

    prefix: str
    payload: bytes
    mark: int


class Listener:
    """`with Listener(namespace, group) as log:`; hears what comes from then on."""

    def __init__(self, namespace: Namespace, group: int) -> None:
        with namespace:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._group = group
        self._configure(_COMMAND, b"\1\0\0\0")  # bind
        self._configure(_MODE, struct.pack("!IBx", 0xFFFF, 2))  # whole packets
        self._configure(_THRESHOLD, struct.pack("!I", 1))  # each at once

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def messages(self, seconds: float = 0.05) -> list[Message]:
        """Everything since the last time, until nothing has come for so long."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        found = []
        while poll.poll(seconds * 1000):
            data = self._socket.recv(1 << 17)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _PACKET:
                    found.append(_message(data[20:length]))
                data = data[length + 3 & ~3 :]
        return found

    def _configure(self, attribute: int, value: bytes) -> None:
        body = struct.pack("=BBH", 0, 0, socket.htons(self._group)) + struct.pack("=HH", 4 + len(value), attribute)
        body += value + bytes(-len(value) % 4)
        self._socket.send(struct.pack("=IHHII", 16 + len(body), _CONFIG, _REQUEST_ACK, 0, 0) + body)
        (error,) = struct.unpack_from("=i", self._socket.recv(4096), 16)
        if error:
            raise OSError(-error, os.strerror(-error))


def _message(attributes: bytes) -> Message:
    values = dict(_attributes(attributes))
    mark = int.from_bytes(values.get(_MARK, b""), "big")
    return Message(values.get(_PREFIX, b"").rstrip(b"\0").decode(), values[_PAYLOAD], mark)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[length + 3 & ~3 :]
