"""What stands around the reconciler: the place that a daemon takes, answers over HTTP, word to systemd, log lines, what
is remembered, and manifests of what was seen."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.cli.cluster import snapshot as of_manifests
from compiler.errors import Unreadable, Unwritable
from compiler.resources.cluster import ContainerPort, Namespace, Node, Pod
from compiler.resources.language import NO_PROGRAM
from compiler.snapshot import build
from compiler.sources.manifests import load
from enforcer.place import Place, Running
from enforcer.reconcile import View
from enforcer.remembered import FILE, Remembering, remembered
from enforcer.telling.answers import NobodyThere, Server, as_json, ask, text
from enforcer.telling.logs import JsonLines
from enforcer.telling.manifests import objects
from enforcer.telling.notify import Notifier

ROOT = Path(__file__).resolve().parents[2]

# The place


def test_a_place_is_taken_once(tmp_path: Path) -> None:
    first, second = Place(tmp_path / "run"), Place(tmp_path / "run")
    first.take()
    with pytest.raises(Running, match=f"process {os.getpid()}"):
        second.take()
    first.leave()
    second.take()
    second.leave()


def test_the_kernel_gives_a_place_back(tmp_path: Path) -> None:
    """However the process ends."""
    code = f"from enforcer.place import *; Place(Path({str(tmp_path)!r})).take(); print('taken', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        place = Place(tmp_path)
        with pytest.raises(Running):
            place.take()
        process.kill()
    place.take()
    place.leave()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="file/run: Not a directory"):
        Place(tmp_path / "file" / "run")


# Answers


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """In a folder whose path is longer than that of a socket may be."""
    found = Place(tmp_path / ("long" * 40))
    found.take()
    yield found
    found.leave()


def test_answers_on_a_socket(place: Place) -> None:
    with pytest.raises(NobodyThere):
        ask(place.socket, "/status")
    server = Server(place.socket, {"/status": lambda: as_json({"well": True}), "/bad": lambda: text(503, "no")})
    try:
        assert ask(place.socket, "/status") == (200, "application/json", b'{"well": true}')
        assert ask(place.socket, "/status?more")[0] == 200
        assert ask(place.socket, "/bad") == (503, "text/plain", b"no\n")
        assert ask(place.socket, "/other")[0] == 404
        assert Path(place.socket).stat().st_mode & 0o777 == 0o600
    finally:
        server.close()
    with pytest.raises(NobodyThere):
        ask(place.socket, "/status")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_answers_on_a_port(address: str) -> None:
    server = Server((address, 0), {"/healthz": lambda: text(200, "ok")})
    try:
        connection = http.client.HTTPConnection(address, server.port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        connection.close()
    finally:
        server.close()


def test_the_socket_of_one_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    place = Place(tmp_path)
    path = tmp_path / Path(place.socket).name
    place.leave()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    assert path.is_socket()
    again = Place(tmp_path)
    again.take()
    server = Server(again.socket, {"/": lambda: text(200, "here")})
    assert ask(again.socket, "/")[0] == 200
    server.close()
    again.leave()


# systemd


def test_word_to_systemd(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.status("in sync")
        notifier.status("in sync")
        notifier.ready()
        notifier.alive()
        notifier.alive()
        notifier.stopping()
        got = [systemd.recv(100).decode() for _ in range(5)]
    assert got == ["STATUS=in sync", "READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_socket_of_systemd() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0netpolc-test-{os.getpid()}")
        Notifier({"NOTIFY_SOCKET": f"@netpolc-test-{os.getpid()}"}).ready()
        assert systemd.recv(100) == b"READY=1"


def test_nobody_listens() -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": "/nowhere"}).ready()


# Log lines


def test_a_line_is_an_object() -> None:
    record = logging.makeLogRecord(
        {
            "msg": "rules %s\nnow",
            "args": ("in force",),
            "levelname": "INFO",
            "created": 0.5,
            "data": {"bytes": {"nft": 7}},
        }
    )
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "info",
        "message": "rules in force\nnow",
        "bytes": {"nft": 7},
    }


# What is remembered


def view(*ranges: str) -> View:
    return View((), build(nodes=[Node("a", pod_cidrs=ranges), Node("b", pod_cidrs=("10.9.0.0/16",))]), NO_PROGRAM)


def test_ranges_are_remembered(tmp_path: Path) -> None:
    assert remembered(tmp_path, "a") == ()
    remembering = Remembering(tmp_path, "a")
    remembering(None, view("10.0.0.0/24", "fd00::/64"))
    assert remembered(tmp_path, "a") == ("10.0.0.0/24", "fd00::/64")
    assert remembered(tmp_path, "b") == (), "another node's"
    written = (tmp_path / FILE).stat().st_mtime_ns
    time.sleep(0.01)
    remembering(None, view("10.0.0.0/24", "fd00::/64"))
    remembering(None, view())
    assert (tmp_path / FILE).stat().st_mtime_ns == written, "no news, no ranges"


@pytest.mark.parametrize("content", ["", "[]", '{"node": "a"}', '{"node": "a", "podCIDRs": ["nonsense"]}', "\x00"])
def test_a_file_that_is_no_memory(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(Unreadable, match="not what netpolc enforce has written"):
        remembered(tmp_path, "a")


# Manifests of what was seen


def test_what_was_seen_is_read_back() -> None:
    pods = [
        Pod(
            "x",
            "web",
            {"app": "web"},
            ("10.0.0.1", "fd00::1"),
            "a",
            ports=(ContainerPort(80), ContainerPort(53, "UDP", "dns")),
        ),
        Pod("x", "host", {}, ("192.0.2.1",), "a", host_network=True),
        Pod("y", "done", {}, ("10.0.0.1",), "b", phase="Succeeded"),
        Pod("y", "waits", {}, (), "", phase="Pending"),
    ]
    nodes = [Node("a", {"role": "edge"}, ("192.0.2.1", "203.0.113.1"), ("10.0.0.0/24",), ("203.0.113.1",)), Node("b")]
    seen = build(pods, [Namespace("x", {"team": "red"}, {"note": "1"})], nodes)
    lines = "".join(f"---\n{json.dumps(one)}\n" for one in objects((), seen))
    found = of_manifests(load([("seen.yaml", lines.encode())]))
    assert found == replace(seen)


def test_policies_that_were_seen_are_read_back() -> None:
    """Of every kind, with every field that the examples have."""
    texts = [
        (str(path), path.read_bytes()) for path in sorted((ROOT / "fixtures" / "examples" / "shop").rglob("*.yaml"))
    ]
    found = load(texts)
    assert len({one.value.kind for one in found.policies}) > 1
    lines = "".join(f"---\n{json.dumps(one)}\n" for one in objects(found.policies, build()))
    again = load([("seen.yaml", lines.encode())])
    assert [one.value for one in again.policies] == [one.value for one in found.policies]
