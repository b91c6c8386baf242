"""A real kube-apiserver with etcd, for tests: found, started, broken and ended.

From the folder that KUBEBUILDER_ASSETS names, else kube-apiserver as `make apiserver` built it and an etcd of the
machine. `python -m tests.enforcer.kube_apiserver` builds: six minutes on two cores, with Go 1.26.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import urllib3

ROOT = Path(__file__).resolve().parents[2]
VERSION = "v1.36.3"
_PACKAGE = "k8s.io/kubernetes/cmd/kube-apiserver"
#: Who may do everything, and who the daemon is.
ADMIN, DAEMON = "admin-of-tests", "netpolc-of-tests"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "netpolc" / f"kube-apiserver-{VERSION}"


def binaries() -> tuple[Path, Path] | str:
    """kube-apiserver and etcd; else what is missing, for people."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        found = Path(assets, "kube-apiserver"), Path(assets, "etcd")
        return (
            found
            if all(path.exists() for path in found)
            else f"KUBEBUILDER_ASSETS={assets} lacks kube-apiserver or etcd"
        )
    etcd = shutil.which("etcd")
    if not _cache().exists():
        return "no KUBEBUILDER_ASSETS, and no `make apiserver` was run"
    return (_cache(), Path(etcd)) if etcd else "no etcd (Debian: etcd-server)"


def build() -> None:
    """Puts kube-apiserver outside the tree, once for each version."""
    target = _cache()
    if target.exists():
        print(f"{target} is there already")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_suffix(".new")
    go = ["go", "build", "-C", str(ROOT / "fixtures/apiserver"), "-buildvcs=false", "-trimpath", "-ldflags=-s -w"]
    subprocess.run([*go, "-o", str(made), _PACKAGE], check=True)
    made.rename(target)
    print(target)


class KubeApiServer:
    """Runs in `folder` until `close`. Certificates are its own; tokens are in a file."""

    def __init__(self, folder: Path) -> None:
        found = binaries()
        assert not isinstance(found, str), found
        self._server, self._etcd = found
        self.folder = folder
        self.port, self._etcd_port, self._peer_port = _free_ports(3)
        self.ca = str(folder / "apiserver.crt")
        self._running: list[subprocess.Popen[bytes]] = []
        key = folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        self.allow({ADMIN: ("admin", "system:masters"), DAEMON: ("netpolc", "")})
        self.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def allow(self, tokens: dict[str, tuple[str, str]]) -> None:
        """Token -> user and group, from the next start on."""
        text = "".join(f'{token},{user},{user},"{group}"\n' for token, (user, group) in tokens.items())
        (self.folder / "tokens.csv").write_text(text)

    def start(self) -> None:
        """Returns when it is ready."""
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, self._peer_port))
        self._run(
            *(str(self._etcd), "--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync", "--log-level=error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer),
            *("--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        )
        key = str(self.folder / "accounts.key")
        self._run(
            *(str(self._server), f"--etcd-servers={client}", f"--secure-port={self.port}", "--bind-address=127.0.0.1"),
            *(f"--cert-dir={self.folder}", f"--token-auth-file={self.folder / 'tokens.csv'}"),
            *("--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount"),
            *("--service-account-issuer=https://tests", f"--service-account-key-file={key}"),
            *(f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.0.0.0/24"),
            *("--endpoint-reconciler-type=none", "--etcd-compaction-interval=0", "--shutdown-delay-duration=0"),
        )
        self._until_ready()

    def stop(self) -> None:
        """As a power cut: what etcd has written stays."""
        for process in reversed(self._running):
            process.kill()
            process.wait()
        self._running.clear()

    def close(self) -> None:
        self.stop()

    def forget(self) -> None:
        """etcd compacts everything up to now, and the server starts without a memory."""
        head = self._etcd_says("range", {"key": "AA=="})["header"]["revision"]
        self._etcd_says("compaction", {"revision": head, "physical": True})
        self.stop()
        self.start()

    def copy(self) -> None:
        """A backup of everything. The server starts again."""
        self.stop()
        shutil.copytree(self.folder / "etcd", self.folder / "backup")
        self.start()

    def restore(self) -> None:
        """The backup in place of everything. The server starts again."""
        self.stop()
        shutil.rmtree(self.folder / "etcd")
        (self.folder / "backup").rename(self.folder / "etcd")
        self.start()

    def _run(self, *command: str) -> None:
        log = (self.folder / f"{Path(command[0]).name}.log").open("ab")
        with log:
            self._running.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder))

    def _etcd_says(self, what: str, asked: dict[str, object]) -> dict[str, dict[str, str]]:
        path = f"http://127.0.0.1:{self._etcd_port}/v3/kv/{what}"
        with urllib.request.urlopen(urllib.request.Request(path, json.dumps(asked).encode())) as answer:
            found: dict[str, dict[str, str]] = json.load(answer)
            return found

    def _until_ready(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            ended = [process.args for process in self._running if process.poll() is not None]
            assert not ended, f"{ended} ended; see its log in {self.folder}"
            try:
                with urllib3.PoolManager(ca_certs=self.ca, retries=False, timeout=5) as pool:
                    if pool.request("GET", f"{self.url}/readyz", headers=bearer(ADMIN)).status == 200:
                        return
            except (urllib3.exceptions.HTTPError, OSError):
                pass
            time.sleep(0.1)
        raise AssertionError(f"kube-apiserver is not ready after a minute; see its log in {self.folder}")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


if __name__ == "__main__":
    build()
