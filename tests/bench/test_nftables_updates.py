"""What changes among many elements costs what changed, in this process, and not what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
_ROW = re.compile(r"^  (.*?) +([\d.]+) ms +([\d.]+) ms", re.MULTILINE)


@pytest.mark.kernel
def test_one_element_costs_what_it_is() -> None:
    command = [sys.executable, "-m", "bench.nftables_updates", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    medians = {what: float(median) for what, median, _ in _ROW.findall(done.stdout)}
    load = medians["load: 10000 pairs, 11 chains"]
    assert medians["one pair: its text and its way in"] < load / 20
    assert medians["a pod elsewhere: ten pairs, ten classes"] < load / 20
    assert medians["whether anything changed, after one pair"] < medians["all of it read, nobody having listened"] / 5
    assert medians["the same, after nothing"] < medians["whether anything changed, after one pair"]
