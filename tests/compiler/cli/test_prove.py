"""`netpolc compile --prove`: what is written was read back and proved, and a wrong text is never written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from compiler import pipeline
from compiler.backends import nftables
from compiler.backends.target import Backend
from compiler.cli.compile import command
from compiler.ir.ruleset import Ruleset

ROOT = Path(__file__).resolve().parents[3]
SHOP = str(ROOT / "fixtures/examples/shop")


@pytest.mark.parametrize("backend", [b.value for b in Backend])
def test_the_head_says_so(tmp_path: Path, backend: str) -> None:
    made = CliRunner().invoke(command, [SHOP, "--node", "node-a", "--backend", backend, "--prove", "-o", str(tmp_path)])
    assert made.exit_code == 0, made.output
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert files
    for path in files:
        assert path.read_text().splitlines()[1].startswith("# Proved: read back")


def test_without_it_nothing_is_claimed(tmp_path: Path) -> None:
    assert CliRunner().invoke(command, [SHOP, "--node", "node-a", "-o", str(tmp_path)]).exit_code == 0
    assert "Proved" not in (tmp_path / "netpolc.nft").read_text()


def test_a_wrong_text_is_shown_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(ruleset: Ruleset) -> dict[str, str]:
        return {
            name: text.replace("dport 8080 return", "dport 8081 return")
            for name, text in nftables.emit(ruleset).items()
        }

    monkeypatch.setitem(pipeline._EMIT, Backend.NFTABLES, wrong)  # type: ignore[arg-type]
    out = tmp_path / "out"
    made = CliRunner().invoke(command, [SHOP, "--node", "node-a", "--prove", "-o", str(out)])
    assert made.exit_code == 70
    assert "tcp/8080" in made.output or "tcp/8081" in made.output
    assert "p-tcp8080" in made.output
    assert not out.exists()


def test_what_cannot_be_proved_is_not_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = CliRunner().invoke(command, [f"{SHOP}/policies.yaml", "--prove", "-o", str(out)])
    assert made.exit_code == 2
    assert "cannot be proved" in made.output
    assert not out.exists()
