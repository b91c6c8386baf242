"""`netpolc lint` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run

SHOP = str(Path(__file__).resolve().parents[3] / "fixtures/examples/shop")
POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  egress: [{}]
"""
Netpolc = Callable[..., Run]


@pytest.mark.parametrize(("level", "status"), [("error", 0), ("warning", 0), ("info", 1)])
def test_fail_on(netpolc: Netpolc, level: str, status: int) -> None:
    done = netpolc("lint", SHOP, "--fail-on", level)
    assert (done.status, done.stderr) == (status, "")
    assert done.stdout.endswith("0 errors, 0 warnings, 2 info\n")


def test_an_error_is_status_1_and_bad_input_2(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY)
    done = netpolc("lint", "a.yaml")
    assert done.status == 1
    assert done.stdout.startswith("a.yaml:7:3: error: the egress rules of default/a never count")
    (tmp_path / "b.yaml").write_text(POLICY.replace("egress", "egres"))
    done = netpolc("lint", "b.yaml")
    assert (done.status, done.stdout) == (2, "")
    assert "unknown-field" in done.stderr


def test_json(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY)
    (found,) = json.loads(netpolc("lint", "a.yaml", "--format", "json").stdout)
    assert found.pop("message")
    assert found == {"code": "unused-direction", "severity": "error", "file": "a.yaml", "line": 7, "column": 3}


def test_sarif(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY.replace("{name: a}", "{namespace: shop, name: a}"))
    done = netpolc("lint", "a.yaml", SHOP, "--format", "sarif")
    log = json.loads(done.stdout)
    assert (done.status, log["version"]) == (1, "2.1.0")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    error, *notes = run["results"]
    assert rules[error["ruleIndex"]]["id"] == error["ruleId"] == "unused-direction"
    place = error["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "a.yaml"}
    assert place["region"] == {"startLine": 7, "startColumn": 3, "endLine": 7, "endColumn": 9}
    assert [one["level"] for one in notes] == ["note", "note"]
    assert notes[0]["locations"] == [{"logicalLocations": [{"fullyQualifiedName": "namespace kube-system"}]}]
