"""The prices bench loads every chain and prints every price; what is cheap and what is dear shows even in a hurry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.ordering.prices import Kind, Tool

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.kernel
def test_every_price_is_measured() -> None:
    command = [sys.executable, "-m", "bench.prices", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = {(line[:16].strip(), line[16:36].strip()): line[36:].split() for line in done.stdout.splitlines()[2:]}
    kinds = [*(kind.value for kind in Kind), "address and 3 more", "nothing", "jump"]
    assert sorted(rows) == sorted((tool.value, kind) for tool in Tool for kind in kinds)
    for tool in Tool:
        cheap, dear = (float(rows[tool.value, kind.value][0]) for kind in (Kind.ADDRESS, Kind.ADDRESS_TYPE))
        assert 0 < cheap < dear
