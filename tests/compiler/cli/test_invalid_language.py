"""The gallery of bad programs in the policy language: the exact messages, exit status 2, and no file touched."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run
from tests.compiler.cli.gallery import FOLDER, read
from tests.compiler.cli.test_invalid import PLACE, places_exist

CASES = sorted((FOLDER / "language").glob("*.txt"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_refused(path: Path, netpolc: Callable[..., Run], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    case = read(path)
    arguments = case.arguments(tmp_path)
    before = {place: place.read_bytes() for place in tmp_path.iterdir()}
    for options in ((), ("--check",), ("--diff",)):
        done = netpolc("fmt", *arguments, *options)
        if request.config.getoption("--update", default=False):
            path.write_text(case.text(done.stderr), encoding="utf-8")
            case = read(path)
        assert done.stderr == case.expected
        assert done.status == 2
        assert done.stdout == ""
        assert {place: place.read_bytes() for place in tmp_path.iterdir()} == before
    places_exist(case.expected, tmp_path)
    assert all(line.isprintable() for line in case.expected.split("\n"))


def test_gallery_is_large() -> None:
    expected = [read(path).expected for path in CASES]
    assert len(CASES) >= 40
    assert sum(len(PLACE.findall(text)) for text in expected) >= 150
    assert len({code for text in expected for code in re.findall(r"\[([a-z0-9-]+)\]$", text, re.M)}) >= 20
