"""Connections tried, many at once: TCP and UDP with real sockets and an answer, SCTP by its first packet.

An answer names the server, so that a connection to somebody else does not count.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from compiler.semantics.packet import SCTP, Packet
from tests.kernel.machines import ALLOWED_WITHIN, DENIED_AFTER, Machine
from tests.kernel.packets import encode, serial_of

_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether `client`, from its address `source` (empty: of its choice), reaches `server` at `address` and `port`.
    `server_port` is the server's own, where a service translates."""

    client: Machine
    server: Machine
    address: str
    port: int
    expected: bool
    protocol: str = "TCP"
    source: str = ""
    server_port: int | None = None

    def __str__(self) -> str:
        word = "reaches" if self.expected else "does not reach"
        return f"{self.client.name} {word} {self.server.name} at {self.address}, {self.protocol} {self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    @property
    def listener(self) -> tuple[Machine, int, str, str]:
        """A UDP server answers from the address that it has, so it is bound to that where no service translates."""
        bound = self.address if self.protocol == "UDP" and self.server_port is None else ""
        return self.server, self.server_port or self.port, self.protocol, bound


class Servers:
    """Servers on any port of any machine, made when somebody asks for them: a thread answers what comes with the name
    of the machine and what was sent."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listeners: dict[tuple[int, int, str, str], socket.socket] = {}
        self._wake, self._woken = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped = True
        os.write(self._woken, b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)

    def listen(self, machine: Machine, port: int, protocol: str, address: str = "") -> None:
        """On one address, or on all of both families. Nothing new when it is there already."""
        known = id(machine.namespace), port, protocol, address
        if known in self._listeners:
            return
        server = self._listeners[known] = machine.listen(port, _KINDS[protocol], address)
        self._selector.register(server, selectors.EVENT_READ, (machine, protocol))
        os.write(self._woken, b"x")

    def forget(self, machine: Machine) -> None:
        """Closes its servers and their connections: a socket would keep the namespace of a machine that goes."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None and key.data[0] is machine:
                with suppress(KeyError, ValueError):  # the thread was quicker
                    self._selector.unregister(key.fileobj)
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()
        for known in [known for known in self._listeners if known[0] == id(machine.namespace)]:
            del self._listeners[known]

    def _run(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select():
                if key.data is None:
                    os.read(self._wake, 64)
                    continue
                with suppress(OSError, KeyError, ValueError):  # a client that is gone, a machine that is closed
                    self._serve(key)

    def _serve(self, key: selectors.SelectorKey) -> None:
        one = key.fileobj
        assert isinstance(one, socket.socket)
        machine, kind = key.data
        name = machine.name.encode() + b" "
        if kind == "TCP":
            accepted, _ = one.accept()
            accepted.setblocking(False)
            self._selector.register(accepted, selectors.EVENT_READ, (machine, "connection"))
        elif kind == "UDP":
            data, where = one.recvfrom(2048)
            one.sendto(name + data, where)
        else:
            data = b""
            try:
                data = one.recv(2048)
                if data:
                    one.send(name + data)
            finally:
                if not data:
                    self._selector.unregister(one)
                    one.close()


def untrue(servers: Servers, probes: Sequence[Probe]) -> list[str]:
    """Which of these do not come true; all are tried at once."""
    found = outcomes(servers, probes)
    return [f"not true: {probe}" for probe, reached in zip(probes, found, strict=True) if reached != probe.expected]


def outcomes(servers: Servers, probes: Sequence[Probe]) -> list[bool]:
    """Which of these reach whom they mean, with an answer (SCTP: with the first packet)."""
    found = [False] * len(probes)
    numbered = list(enumerate(probes))
    for n, reached in _sctp([(n, probe) for n, probe in numbered if probe.protocol == "SCTP"]).items():
        found[n] = reached
    for n, reached in _sockets(servers, [(n, probe) for n, probe in numbered if probe.protocol != "SCTP"]).items():
        found[n] = reached
    return found


def _sockets(servers: Servers, probes: Sequence[tuple[int, Probe]]) -> dict[int, bool]:
    selector = selectors.DefaultSelector()
    for _, probe in probes:
        servers.listen(*probe.listener)
    found = {n: False for n, _ in probes}
    waited = {n for n, probe in probes if probe.expected}
    begun = time.monotonic()
    open_ = []
    for n, probe in probes:
        with probe.client.namespace:
            client = socket.socket(probe.family, _KINDS[probe.protocol])
        open_.append(client)
        client.setblocking(False)
        if probe.source:
            client.bind((probe.source, 0))
        with suppress(BlockingIOError, OSError):  # OSError: what OUTPUT drops, what has no route
            client.connect((probe.address, probe.port))
            if probe.protocol == "UDP":
                client.send(b"%d" % n)
        selector.register(client, selectors.EVENT_WRITE if probe.protocol == "TCP" else selectors.EVENT_READ, n)
    every = dict(probes)
    while selector.get_map():
        left = begun + (ALLOWED_WITHIN if waited else DENIED_AFTER) - time.monotonic()
        ready = selector.select(max(0.0, left))
        if not ready:
            break
        for key, events in ready:
            one, n = key.fileobj, key.data
            assert isinstance(one, socket.socket)
            try:
                if events & selectors.EVENT_WRITE:
                    one.send(b"%d" % n)
                    selector.modify(one, selectors.EVENT_READ, n)
                    continue
                found[n] = one.recv(2048) == every[n].server.name.encode() + b" %d" % n
            except OSError:
                pass  # refused or reset: nobody was reached
            selector.unregister(one)
            waited.discard(n)
    selector.close()
    for client in open_:
        client.close()
    return found


def _sctp(probes: Sequence[tuple[int, Probe]]) -> dict[int, bool]:
    """Kernels without SCTP have raw sockets: an INIT that the rules let through is seen at its destination."""
    ears: dict[tuple[int, socket.AddressFamily], socket.socket] = {}
    for _, probe in probes:
        where = id(probe.server.namespace), probe.family
        if where not in ears:
            with probe.server.namespace:
                ears[where] = socket.socket(probe.family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, SCTP)
    for n, probe in probes:
        source = probe.source or next(ip for ip in probe.client.ips if (":" in ip) == (":" in probe.address))
        with probe.client.namespace:
            mouth = socket.socket(probe.family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with mouth, suppress(OSError):
            mouth.sendto(encode(Packet(source, probe.address, SCTP, 20000 + n, probe.port), n), (probe.address, 0))
    found = {n: False for n, _ in probes}
    end = time.monotonic() + (DENIED_AFTER if probes else 0)
    while time.monotonic() < end and not all(found.values()):
        for (namespace, _), ear in ears.items():
            with suppress(BlockingIOError):
                while True:
                    serial = serial_of(ear.recv(2048))
                    for n, probe in probes:
                        if n == serial and id(probe.server.namespace) == namespace:
                            found[n] = True
        time.sleep(0.005)
    for ear in ears.values():
        ear.close()
    return found
