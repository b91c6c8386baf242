"""Who brings rules into the nodes of a bed: an enforcer process in each, or this process by hand."""

from __future__ import annotations

import signal
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from tests.cluster.store import Object, Store
from tests.enforcer.process import Enforcer
from tests.kernel.compiled import files
from tests.kernel.machines import Machine
from tests.kernel.rig import load


class Agents(Protocol):
    """All nodes' of one bed."""

    def start(self, node: Machine) -> None:
        """From now on the node has rules."""

    def changed(self, objects: Collection[Object]) -> None:
        """These are all objects now, and the store has them."""

    def dead(self) -> list[str]:
        """What ended on its own, in words."""

    def said(self) -> list[str]:
        """What they last said, for whoever waits in vain."""

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

    def dead(self) -> list[str]:
        return []

    def said(self) -> list[str]:
        return []

    def close(self) -> None:
        """The namespaces take the rules with them."""


class Daemons:
    """`netpolc enforce` in every node. State and log of each are in a folder of the node's name in `folder`."""

    def __init__(self, store: Store, flavour: str, folder: Path, options: Sequence[str] = ()) -> None:
        self._store, self._folder = store, folder
        self._options = ("--backend", flavour, *options)
        self._nodes: dict[str, Enforcer] = {}

    def start(self, node: Machine) -> None:
        options = (*self._store.arguments(node.namespace), "--node", node.name, *self._options)
        self._nodes[node.name] = Enforcer(node.namespace, self._folder / node.name, *options)
        self._nodes[node.name].start()

    def changed(self, objects: Collection[Object]) -> None:
        """They see for themselves."""

    def __getitem__(self, node: str) -> Enforcer:
        return self._nodes[node]

    def restart(self, node: str, by: signal.Signals = signal.SIGKILL) -> None:
        """Ends a node's enforcer and begins a new one; the rules stay meanwhile."""
        self._nodes[node].end(by)
        self._nodes[node].start()

    def dead(self) -> list[str]:
        """Enforcers that ended on their own, with what they said last."""
        return [f"{name}: {one.log[-2000:]}" for name, one in self._nodes.items() if not one.running]

    def said(self) -> list[str]:
        return [f"{name}: {one.log[-2000:]}" for name, one in self._nodes.items()]

    def close(self) -> None:
        for one in self._nodes.values():
            one.end()
        self._nodes.clear()
