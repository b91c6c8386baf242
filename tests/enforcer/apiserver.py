"""A stand-in for an API server, over real HTTP, which does on demand whatever a network and a server may do wrong.

It speaks what a client of lists and watches asks for: pages with tokens, watches with bookmarks and an end, statuses,
create, replace, patch and delete. `Faults` says what goes wrong: once, when a test asks for it, or at random.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from time import monotonic, sleep
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.enforcer.apistate import Change, Key, Object, Problem, State


class Fault(Enum):
    """What goes wrong with a request, or (the last ones) in the stream of a watch."""

    UNAUTHORIZED = 401
    FORBIDDEN = 403
    GONE = 410
    TOO_MANY = 429
    BROKEN = 500
    AWAY = 503
    RESET = "the connection is reset before an answer"
    HANG = "nothing comes, for ever"
    CUT = "half of the answer, then a reset"
    SHORT = "half of the answer, then an end"
    SLOW = "a little at a time"
    GARBAGE = "an answer that is no JSON"
    EXPIRED = "the token of the next page is forgotten"
    # In streams
    ERROR_GONE = "an event: 410"
    ERROR_BROKEN = "an event: 500"
    STREAM_RESET = "a reset between events"
    STREAM_END = "an end between events"
    HALF_OPEN = "nothing more comes, for ever"
    HALF_EVENT = "half an event, then an end"
    HALF_LINE = "half an event and the next one behind it"
    MALFORMED = "an event that is no JSON"
    NO_EVENT = "an event of a type that is none"
    TWICE = "an event comes twice"
    SWAPPED = "two events change places"


STATUSES = (Fault.GONE, Fault.TOO_MANY, Fault.BROKEN, Fault.AWAY, Fault.UNAUTHORIZED, Fault.FORBIDDEN)
OF_ANY = (*STATUSES, Fault.RESET, Fault.HANG)
OF_LISTS = (*OF_ANY, Fault.CUT, Fault.SHORT, Fault.SLOW, Fault.GARBAGE, Fault.EXPIRED)
OF_STREAMS = tuple(fault for fault in Fault if fault not in OF_LISTS)


@dataclass(slots=True)
class Faults:
    """`once`: (list or watch, resource) -> what goes wrong next. `chance`: of everything, with `random`. `hang`: how
    long "for ever" lasts in a test, in seconds; `retry_after`: what a server asks for that has too much to do."""

    once: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)
    chance: float = 0.0
    random: Random = field(default_factory=lambda: Random(0))
    hang: float = 5.0
    retry_after: int = 0
    seen: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, what: str, resource: str, possible: tuple[Fault, ...]) -> Fault | None:
        """What goes wrong now."""
        with self.lock:
            waiting = self.once.get((what, resource), [])
            chosen = next((fault for fault in waiting if fault in possible), None)
            if chosen is not None:
                waiting.remove(chosen)
            elif self.random.random() < self.chance:
                chosen = self.random.choice(possible)
            if chosen is not None:
                self.seen.append(chosen)
            return chosen


class Dropped(Exception):
    """The connection is to be dropped; `reset`: at once."""

    def __init__(self, reset: bool) -> None:
        self.reset = reset


class ApiServer:
    """Serves `state` at `url` until `close`. `tokens`: who may ask; empty: everybody. `bookmark`: seconds between two
    of them."""

    def __init__(self, state: State | None = None, tokens: set[str] | None = None, bookmark: float = 0.2) -> None:
        self.state = state or State()
        self.faults = Faults()
        self.tokens = tokens or set()
        self.spared: set[str] = set()
        self.bookmark = bookmark
        self.asked: list[tuple[float, str, str, Mapping[str, str]]] = []
        self.over = threading.Event()
        self._serve(0)

    def _serve(self, port: int) -> None:
        handler = type("Handler", (_Handler,), {"api": self})
        self._http = _Server(("127.0.0.1", port), handler)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests(self, what: str, resource: str) -> int:
        """How often a list or a watch was asked for."""
        return sum(1 for _, verb, name, _ in self.asked if (verb, name) == (what, resource))

    def stop(self) -> None:
        """As a crash: everything ends, what is known stays."""
        self.over.set()
        self._http.drop()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def start(self) -> None:
        """Again, at the same address."""
        self.over = threading.Event()
        self._serve(self.port)

    def close(self) -> None:
        if not self.over.is_set():
            self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def drop(self) -> None:
        for connection in list(self._connections):
            reset(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news."""


