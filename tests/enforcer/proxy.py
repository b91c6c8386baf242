"""The way between a daemon and its API server, which a test cuts, freezes and mends."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress

from tests.enforcer.apiserver import reset


class Proxy:
    """Passes every connection on to a port of this machine. `listening`: a server's socket, maybe of another network
    namespace; it is closed with the proxy."""

    def __init__(self, target: int, listening: socket.socket | None = None) -> None:
        self._target = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._frozen: set[socket.socket] = set()
        self._over = False
        self._listening = listening or socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self._up = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Resets all connections and new ones."""
        with self._lock:
            self._up = False
            pairs, self._pairs = self._pairs, []
        for one, other in pairs:
            reset(one)
            reset(other)

    def freeze(self) -> int:
        """Nothing passes on the connections of now any more, and nothing says so. How many they are."""
        with self._lock:
            self._frozen.update(one for one, _ in self._pairs)
            return len(self._pairs)

    def mend(self) -> None:
        self._up = True

    def close(self) -> None:
        self._over = True
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        while not self._over:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            try:
                if not self._up:
                    raise ConnectionRefusedError
                other = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                # Python's TLS does not close a socket that was reset before it began to speak.
                one.settimeout(1.0)
                with suppress(OSError):
                    one.recv(1)
                reset(one)
                continue
            for end in (one, other):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((one, other))
            threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while True:
                ready, _, _ = select.select([one, other], [], [])
                if one in self._frozen:
                    return None  # both stay open, nobody reads
                for source in ready:
                    data = source.recv(1 << 16)
                    if not data:
                        return self._end(one, other)
                    (other if source is one else one).sendall(data)
        self._end(one, other)

    def _end(self, one: socket.socket, other: socket.socket) -> None:
        for end in (one, other):
            with suppress(OSError):
                end.close()
