"""A hundred megabytes of nonsense: refused soon, in bounded memory, with a bounded number of messages."""

from __future__ import annotations

import os
import random
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.errors import SHOWN

ROOT = Path(__file__).resolve().parents[3]
#: CPU seconds and bytes of address space for one run. The text itself is held twice, and once more by libyaml.
CPU, MEMORY = 20, 1 << 30
#: A message and its excerpt: three lines; one more line counts what is not shown.
LINES = 3 * SHOWN + 1
POLICY = b"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n  ingress:\n"


def repeated(unit: bytes, size: int) -> bytes:
    return (unit * (size // len(unit) + 1))[:size]


NONSENSE: dict[str, Callable[[int], bytes]] = {
    "random bytes": lambda size: random.Random(1).randbytes(size),
    "one word": lambda size: repeated(b"a", size),
    "an open quote": lambda size: b'"' + repeated(b"a b\n", size),
    "opening brackets": lambda size: repeated(b"{a: [b, ", size),
    "json numbers in one line": lambda size: b'{"items":[' + repeated(b"1,", size),
    "empty documents": lambda size: repeated(b"---\n", size),
    "duplicate keys": lambda size: repeated(b"a: b\n", size),
}
LESS: dict[str, Callable[[int], bytes]] = {
    "zeros": bytes,
    "words": lambda size: repeated(b"lorem ipsum dolor sit amet ", size),
    "one line of lists": lambda size: repeated(b"[]", size),
    "dashes": lambda size: repeated(b"- ", size),
    "nested json": lambda size: repeated(b'{"a":', size),
    "broken documents": lambda size: repeated(b"---\na: b: c\n", size),
    "distinct keys, then duplicate ones": lambda size: b"".join(
        b"k%07d: v\n" % (n % 50_000) for n in range(size // 12)
    ),
    "aliases": lambda size: b"a: &a [1, 2, 3]\nb:\n" + repeated(b"- *a\n", size),
    "bad objects": lambda size: repeated(b"---\napiVersion: v1\nkind: Pod\nmetadata: {name: A}\n", size),
    "one policy": lambda size: POLICY + repeated(b"  - ports: [{port: 0}]\n", size),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_hundred_megabytes(kind: str, tmp_path: Path) -> None:
    _judge(NONSENSE[kind](100_000_000), tmp_path)


@pytest.mark.parametrize("kind", LESS)
def test_ten_megabytes(kind: str, tmp_path: Path) -> None:
    _judge(LESS[kind](10_000_000), tmp_path)


def _judge(nonsense: bytes, tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_bytes(nonsense)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    done = subprocess.run(
        [sys.executable, "-m", "compiler.cli.main", "compile", "nonsense", "-o", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
        timeout=300,
    )
    (tmp_path / "nonsense").unlink()
    assert done.returncode == 2, done.stderr[-300:]
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
    lines = done.stderr.rstrip("\n").split("\n")
    assert re.match(r"nonsense:\d+:\d+: error: .+ \[[a-z-]+\]$", lines[0])
    assert len(lines) <= LINES
    assert max(map(len, lines)) < 600
