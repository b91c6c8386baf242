"""How the daemon reaches an API server, and what it says when it does not."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.config import incluster_config

from compiler.errors import Unreadable
from enforcer.api.transport import Lost, Refusal, Transport, connect
from tests.enforcer.apiserver import ApiServer, Fault

PATH = "/api/v1/pods"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    found = ApiServer(tokens={"first"})
    yield found
    found.close()


def config_file(folder: Path, url: str, **user: str) -> str:
    path = folder / "config"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "c",
            }
        )
    )
    return str(path)


def listed(transport: Transport) -> int:
    with transport.get(PATH, {"limit": 5}, 5.0) as answer:
        return len(json.loads(answer.read())["items"])


def test_by_a_kubeconfig(server: ApiServer, tmp_path: Path) -> None:
    transport = connect(config_file(tmp_path, server.url, token="first"))
    assert listed(transport) == 0
    assert transport.server == server.url
    assert server.asked[-1][3] == {"limit": "5"}
    transport.stop()


def test_a_token_that_was_replaced(server: ApiServer, tmp_path: Path) -> None:
    """Not before the server asks for it, and not by every thread in turn."""
    token, now = tmp_path / "token", [0.0]
    token.write_text("first")
    path = config_file(tmp_path, server.url, tokenFile=str(token))
    transport = Transport(connect(path)._load, lambda: now[0])
    assert listed(transport) == 0
    server.tokens = {"second"}
    with pytest.raises(Refusal, match="Unauthorized") as refusal:
        listed(transport)
    assert refusal.value.code == 401
    token.write_text("second")
    transport.renew()
    with pytest.raises(Refusal):
        listed(transport)  # another thread has just renewed
    now[0] += 10
    transport.renew()
    assert listed(transport) == 0
    token.unlink()
    now[0] += 10
    transport.renew()  # a file that is not there just now
    assert listed(transport) == 0
    transport.stop()


def test_inside_a_pod(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the service account's files; the server has TLS."""
    proxy = TLS(server.port, tmp_path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(proxy.certificate))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(proxy.port))
    with pytest.raises(Unreadable, match="how to reach the API server: Service token file does not exist"):
        connect()
    (tmp_path / "token").write_text("first")
    transport = connect()
    assert listed(transport) == 0
    assert transport.server == f"https://127.0.0.1:{proxy.port}"
    transport.stop()
    proxy.close()


def test_a_server_that_is_not_ours(server: ApiServer, tmp_path: Path) -> None:
    """Its certificate is not signed by whom we trust: it gets no token."""
    proxy = TLS(server.port, tmp_path)
    transport = connect(config_file(tmp_path, f"https://127.0.0.1:{proxy.port}", token="first"))
    with pytest.raises(Lost, match="certificate verify failed"):
        listed(transport)
    assert server.asked == []
    transport.stop()
    proxy.close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "how to reach the API server: "),
        ("{", "how to reach the API server: "),
        ('{"clusters": 5}', "how to reach the API server: "),
        ('{"current-context": "none", "contexts": [], "clusters": [], "users": []}', "Expected object with name none"),
    ],
)
def test_a_kubeconfig_that_is_none(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Unreadable, match=why):
        connect(str(path))


def test_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="how to reach the API server: "):
        connect(str(tmp_path / "none"))


def plain(url: str) -> Transport:
    return Transport(lambda made: setattr(made, "host", url))


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Lost, match=r"Connection refused$"):
        listed(plain(f"http://127.0.0.1:{port}"))


def test_what_went_wrong_is_said(server: ApiServer) -> None:
    server.tokens = set()
    server.faults.retry_after = 7
    server.faults.once["list", "pods"] = [Fault.RESET, Fault.HANG, Fault.CUT, Fault.SHORT, Fault.AWAY, Fault.FORBIDDEN]
    transport = plain(server.url)
    with pytest.raises(Lost, match="Connection reset by peer"):
        listed(transport)
    with pytest.raises(Lost, match=r"[Tt]imed out"), transport.get(PATH, {}, 0.2):
        pass
    with pytest.raises(Lost, match="broke off"):
        listed(transport)
    with pytest.raises(Lost, match="broke off"):
        listed(transport)
    with pytest.raises(Refusal, match=r"pods: away \(status 503\)") as away:
        listed(transport)
    assert away.value.after == 7.0
    with pytest.raises(Refusal, match="status 403") as refused:
        listed(transport)
    assert refused.value.after == 0.0
    assert listed(transport) == 0
    transport.stop()


def test_what_comes_is_there_at_once(server: ApiServer) -> None:
    server.tokens = set()
    transport = plain(server.url)
    with transport.get(PATH, {"watch": "true", "resourceVersion": 100, "timeoutSeconds": 1}, 5.0) as answer:
        blocks = answer.blocks()
        began = time.monotonic()
        server.state.put("pods", {"metadata": {"namespace": "x", "name": "a"}})
        assert b'"name": "a"' in next(blocks)
        assert time.monotonic() - began < 0.2
        assert list(blocks) == []
    transport.stop()


def test_stop_ends_what_is_read(server: ApiServer) -> None:
    server.tokens = set()
    transport = plain(server.url)
    threading.Timer(0.2, transport.stop).start()
    began = time.monotonic()
    with transport.get(PATH, {"watch": "true", "resourceVersion": 100}, 60.0) as answer, pytest.raises(Lost):
        list(answer.blocks())
    assert 0.1 < time.monotonic() - began < 1.0
    with pytest.raises(Lost, match="stopped"):
        listed(transport)


class TLS:
    """Puts TLS in front of a server, with a certificate of its own for 127.0.0.1."""

    def __init__(self, target: int, folder: Path) -> None:
        self.certificate, key = folder / "tls.crt", folder / "tls.key"
        named = ("-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1")
        files = ("-keyout", str(key), "-out", str(self.certificate))
        command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *named, *files)
        subprocess.run(command, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._target, self._context = target, context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        """One request, one answer, one connection at a time."""
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as one:
                    asked = one.recv(1 << 16).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                    with socket.create_connection(("127.0.0.1", self._target)) as other:
                        other.sendall(asked)
                        while data := other.recv(1 << 16):
                            one.sendall(data)
            except OSError:
                plain.close()
