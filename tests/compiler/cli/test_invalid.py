"""Every case of the gallery: the exact messages, exit status 2, and nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run
from tests.compiler.cli.gallery import FOLDER, read

CASES = sorted(FOLDER.glob("*.txt"))
PLACE = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?:error|warning): .+ \[[a-z0-9-]+\]$", re.M)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_refused(path: Path, netpolc: Callable[..., Run], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    case = read(path)
    arguments = case.arguments(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for output in ((), ("-o", "out"), ("-o", "out", "--backend", "iptables"), ("--explain-layout",)):
        done = netpolc("compile", *arguments, *output)
        if request.config.getoption("--update", default=False):
            path.write_text(case.text(done.stderr), encoding="utf-8")
            case = read(path)
        assert done.stderr == case.expected
        assert done.status == 2
        assert done.stdout == ""
        assert sorted(tmp_path.rglob("*")) == before
    places_exist(case.expected, tmp_path)
    assert case.expected.isascii() or case.expected.replace("\n", "").isprintable()


def places_exist(messages: str, folder: Path) -> None:
    """Every position is one of its file: a line that is there and a column of it, or the place behind its end."""
    for found in PLACE.finditer(messages):
        data = (folder / found["file"]).read_bytes()
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        lines = data.decode(encoding, "replace").split("\n")
        assert 1 <= int(found["line"]) <= len(lines), found[0]
        assert 1 <= int(found["column"]) <= len(lines[int(found["line"]) - 1]) + 1, found[0]


def test_gallery_is_large() -> None:
    assert len(CASES) >= 60
    codes = {code for path in CASES for code in re.findall(r"\[([a-z0-9-]+)\]$", read(path).expected, re.M)}
    assert len(codes) >= 30