def reset(connection: socket.socket) -> None:
    """Ends a connection by RST."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    with suppress(OSError):
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, verb: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        address = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(address.query).items()}
        try:
            if self.api.tokens and self._token not in self.api.tokens:
                raise Problem(401, "Unauthorized", "Unauthorized")
            self._dispatch(verb, address.path.strip("/").split("/"), asked, body)
        except Problem as problem:
            self._send(problem.code, problem.status)
        except Dropped as dropped:
            self.close_connection = True
            if dropped.reset:
                reset(self.connection)

    def _dispatch(self, verb: str, path: list[str], asked: dict[str, str], body: Object) -> None:
        version, rest = (path[1], path[2:]) if path[0] == "api" else ("/".join(path[1:3]), path[3:])
        if not rest:
            return self._discover(path)
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        resource, name, inner = (*rest, "", "")[:3]
        if self.api.state.resources.get(resource, ("",))[0] != version:
            raise Problem(404, "NotFound", "the server could not find the requested resource")
        if verb == "GET" and not name:
            return self._watch(resource, asked) if asked.get("watch") in ("true", "1") else self._list(resource, asked)
        self._send(*self._write(verb, resource, (namespace, name), inner, body))

    def _write(self, verb: str, resource: str, key: Key, inner: str, body: Object) -> tuple[int, bytes]:
        state = self.api.state
        match verb:
            case "POST":
                if key[0]:
                    body["metadata"]["namespace"] = key[0]
                return 201, json.dumps(state.put(resource, body, create=True)).encode()
            case "PUT":
                return 200, json.dumps(state.put(resource, body)).encode()
            case "PATCH":
                with state.changed:
                    before = state.get(resource, key)
                    after = merged(before, body if inner != "status" else {"status": body.get("status", {})})
                    return 200, json.dumps(state.put(resource, after)).encode()
            case "DELETE":
                state.delete(resource, key)
                return 200, b'{"kind":"Status","status":"Success"}'
        return 200, json.dumps(state.get(resource, key)).encode()

    def _discover(self, path: list[str]) -> None:
        group = path[1]
        found = {name: known[0] for name, known in self.api.state.resources.items() if known[0].startswith(f"{group}/")}
        if path[0] != "apis" or not found:
            raise Problem(404, "NotFound", "the server could not find the requested resource")
        if len(path) == 2:
            versions = [{"groupVersion": one} for one in sorted(set(found.values()))]
            return self._send(200, json.dumps({"kind": "APIGroup", "versions": versions}).encode())
        resources = [{"name": name} for name, version in found.items() if version == "/".join(path[1:])]
        self._send(200, json.dumps({"kind": "APIResourceList", "resources": resources}).encode())

    def _list(self, resource: str, asked: Mapping[str, str]) -> None:
        self._note("list", resource, asked)
        fault = self._fault("list", resource, OF_LISTS)
        if fault is Fault.EXPIRED:
            self.api.state.forget()
        version, found, more, left = self.api.state.page(
            resource, int(asked.get("limit", 0)), asked.get("continue", "")
        )
        metadata: Object = {"resourceVersion": str(version)}
        if more:
            metadata |= {"continue": more, "remainingItemCount": left}
        group, kind, _ = self.api.state.resources[resource]
        head = json.dumps({"kind": f"{kind}List", "apiVersion": group, "metadata": metadata})[:-1].encode()
        data = b'%s,"items":[%s]}' % (head, b",".join(found))
        match fault:
            case Fault.GARBAGE:
                self._send(200, data[: len(data) // 2])
            case Fault.CUT | Fault.SHORT:
                self._send(200, data, sent=len(data) // 2)
                raise Dropped(reset=fault is Fault.CUT)
            case Fault.SLOW:
                self._send(200, data, sent=0)
                for n in range(0, len(data), max(1, len(data) // 5)):
                    sleep(0.02)
                    self.wfile.write(data[n : n + max(1, len(data) // 5)])
            case _:
                self._send(200, data)

    def _watch(self, resource: str, asked: Mapping[str, str]) -> None:
        self._note("watch", resource, asked)
        self._fault("watch", resource, OF_ANY)
        version = int(asked["resourceVersion"])
        news, now = self.api.state.since(resource, version, 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        until, over = monotonic() + int(asked.get("timeoutSeconds", 300)), self.api.over
        while monotonic() < until and not over.is_set() and resource in self.api.state.resources:
            if news:
                self._tell(resource, news)
                version = max(version, news[-1].version)
            elif "allowWatchBookmarks" in asked and now > version:
                version = now
                self._bookmark(resource, version)
            news, now = self._news(resource, version, min(self.api.bookmark, until - monotonic()))
        self._chunk(b"")

    def _news(self, resource: str, version: int, seconds: float) -> tuple[list[Change], int]:
        try:
            return self.api.state.since(resource, version, max(0.0, seconds))
        except Problem as problem:
            if problem.code == 410:  # the history moved on; this watch has seen what there was
                self._chunk(b'{"type":"ERROR","object":%s}\n' % problem.status)
                self._chunk(b"")
                raise Dropped(reset=False) from None
            return [], version

    def _bookmark(self, resource: str, version: int) -> None:
        group, kind, _ = self.api.state.resources[resource]
        found = {"kind": kind, "apiVersion": group, "metadata": {"resourceVersion": str(version)}}
        self._chunk(json.dumps({"type": "BOOKMARK", "object": found}).encode() + b"\n")

    def _tell(self, resource: str, news: list[Change]) -> None:
        """Each event in its turn; what goes wrong goes wrong before it."""
        waiting = list(news)
        while waiting:
            one = waiting.pop(0)
            event = one.event
            match self._stream_fault(resource):
                case Fault.ERROR_GONE | Fault.ERROR_BROKEN as fault:
                    code = 410 if fault is Fault.ERROR_GONE else 500
                    self._chunk(b'{"type":"ERROR","object":%s}\n' % Problem(code, "Expired", "an end").status)
                    self._chunk(b"")
                    raise Dropped(reset=False)
                case Fault.STREAM_RESET:
                    raise Dropped(reset=True)
                case Fault.STREAM_END:
                    self._chunk(b"")
                    raise Dropped(reset=False)
                case Fault.HALF_OPEN:
                    self._hang()
                case Fault.HALF_EVENT:
                    self._chunk(event[: len(event) // 2])
                    raise Dropped(reset=False)
                case Fault.HALF_LINE:
                    self._chunk(event[: len(event) // 2] + b"\n")
                    continue
                case Fault.MALFORMED:
                    self._chunk(b'{"type":"MODIFIED","object":{"metadata":}}\n')
                case Fault.NO_EVENT:
                    self._chunk(event.replace(one.type.encode(), b"RENAMED", 1))
                    continue
                case Fault.TWICE:
                    self._chunk(event)
                case Fault.SWAPPED if waiting:
                    event = waiting.pop(0).event + event
            self._chunk(event)

    @property
    def _token(self) -> str:
        return self.headers.get("Authorization", "")[7:]

    def _note(self, what: str, resource: str, asked: Mapping[str, str]) -> None:
        if self._token not in self.api.spared:
            self.api.asked.append((monotonic(), what, resource, asked))

    def _fault(self, what: str, resource: str, possible: tuple[Fault, ...]) -> Fault | None:
        fault = None if self._token in self.api.spared else self.api.faults.of(what, resource, possible)
        if fault in STATUSES:
            assert fault is not None
            raise Problem(int(fault.value), fault.name, f"{resource}: {fault.name.lower()}")
        if fault is Fault.RESET:
            raise Dropped(reset=True)
        if fault is Fault.HANG:
            self._hang()
        return fault

    def _stream_fault(self, resource: str) -> Fault | None:
        return self.api.faults.of("watch", resource, OF_STREAMS)

    def _hang(self) -> None:
        """The connection stays, and nothing comes."""
        self.api.over.wait(self.api.faults.hang)
        raise Dropped(reset=True)

    def _send(self, code: int, data: bytes, sent: int | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code in (429, 503):
            self.send_header("Retry-After", str(self.api.faults.retry_after))
        self.end_headers()
        self.wfile.write(data[:sent])

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def merged(value: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    found = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), part)
    return found
