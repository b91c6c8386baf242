"""Requests to an API server, with the `kubernetes` client's configuration, credentials and connection pool.

Nothing of its typed API is touched: that takes seconds to import. No request is repeated here: whoever asks knows what
a repetition means. The client reads a service account's token from its file again each minute; `renew` loads
everything anew, so whatever has been rotated is found.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode

from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.config.incluster_config import SERVICE_HOST_ENV_NAME
from urllib3 import BaseHTTPResponse, Timeout
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from compiler.errors import Unreadable
from enforcer.api.wire import complaint

#: Seconds until a connection must be there.
CONNECT = 10.0
#: Seconds in which what is loaded anew is not loaded again, for several threads find out at once that it has to be.
_SETTLED = 5.0
#: A peer that is gone without a word is noticed within a minute, for the kernel looks after it.
_SOCKET = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
#: Bytes that are taken from a stream at once.
_BLOCK = 1 << 16
#: What reading from a socket may raise; the last two where `stop` has taken it away.
_BROKEN = (HTTPError, OSError, ValueError, AttributeError)
#: What loading may raise, for files that are not there or are something else.
_UNLOADABLE = (config.ConfigException, OSError, YAMLError, ValueError, LookupError, TypeError, AttributeError)

Load = Callable[[Configuration], None]


class Lost(Exception):
    """The server can't be reached, or the connection broke. Whether it saw the request is not known."""


class Refusal(Exception):
    """The server answers with `code`, which is not 200. `after`: seconds that it asks to wait, 0 where it does not."""

    def __init__(self, code: int, said: str, after: float = 0.0) -> None:
        self.code, self.said, self.after = code, said, after
        super().__init__(f"{said or 'no reason given'} (status {code})")


class Answer:
    """The body of an answer."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response

    def read(self) -> bytes:
        """All of it. Raises Lost."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """What comes, as soon as it comes, until the server ends it. Raises Lost where it breaks off."""
        source = self._response
        try:
            if source.chunked:
                yield from source.read_chunked()
            while block := source.read1(_BLOCK):
                yield block
        except _BROKEN as error:
            raise Lost(f"the answer broke off: {_reason(error)}") from None


class Transport:
    """Requests to one server. `load` fills in where it is and who asks; raises Unreadable where it can't."""

    def __init__(self, load: Load, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._load, self._monotonic = load, monotonic
        self._lock = threading.Lock()
        self._open: set[BaseHTTPResponse] = set()
        self._stopped = False
        self._client, self._loaded = self._made(), monotonic()

    @property
    def server(self) -> str:
        """The address of the server."""
        return str(self._client.configuration.host)

    def renew(self) -> None:
        """Loads server and credentials again, since the server does not know us any more or is not there. What can't
        be loaded, as a file is just being replaced, stays as it was."""
        with self._lock:
            if self._monotonic() - self._loaded < _SETTLED:
                return
            self._loaded = self._monotonic()
            with suppress(Unreadable):
                before, self._client = self._client, self._made()
                before.rest_client.pool_manager.clear()  # what is in use ends by itself

    @contextmanager
    def get(self, path: str, asked: Mapping[str, str | int], silence: float) -> Iterator[Answer]:
        """Asks for a path; whatever comes next may take `silence` seconds at most. Raises Lost, Refusal."""
        response = self._request("GET", f"{path}?{urlencode(asked)}" if asked else path, silence)
        try:
            with self._lock:
                self._open.add(response)
                stopped = self._stopped
            if stopped:
                raise Lost("stopped")
            if response.status != 200:
                raise _refusal(response)
            yield Answer(response)
        finally:
            with self._lock:
                self._open.discard(response)
            response.close()  # whoever has not read to the end leaves the rest in it

    def post(self, path: str, body: bytes, silence: float) -> None:
        """Makes an object of this JSON. Raises Lost, Refusal."""
        response = self._request("POST", path, silence, body)
        try:
            if response.status not in (200, 201):
                raise _refusal(response)
        finally:
            response.close()

    def stop(self) -> None:
        """Ends whatever is being read, at once. From any thread; nothing can be asked any more."""
        with self._lock:
            self._stopped = True
            for response in self._open:
                with suppress(*_BROKEN, RuntimeError):
                    response.shutdown()
            self._client.rest_client.pool_manager.clear()

    def _request(self, method: str, path: str, silence: float, body: bytes | None = None) -> BaseHTTPResponse:
        client = self._client
        headers = {"Accept": "application/json", "User-Agent": "netpolc"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            for one in client.configuration.auth_settings().values():
                headers[one["key"]] = one["value"]
            return client.rest_client.pool_manager.request(
                method,
                client.configuration.host + path,
                headers=headers,
                body=body,
                timeout=Timeout(connect=CONNECT, read=silence),
                retries=False,
                preload_content=False,
            )
        except (config.ConfigException, *_BROKEN) as error:
            raise Lost(_reason(error)) from None

    def _made(self) -> ApiClient:
        made = Configuration()
        try:
            self._load(made)
            made.socket_options = _SOCKET
            return ApiClient(made)
        except _UNLOADABLE as error:
            raise Unreadable(f"how to reach the API server: {error}") from None


def connect(kubeconfig: str | None = None, context: str | None = None) -> Transport:
    """To the server that a kubeconfig names. Without one: from inside a pod to its cluster, from elsewhere by
    $KUBECONFIG or ~/.kube/config. Raises Unreadable."""
    if kubeconfig is None and os.environ.get(SERVICE_HOST_ENV_NAME):
        return Transport(config.load_incluster_config)
    load: Any = config.load_kube_config
    return Transport(lambda made: load(kubeconfig, context, made, persist_config=False))


def _refusal(response: BaseHTTPResponse) -> Refusal:
    try:
        said = complaint(b"".join(Answer(response).blocks()))
    except Lost:
        said = ""
    after = response.headers.get("Retry-After", "")
    return Refusal(response.status, said, float(after) if after.isascii() and after.isdecimal() else 0.0)


def _reason(error: BaseException) -> str:
    """What went wrong, without the objects that urllib3 puts into its texts."""
    while isinstance(error, HTTPError) and isinstance(inner := error.args[-1] if error.args else None, BaseException):
        error = inner
    text = getattr(error, "strerror", None) or str(error).rpartition(">: ")[2] or type(error).__name__
    return str(text)
