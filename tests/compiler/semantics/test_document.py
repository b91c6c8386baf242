"""docs/SEMANTICS.md and the oracle's tests tell the same story; that named tests exist, tests/test_project.py holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TEXT = (HERE.parents[2] / "docs" / "SEMANTICS.md").read_text(encoding="utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| point ")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_point_has_a_source_and_a_test(row: str) -> None:
    _, _, meaning, source, tests, _ = (cell.strip() for cell in row.split("|"))
    assert meaning
    assert source
    assert re.search(r"`(test_\w+|Test\w+|tests/[\w/.]+)`", tests)


@pytest.mark.parametrize("module", ["test_networkpolicy", "test_ends", "test_tiers"])
def test_every_test_is_named(module: str) -> None:
    tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    assert {name for name in tests if f"`{name}`" not in TEXT} == set()


def test_every_decision_has_a_reason() -> None:
    decided = sum("decision" in row.split("|")[3] for row in ROWS)
    reasons = TEXT.partition("## Reasons for the decisions")[2].count("\n- **")
    assert 10 < reasons <= decided
