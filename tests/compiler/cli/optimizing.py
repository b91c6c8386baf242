"""`netpolc optimize`, run on a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.compiler.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[3]
#: Two rules that no packet matches both of, and one that overlaps both.
SMALL = """*filter
:FORWARD ACCEPT [0:0]
[1:60] -A FORWARD -s 10.0.0.1/32 -j DROP
[9:540] -A FORWARD -s 10.0.0.2/32 -j DROP
[5000:300000] -A FORWARD -s 10.0.0.0/24 -j REJECT
COMMIT
"""
Netpolc = Callable[..., Run]


def optimized(netpolc: Netpolc, text: str, *options: str, name: str = "rules.save") -> Run:
    """In the folder where the test is."""
    Path(name).write_text(text)
    return netpolc("optimize", name, *options)
