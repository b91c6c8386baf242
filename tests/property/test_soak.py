"""The soak, a small share of it; and that it would notice."""

from __future__ import annotations

import json
import sys

import pytest

from compiler.semantics.verdict import Connection
from tests.property import soak

pytestmark = pytest.mark.kernel


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["soak", *arguments])
    return soak.main()


def test_a_share(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--packets", "60000", "--seed", "1") == 0
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert int(last[last.index("packets") + 1]) >= 60000
    assert last[-2:] == ["disagreements", "0"]


def test_it_would_notice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An oracle that never denies ingress is found out, and the scenario that shows it comes cut down."""
    monkeypatch.setattr(Connection, "allowed", property(lambda found: found.egress.allowed))
    assert run(monkeypatch, "--packets", "6000", "--each", "2000", "--flavour", "nftables") == 1
    told = capsys.readouterr().out.splitlines()
    assert "the oracle allows it" in told[0]
    kinds = []
    for line in told[1:]:
        if not line.startswith("{"):
            break
        kinds.append(json.loads(line)["kind"])
    assert len(kinds) < 6, "cut down"
    assert "Pod" in kinds
    assert any(kind.endswith("Policy") for kind in kinds)
