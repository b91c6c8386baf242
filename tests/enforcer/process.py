"""The daemon as its users start it: a process in the network namespace of a node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from enforcer.place import Place
from enforcer.telling.answers import NobodyThere, ask
from tests.kernel.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]
#: Seconds, on a machine that has other things to do.
WITHIN = 20.0


def netpolc(namespace: Namespace, *arguments: str, status: int = 0, environment: Mapping[str, str] = os.environ) -> str:
    """What a command prints, both outputs, in a namespace."""
    with namespace:
        done = subprocess.run(
            [sys.executable, "-m", "compiler.cli.main", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
    assert done.returncode == status, f"{arguments}: exits {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def until(true: Callable[[], bool], what: str, seconds: float = WITHIN) -> float:
    """Waits; how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


class Enforcer:
    """`with Enforcer(...) as enforcer:`; ends with the block, killed if need be. `folder` has its state and its log."""

    def __init__(self, namespace: Namespace, folder: Path, *options: str) -> None:
        self.namespace, self.folder = namespace, folder
        self._options = ("--state-dir", str(folder / "run"), "--listen", "off", *options)
        self._process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Enforcer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end(signal.SIGKILL)

    def start(self) -> None:
        assert self._process is None
        with self.namespace, (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "compiler.cli.main", "enforce", *self._options],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended on its own."""
        return self._process is not None and self._process.poll() is None

    def end(self, by: signal.Signals = signal.SIGTERM) -> int | None:
        """The exit status; None when it had ended before."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(by)
        try:
            return process.wait(WITHIN)
        finally:
            process.kill()
            process.wait()

    def command(self, name: str, *arguments: str, status: int = 0) -> str:
        return netpolc(self.namespace, name, "--state-dir", str(self.folder / "run"), *arguments, status=status)

    @property
    def status(self) -> dict[str, Any]:
        """What `netpolc status --json` says; empty while nothing answers."""
        with self.namespace:
            place = Place(self.folder / "run")
        try:
            found: dict[str, Any] = json.loads(ask(place.socket, "/status")[2])
        except NobodyThere:
            found = {}
        finally:
            place.leave()
        return found

    def in_sync(self, changes: int = 1) -> None:
        """Waits until the rules are in force, after so many changes of them at least."""

        def reached() -> bool:
            said = self.status
            return bool(said) and said["in_sync"] and said["counts"]["applied"] >= changes

        until(reached, f"{changes} changes, in sync; log:\n{self.log}")

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()
