"""Golden cases: title, options, input and expected outputs in one file of `fixtures/cases`.

    TITLE and remarks, up to the first head

    === options
    what follows `netpolc compile INPUT...`, on one line
    === input NAME
    a manifest; there may be several
    === COMMAND-LINE
    what the case's `netpolc compile` writes under these further options

A head is a line that starts with `=== `. Sections for outputs follow from `OUTPUTS`, in its order.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
HEAD = "=== "

#: Section -> options that make it. The text is standard output: the files with their heads, or the layout.
OUTPUTS = {
    "nftables": ("--backend", "nftables"),
    "nftables layout": ("--backend", "nftables", "--explain-layout"),
    "iptables": ("--backend", "iptables"),
    "iptables layout": ("--backend", "iptables", "--explain-layout"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """`inputs` by file name, `expected` by section."""

    path: Path
    title: str
    options: tuple[str, ...]
    inputs: dict[str, str]
    expected: dict[str, str]

    def run(self, folder: Path, *more: str) -> str:
        """Standard output of netpolc in `folder`, which gets the inputs; warnings and notes are not part of it."""
        for name, text in self.inputs.items():
            (folder / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "compiler.cli.main", "compile", *self.inputs, *self.options, *more]
        environment = {"PYTHONPATH": str(FOLDER.parents[1]), "PYTHONHASHSEED": "random", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def text(self, outputs: dict[str, str]) -> str:
        """The whole file with these outputs."""
        sections = {"options": shlex.join(self.options) + "\n"}
        sections |= {f"input {name}": text for name, text in self.inputs.items()}
        sections |= outputs
        return self.title + "".join(f"{HEAD}{name}\n{text}" for name, text in sections.items())


def read(path: Path) -> Case:
    """ValueError when a line before the first head is all there is."""
    title, *parts = re.split(rf"^{HEAD}(.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if not parts:
        raise ValueError(f"{path}: no section")
    sections = dict(zip(parts[0::2], parts[1::2], strict=True))
    options = tuple(shlex.split(sections.pop("options")))
    inputs = {name.removeprefix("input "): sections.pop(name) for name in list(sections) if name.startswith("input ")}
    return Case(path, title, options, inputs, sections)
