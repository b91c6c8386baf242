"""`pytest tests/compiler/cli --update` writes the messages of the gallery anew. `netpolc` runs the command
line, `editor` is served by one."""

from __future__ import annotations

import gc
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from compiler.cli.main import main
from tests.compiler.cli.lsp_client import EXAMPLES, Editor


def pytest_addoption(parser: pytest.Parser) -> None:
    with suppress(ValueError):  # another folder's conftest has it, too
        parser.addoption("--update", action="store_true", help="write expected outputs anew")


@dataclass(frozen=True, slots=True)
class Run:
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def netpolc(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Callable[..., Run]]:
    """Runs netpolc as a user would, in `tmp_path`, in this process."""
    monkeypatch.chdir(tmp_path)
    terminated = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Run:
        monkeypatch.setattr(sys, "argv", ["netpolc", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as done:
            main()
        out = capfd.readouterr()
        assert isinstance(done.value.code, int)
        return Run(done.value.code, out.out, out.err)

    yield run
    signal.signal(signal.SIGTERM, terminated)
    gc.enable()  # a command turns it off for its short life


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with the shipped examples."""
    shutil.copytree(EXAMPLES, tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def editor(workspace: Path) -> Iterator[Editor]:
    """An editor on them. What the server writes beside the protocol is a defect."""
    made = Editor(workspace)
    yield made
    assert made.quit() == (0, "")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """One for questions that change no file."""
    made = Editor(Path(shutil.copytree(EXAMPLES, tmp_path_factory.mktemp("read") / "work")))
    yield made
    assert made.quit() == (0, "")
