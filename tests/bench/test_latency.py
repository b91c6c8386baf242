"""The bench of following a cluster runs, and prints every row."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.backends.target import Backend

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("backend", [backend.value for backend in Backend])
def test_every_row_is_printed(backend: str) -> None:
    command = [sys.executable, "-m", "bench.latency", "--quick", "--backend", backend]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    events = [row.split() for row in rows if row.startswith("a ")]
    assert len(events) == 8
    assert all(0 < float(median) <= float(high) for *_, median, high in (_figures(row) for row in events))


def _figures(row: list[str]) -> tuple[str, str, str]:
    """Median, 99th percentile and the longest."""
    first = next(n for n, word in enumerate(row) if word.replace(".", "").isdigit() and "." in word)
    median, high, longest = row[first : first + 3]
    return longest, median, high
