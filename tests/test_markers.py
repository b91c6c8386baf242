"""Where the kernel cannot judge, nobody gets the impression that it did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ONE_TEST = "tests/kernel/test_rig.py::test_namespaces_end_with_their_files"


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", ONE_TEST]
    kept = {name: value for name, value in os.environ.items() if name not in ("NETPOLC_NO_KERNEL", "PATH")}
    return subprocess.run(command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, timeout=120)


def test_missing_tools_are_a_failure() -> None:
    done = run(PATH="/nowhere")
    assert done.returncode == 1
    assert "nft, ip, ipset, iptables-legacy-restore" in done.stdout
    assert "NETPOLC_NO_KERNEL=1" in done.stdout


def test_leaving_the_kernel_out_is_shown() -> None:
    done = run(PATH="/nowhere", NETPOLC_NO_KERNEL="1")
    assert done.returncode == 0
    assert "SKIPPED" in done.stdout
    assert "not judged by a kernel" in done.stdout
