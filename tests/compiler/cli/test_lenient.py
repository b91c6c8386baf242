"""--lenient: what older servers stored is taken, and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.compiler.cli.conftest import Run

TEXT = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, foo: bar}
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock: {cidr: 10.0.0.1/8}
extra: 1
"""


def test_warnings_have_the_form_of_errors_and_the_rules_are_written(
    netpolc: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "old.yaml").write_text(TEXT)
    done = netpolc("compile", "old.yaml", "--lenient", "-o", "out")
    assert done.status == 0
    lines = done.stderr.split("\n")
    assert lines[0].startswith('old.yaml:3:23: warning: unknown field "metadata.foo"')
    assert lines[1:3] == ["    3 | metadata: {name: web, foo: bar}", "      |                       ^^^"]
    assert lines[3].startswith("old.yaml:8:23: warning: ")
    assert lines[3].endswith("[host-bits]")
    assert lines[6].startswith('old.yaml:9:1: warning: unknown field "extra"')
    rules = (tmp_path / "out/netpolc.nft").read_text()
    assert "10.0.0.0/8" in rules
    assert "10.0.0.1/8" not in rules


def test_the_same_input_is_refused_without_it(netpolc: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(TEXT)
    done = netpolc("compile", "old.yaml", "-o", "out")
    assert done.status == 2
    assert done.stderr.count(": error: ") == 3
    assert not (tmp_path / "out").exists()
