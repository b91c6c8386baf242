"""The programs that netpolc ships with are compiled for both tools, and what they promise is proved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run

EXAMPLES = Path(__file__).parents[3] / "fixtures" / "examples"
ALONE = ("docker-host", "home-router", "web-server")
CLUSTER = (str(EXAMPLES / "edge"), "--node", "edge-1")

Netpolc = Callable[..., Run]


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
@pytest.mark.parametrize(("name", "more"), [*((name, ()) for name in ALONE), ("edge-node", CLUSTER)])
def test_an_example_holds_what_it_expects(
    netpolc: Netpolc, tmp_path: Path, name: str, more: tuple[str, ...], backend: str
) -> None:
    program = EXAMPLES / "language" / f"{name}.np"
    run = netpolc("compile", str(program), *more, "--backend", backend, "-o", str(tmp_path))
    assert run.status == 0, run.stderr
    for file in tmp_path.iterdir():
        assert "# Proved: read back" in file.read_text(), file.name


@pytest.mark.parametrize(
    ("name", "written", "wrong"),
    [
        ("docker-host", "deny  back     -> world ", "allow back     -> world "),
        ("home-router", "deny  any    -> self ", "allow any    -> self "),
        ("web-server", "allow  keepers -> self : ssh", "allow  any -> self : ssh"),
        ("edge-node", "deny  pods    -> metadata ", "allow pods    -> metadata "),
    ],
)
def test_an_expectation_notices_what_is_opened(
    netpolc: Netpolc, tmp_path: Path, name: str, written: str, wrong: str
) -> None:
    language = EXAMPLES / "language"
    text = (language / f"{name}.np").read_text()
    assert written in text
    program = tmp_path / f"{name}.np"
    program.write_text(text.replace(written, wrong))
    (tmp_path / "services.np").write_text((language / "services.np").read_text())
    run = netpolc("compile", str(program), *(CLUSTER if name == "edge-node" else ()))
    assert run.status == 1, run.stderr
    assert "this does not hold: " in run.stderr
    assert run.stdout == ""
