"""What an editor's session knows: its files, the programs they are, and the cluster they are for."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compiler.cli import cluster
from compiler.cli.lsp_files import Files, Watched
from compiler.editor.holds import Holdings
from compiler.editor.positions import Lines, Units
from compiler.editor.project import Check, Project
from compiler.errors import Diagnostic, NetpolcError
from compiler.resources.language import Program
from compiler.translate import translate
from compiler.translate.program import check_program


@dataclass(frozen=True, slots=True)
class Cluster:
    """`check`: what cannot be compiled for it; `wrong`: why the objects cannot be read."""

    check: Check
    holdings: Holdings | None = None
    wrong: str = ""


def _check_alone(program: Program) -> None:
    check_program(program, ())


NO_CLUSTER = Cluster(_check_alone)


class Session:
    """The state of a server. Answers are about the texts as they are when they are asked for."""

    def __init__(self, inputs: Sequence[str] = (), node: str | None = None) -> None:
        self.files = Files()
        self.project = Project(self.files.include)
        self.units = Units.UTF16
        self.node = node
        self._cluster: Watched[Cluster] | None = None
        self._seen: Mapping[str, bytes] | None = None
        self._lines: dict[str, Lines] = {}
        self.take_cluster(inputs)

    def take_cluster(self, inputs: Sequence[str]) -> None:
        """The files and folders with the cluster's objects."""
        paths = [os.path.normpath(os.path.join(self.files.path(""), one)) for one in inputs]
        self._cluster = Watched(paths, lambda: _cluster(paths, self.node)) if paths else None

    def cluster_now(self) -> Cluster:
        """The cluster as its files say now."""
        return self._cluster.get() if self._cluster is not None else NO_CLUSTER

    @property
    def cluster(self) -> Cluster:
        """The cluster as it was looked at last: there may be very many files, and a keystroke waits for none."""
        return self._cluster.last if self._cluster is not None else NO_CLUSTER

    def look(self) -> Project:
        """The programs as their texts are now."""
        texts = self.files.texts()
        if texts != self._seen:
            self._lines.clear()
            self._seen = texts
        self.project.see(texts, self.cluster.check)
        return self.project

    def flaws(self) -> Mapping[str, Sequence[Diagnostic]]:
        """File -> what is wrong with it."""
        return self.look().flaws()

    def lines(self, file: str) -> Lines:
        """The lines of a file as it was seen last, as the editor counts them."""
        found = self._lines.get(file)
        if found is None:
            reading = self.project.reading(file)
            text = ""
            if reading is not None:
                text = reading.text.source.text if reading.text else reading.data.decode("utf-8", "replace")
            found = self._lines[file] = Lines(text, self.units)
        return found


def _cluster(paths: Sequence[str], node: str | None) -> Cluster:
    try:
        found = cluster.read_objects(paths)
        policies, snapshot = translate(found.policies), cluster.snapshot(found)
        has_pods = any(pod.holds_addresses for pod in snapshot.pods)
        made = Cluster(lambda program: check_program(program, policies, has_pods), Holdings(snapshot, node))
        gc.freeze()  # it may be large and stays: texts that come and go are looked through without it
        return made
    except NetpolcError as error:
        return Cluster(_check_alone, wrong=error.render())
