"""An overlay in user space: what a node writes to its TUN device goes in a datagram to the node of its destination."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.kernel.namespace import Namespace

PORT = 8285  # flannel's


class Relay:
    """One thread moves the packets of all nodes. `node_of` tells whose pod has an address; what is nobody's is lost."""

    def __init__(self, node_of: Callable[[str], str | None]) -> None:
        self._node_of = node_of
        self._addresses: dict[str, str] = {}
        self._sockets: dict[str, socket.socket] = {}
        self._devices: dict[str, int] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ, ("", "stop"))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, name: str, namespace: Namespace, address: str) -> None:
        """Makes the node's `tun0`, down; `address` is where the others send to."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with namespace:
            wire = socket.socket(family, socket.SOCK_DGRAM)
        wire.bind((address, PORT))
        wire.setblocking(False)
        device = namespace.tun("tun0")
        self._addresses[name], self._sockets[name], self._devices[name] = address, wire, device
        self._selector.register(wire, selectors.EVENT_READ, (name, "wire"))
        self._selector.register(device, selectors.EVENT_READ, (name, "device"))

    def close(self) -> None:
        os.write(self._woken, b"x")
        self._thread.join()
        self._selector.close()
        for one in (*self._devices.values(), self._wake, self._woken):
            os.close(one)
        for wire in self._sockets.values():
            wire.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                name, kind = key.data
                if kind == "stop":
                    return
                with suppress(BlockingIOError, OSError):  # a device that is down, a node that is going
                    if kind == "wire":
                        os.write(self._devices[name], self._sockets[name].recv(2048))
                    else:
                        self._send(name, os.read(self._devices[name], 2048))

    def _send(self, name: str, packet: bytes) -> None:
        four = packet[0] >> 4 == 4
        raw = packet[16:20] if four else packet[24:40]
        node = self._node_of(socket.inet_ntop(socket.AF_INET if four else socket.AF_INET6, raw))
        if node is not None:
            self._sockets[name].sendto(packet, (self._addresses[node], PORT))
