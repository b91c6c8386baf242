"""The gallery of bad input: title, options, input and expected messages in one file of `fixtures/invalid`.

    TITLE and remarks, up to the first head

    === options
    what follows `netpolc compile INPUT...`, on one line; the section may be missing
    === input NAME
    a manifest; there may be several
    === bytes NAME
    a manifest with \\xNN and \\uNNNN for bytes and characters that do not belong into a text file; its final line
    end is not part of it
    === stderr
    what netpolc writes to standard error

A head is a line that starts with `=== `. A case without any input names in its options what is missing.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "invalid"
HEAD = "=== "


@dataclass(frozen=True, slots=True)
class Case:
    """`inputs` are (head, name, text as it stands in the file)."""

    path: Path
    title: str
    options: str
    inputs: tuple[tuple[str, str, str], ...]
    expected: str

    def arguments(self, folder: Path) -> list[str]:
        """Writes the inputs into `folder`; gives what follows `netpolc compile`."""
        for kind, name, text in self.inputs:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode() if kind == "input" else _raw(text.removesuffix("\n")))
        return [*dict.fromkeys(name.split("/")[0] for _, name, _ in self.inputs), *shlex.split(self.options)]

    def text(self, stderr: str) -> str:
        """The whole file with these messages."""
        sections = {"options": self.options} if self.options else {}
        sections |= {f"{kind} {name}": text for kind, name, text in self.inputs}
        sections["stderr"] = stderr
        return self.title + "".join(f"{HEAD}{name}\n{text}" for name, text in sections.items())


def read(path: Path) -> Case:
    """ValueError when there is no section."""
    title, *parts = re.split(rf"^{HEAD}(.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if not parts:
        raise ValueError(f"{path}: no section")
    sections = dict(zip(parts[0::2], parts[1::2], strict=True))
    expected, options = sections.pop("stderr", ""), sections.pop("options", "")
    inputs = tuple((*name.split(" ", 1), text) for name, text in sections.items())
    return Case(path, title, options, inputs, expected)


def _raw(text: str) -> bytes:
    """\\xNN is a byte, \\uNNNN a character in UTF-8; everything else stands for itself."""

    def decoded(found: re.Match[str]) -> str:
        number = int(found[1] or found[2], 16)
        return chr(number) if found[1] else chr(number).encode().decode("latin-1")

    return re.sub(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})", decoded, text).encode("latin-1")
