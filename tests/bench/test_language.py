"""The bench of the language runs, and its program is as long as it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.language import SETS, program
from compiler.sources import language

ROOT = Path(__file__).parent.parent.parent


def test_every_part_prints_its_ratio() -> None:
    command = [sys.executable, "-m", "bench.language", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [float(row[-3]) > 0 for row in rows] == [True] * 2, "a compile for each back end"


def test_the_program_is_right_and_has_everything() -> None:
    text = program()
    assert 10_000 <= text.count("\n") <= 10_100
    assert text == program(), "always the same"
    assert text.count("\nset ") == SETS - 1
    small = language.load([("program.np", program(1000, 20).encode())], lambda _, name: name)
    assert all((small.policies, small.node, small.nat, small.mangle, small.raw))
