"""Machines with real stacks in network namespaces, and real connections between them."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.kernel.namespace import Namespace

#: Seconds. A handshake on one machine takes well under a millisecond, and SYNs are sent again after 1 s: a connection
#: that is not there after this time was dropped.
DENIED_AFTER = 0.3
#: For what is expected to work, however busy the machine is.
ALLOWED_WITHIN = 5.0


@dataclass(slots=True)
class Machine:
    """A namespace with a stack of its own. `ips` are IPv4, IPv6, where it has both."""

    name: str
    ips: tuple[str, ...]
    namespace: Namespace = field(default_factory=Namespace)
    sockets: list[socket.socket] = field(default_factory=list)

    def listen(self, port: int, kind: int = socket.SOCK_STREAM, address: str = "") -> socket.socket:
        """A server on one address of the machine, or on every one of both families."""
        family = socket.AF_INET if address and ":" not in address else socket.AF_INET6
        with self.namespace:
            server = socket.socket(family, kind)
        self.sockets.append(server)
        if not address:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address or "::", port))
        if kind == socket.SOCK_STREAM:
            server.listen(64)
        server.setblocking(False)
        return server

    def client(self, address: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A client's socket for that address, not connected."""
        with self.namespace:
            client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        self.sockets.append(client)
        client.setblocking(False)
        return client

    def connect(self, address: str, port: int) -> socket.socket:
        """An established TCP connection. TimeoutError when none comes about."""
        client = self.client(address)
        client.connect_ex((address, port))
        if not _established(client, ALLOWED_WITHIN):
            raise TimeoutError(f"{self.name} -> {address}:{port}")
        return client

    def close(self) -> None:
        for one in self.sockets:
            one.close()
        self.namespace.close()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A TCP connection to be tried. `expected` decides only how long one waits for it."""

    client: Machine
    server: Machine
    address: str
    port: int
    expected: bool
    #: The server's own port, where the service's is another one.
    server_port: int | None = None

    def __str__(self) -> str:
        word = "connects" if self.expected else "does not connect"
        return f"{self.client.name} {word} to {self.server.name}, {self.address} port {self.port}"

    @property
    def listener(self) -> tuple[str, int]:
        return self.server.name, self.server_port or self.port


def attempts(client: Machine, server: Machine, port: int, expected: bool) -> list[Attempt]:
    """One in each family."""
    return [Attempt(client, server, address, port, expected) for address in server.ips]


def broken(*expectations: Sequence[Attempt]) -> list[str]:
    """The expectations that do not come true; all are tried at once."""
    every = [attempt for several in expectations for attempt in several]
    return [f"not true: {a}" for a, found in zip(every, judge(every), strict=True) if found != a.expected]


def judge(attempts: Sequence[Attempt]) -> list[bool]:
    """Which of these connections, all tried at once, come about, with bytes that go both ways."""
    servers = {attempt.listener: attempt.server for attempt in attempts}
    listeners = {where: server.listen(where[1]) for where, server in servers.items()}
    clients = [attempt.client.client(attempt.address) for attempt in attempts]
    begun = time.monotonic()
    for attempt, client in zip(attempts, clients, strict=True):
        client.connect_ex((attempt.address, attempt.port))
    for attempt, client in zip(attempts, clients, strict=True):
        if attempt.expected:
            _established(client, ALLOWED_WITHIN)
    if not all(attempt.expected for attempt in attempts):
        time.sleep(max(0.0, begun + DENIED_AFTER - time.monotonic()))
    found = [_established(client, 0) for client in clients]
    opened = [one for one, is_open in zip(zip(attempts, clients, strict=True), found, strict=True) if is_open]
    for number, (_, client) in enumerate(opened):
        client.send(b"%08d" % number)
    for attempt, _ in opened:
        _echo(listeners[attempt.listener])
    for number, (attempt, client) in enumerate(opened):
        assert _received(client) == b"%08d" % number, f"{attempt}: a connection that carries nothing"
    for one in (*clients, *listeners.values()):
        one.close()
    return found


def exchange(one: socket.socket, other: socket.socket) -> bool:
    """Whether bytes arrive in both directions between two connected sockets."""
    for sender, receiver in ((one, other), (other, one)):
        word = os.urandom(8)
        sender.send(word)
        if _received(receiver) != word:
            return False
    return True


def asks(client: Machine, address: str, port: int, server: socket.socket, patience: float) -> bool:
    """UDP: whether a question arrives at the server and its answer at the client."""
    with client.client(address, socket.SOCK_DGRAM) as asking:
        question = os.urandom(8)
        asking.sendto(question, (address, port))
        end = time.monotonic() + patience
        while _ready(server, select.POLLIN, end - time.monotonic()):
            data, where = server.recvfrom(64)
            server.sendto(b"re:" + data, where)
            if data == question:
                return _received(asking) == b"re:" + question
    return False


def _echo(listener: socket.socket) -> None:
    """Takes one connection, and sends back what it brings."""
    if _ready(listener, select.POLLIN, ALLOWED_WITHIN):
        accepted, _ = listener.accept()
        with accepted:
            accepted.send(_received(accepted))


def _received(one: socket.socket) -> bytes:
    """What comes; nothing when nothing comes in time."""
    return one.recv(64) if _ready(one, select.POLLIN, ALLOWED_WITHIN) else b""


def _established(client: socket.socket, seconds: float) -> bool:
    return _ready(client, select.POLLOUT, seconds) and not client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _ready(one: socket.socket, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(one, event)
    return bool(poll.poll(max(0.0, seconds) * 1000))
