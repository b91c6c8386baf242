"""Who brings rules into the nodes of a bed: an enforcer process in each, or this process by hand."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from tests.cluster.store import Object, Store
from tests.kernel.compiled import files
from tests.kernel.machines import Machine
from tests.kernel.rig import load

#: Seconds. An enforcer that is told to stop has nothing to wait for.
_STOPS_WITHIN = 10.0


class Agents(Protocol):
    """All nodes' of one bed."""

    def start(self, node: Machine) -> None:
        """From now on the node has rules."""

    def changed(self, objects: Collection[Object]) -> None:
        """These are all objects now, and the store has them."""

    def close(self) -> None: ...


class ByHand:
    """`netpolc compile --node N` and a load after every change: in force when `changed` returns."""

    def __init__(self, flavour: str) -> None:
        self._flavour = flavour
        self._nodes: list[Machine] = []

    def start(self, node: Machine) -> None:
        self._nodes.append(node)

    def changed(self, objects: Collection[Object]) -> None:
        for node in self._nodes:
            load(node.namespace, files(list(objects), self._flavour, node.name), self._flavour)

    def close(self) -> None:
        """The namespaces take the rules with them."""


class Daemons:
    """`netpolc enforce` in every node: in its network namespace and with a /run of its own, as on a machine of its
    own. What they say goes to files in `folder`, by the node's name."""

    def __init__(self, store: Store, flavour: str, folder: Path, options: Sequence[str] = ()) -> None:
        self._store, self._flavour, self._folder, self._options = store, flavour, folder, tuple(options)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, node: Machine) -> None:
        command = (
            *(sys.executable, "-m", "compiler.cli.main", "enforce", *self._store.arguments(), "--node", node.name),
            *("--backend", self._flavour, *self._options),
        )
        unshare = shutil.which("unshare")
        assert unshare, "util-linux"
        apart = (
            unshare,
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            'mount -t tmpfs none /run && exec "$@"',
            "-",
        )
        with node.namespace, self.said(node.name).open("ab") as out:
            self._running[node.name] = subprocess.Popen(
                (*apart, *command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=_ROOT
            )

    def changed(self, objects: Collection[Object]) -> None:
        """They see for themselves."""

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends a node's enforcer; its rules stay."""
        process = self._running.pop(name)
        process.send_signal(how)
        process.wait(_STOPS_WITHIN)

    def said(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def dead(self) -> list[str]:
        """Enforcers that ended on their own, with what they said last."""
        found = []
        for name, process in self._running.items():
            if process.poll() is not None:
                words = self.said(name).read_text(errors="replace")[-2000:]
                found.append(f"{name} exits {process.returncode}: {words}")
        return found

    def close(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(_STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


_ROOT = Path(__file__).resolve().parents[2]
