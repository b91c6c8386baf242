"""The bench of whole files runs, on small ones."""

from __future__ import annotations

import pytest

from bench.optimize import main


def test_every_way_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rules", "200"])
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(", ")[0] for row in rows] == ["Kubernetes 200"] * 4 + ["ClassBench 200"] * 4
