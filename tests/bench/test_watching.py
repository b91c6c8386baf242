"""The bench of watching runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_every_part_prints_its_figures() -> None:
    command = [sys.executable, "-m", "bench.watching", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.rpartition(": ") for line in done.stdout.splitlines()[2:]]
    assert [row[0].partition(":")[0] for row in rows] == [
        *["first list"] * 3,
        *["again"] * 2,
        *["one at a time"] * 2,
        *["many"] * 3,
    ]
