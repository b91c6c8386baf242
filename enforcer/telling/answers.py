"""What the daemon answers over HTTP: to anybody who may connect whether it is well, to root what it does and sees.

/healthz    200 when it works, 503 when it has not come around for long
/readyz     200 when the rules are what the cluster asks for, else 503 with the reason
/metrics    how it is, for Prometheus
/status     what runs, as JSON; /snapshot: what it sees, as manifests. On the socket in the state folder alone.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import ThreadingMixIn, UnixStreamServer
from threading import Thread
from typing import Any

#: Path -> status, type of content and content.
Answer = tuple[int, str, bytes]
Answers = Mapping[str, Callable[[], Answer]]


def text(status: int, said: str) -> Answer:
    return status, "text/plain; charset=utf-8", f"{said}\n".encode()


def as_json(value: object) -> Answer:
    return 200, "application/json", json.dumps(value, ensure_ascii=False).encode()


class Server:
    """Answers in threads of its own. `at`: (address, port), port 0: any; or the path of a socket. OSError when nobody
    can listen there."""

    def __init__(self, at: tuple[str, int] | str, answers: Answers) -> None:
        handler = _handler(answers)
        self._server: ThreadingHTTPServer | _UnixServer
        if isinstance(at, str):
            self._server = _UnixServer(at, handler)
            os.chmod(at, 0o600)
        else:
            family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
            kind = type("_Server", (ThreadingHTTPServer,), {"address_family": family, "daemon_threads": True})
            self._server = kind(at, handler)
        self._thread = Thread(target=self._server.serve_forever, name="answers", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Of an address."""
        _, port, *_ = self._server.socket.getsockname()
        return int(port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _UnixServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        request, _ = super().get_request()
        return request, ("local", 0)  # http.server wants somebody


def _handler(answers: Answers) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            known = answers.get(self.path.partition("?")[0])
            status, kind, content = known() if known is not None else text(404, "no such page")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody wants to read of probes."""

    return Handler


class NobodyThere(Exception):
    """No enforcer answers at that socket."""


def ask(path: str, page: str, timeout: float = 60) -> Answer:
    """What the enforcer at a socket answers. Raises NobodyThere."""
    connection = http.client.HTTPConnection("enforcer", timeout=timeout)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(timeout)
    try:
        connection.sock.connect(path)
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NobodyThere(str(error)) from None
    finally:
        connection.close()
