"""`netpolc fmt`, and what the other commands say to files of the policy language."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compiler.cli.conftest import Run
from tests.compiler.cli.test_main import NETPOLC, ROOT, environment
from tests.test_project import consoles

UGLY = "policy  p{allow a->b:tcp/80 # why\n}\n"
NEAT = "policy p {\n  allow a -> b : tcp/80  # why\n}\n"
BROKEN = "policy p { allow a -> b : tcp/80808 }\n"

Netpolc = Callable[..., Run]


def test_files_are_laid_out_where_they_are(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "ugly.np").write_text(UGLY)
    (tmp_path / "neat.np").write_text(NEAT)
    (tmp_path / "folder/deep/ugly.np").write_text(UGLY)
    (tmp_path / "folder/notes.txt").write_text(UGLY)
    os.chmod(tmp_path / "ugly.np", 0o640)
    before = (tmp_path / "neat.np").stat().st_ino, (tmp_path / "neat.np").stat().st_mtime_ns
    done = netpolc("fmt", "ugly.np", "neat.np", "folder")
    assert (done.status, done.stdout) == (0, "")
    assert done.stderr == "formatted ugly.np\nformatted folder/deep/ugly.np\n"
    assert (tmp_path / "ugly.np").read_text() == (tmp_path / "folder/deep/ugly.np").read_text() == NEAT
    assert stat.S_IMODE((tmp_path / "ugly.np").stat().st_mode) == 0o640
    assert ((tmp_path / "neat.np").stat().st_ino, (tmp_path / "neat.np").stat().st_mtime_ns) == before
    assert (tmp_path / "folder/notes.txt").read_text() == UGLY
    assert netpolc("fmt", "ugly.np", "neat.np", "folder") == Run(0, "", "")


def test_check_and_diff_write_nothing(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "ugly.np").write_text(UGLY)
    (tmp_path / "neat.np").write_text(NEAT)
    assert netpolc("fmt", "--check", "ugly.np", "neat.np") == Run(1, "", "would format ugly.np\n")
    assert netpolc("fmt", "--check", "neat.np") == Run(0, "", "")
    done = netpolc("fmt", "--diff", "ugly.np", "neat.np")
    assert done.status == 0
    assert done.stdout.splitlines()[:3] == ["--- ugly.np", "+++ ugly.np (formatted)", "@@ -1,2 +1,3 @@"]
    assert "-policy  p{allow a->b:tcp/80 # why\n" in done.stdout
    assert netpolc("fmt", "--diff", "--check", "ugly.np").status == 1
    assert (tmp_path / "ugly.np").read_text() == UGLY


def test_with_an_error_no_file_is_touched(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "ugly.np").write_text(UGLY)
    (tmp_path / "broken.np").write_text(BROKEN)
    (tmp_path / "too.np").write_text("zone =")
    for options in ((), ("--check",), ("--diff",)):
        done = netpolc("fmt", *options, "ugly.np", "broken.np", "too.np")
        assert done.status == 2
        assert done.stdout == ""
        assert done.stderr == (
            "broken.np:1:31: error: a port is a number from 0 to 65535 [out-of-range]\n"
            "    1 | policy p { allow a -> b : tcp/80808 }\n"
            "      |                               ^^^^^\n"
            'too.np:1:6: error: expected a name, found "=" [syntax]\n'
            "    1 | zone =\n"
            "      |      ^\n"
        )
    assert (tmp_path / "ugly.np").read_text() == UGLY


def test_standard_input_goes_to_standard_output(netpolc: Netpolc, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    given(UGLY)
    assert netpolc("fmt", "-") == Run(0, NEAT, "")
    given(NEAT)
    assert netpolc("fmt", "-") == Run(0, NEAT, "")
    given(UGLY)
    assert netpolc("fmt", "--check", "-") == Run(1, "", "would format -\n")
    given(BROKEN)
    done = netpolc("fmt", "-")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("-:1:31: error: ")


@pytest.mark.parametrize(
    "data", [b"zone a = self\r\n", b"\xef\xbb\xbfzone a = self\n", "zone a = self".encode("utf-16")]
)
def test_line_ends_marks_and_encodings_become_plain(netpolc: Netpolc, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.np").write_bytes(data)
    assert netpolc("fmt", "a.np").status == 0
    assert (tmp_path / "a.np").read_bytes() == b"zone a = self\n"


def test_what_cannot_be_read_or_written(netpolc: Netpolc, tmp_path: Path) -> None:
    assert netpolc("fmt", "missing.np").stderr == "error: missing.np: No such file or directory\n"
    (tmp_path / "empty").mkdir()
    assert netpolc("fmt", "empty") == Run(2, "", "error: empty: no .np file in this folder\n")
    (tmp_path / "latin.np").write_bytes(b"# caf\xe9\n")
    assert netpolc("fmt", "latin.np").stderr.startswith("latin.np:1:6: error: byte 0xE9 is not UTF-8")


def test_links_stay_links(netpolc: Netpolc, tmp_path: Path) -> None:
    (tmp_path / "real.np").write_text(UGLY)
    (tmp_path / "link.np").symlink_to("real.np")
    assert netpolc("fmt", "link.np").status == 0
    assert (tmp_path / "link.np").is_symlink()
    assert (tmp_path / "real.np").read_text() == NEAT


@pytest.mark.parametrize(
    "command",
    [
        ("lint", "edge.np"),
        ("lint", "folder"),
        ("reach", "edge.np"),
        ("diff", "policy.yaml", "edge.np"),
        ("explain", "edge.np", "--from", "a/b", "--to", "a/c:80/TCP"),
    ],
)
def test_commands_that_do_not_know_the_language_say_so(netpolc: Netpolc, tmp_path: Path, command: list[str]) -> None:
    """They neither pass the policies over nor read them as YAML, which many of them are."""
    (tmp_path / "folder").mkdir()
    policy = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"
    for name, text in {
        "edge.np": NEAT,
        "folder/edge.np": "",
        "folder/policy.yaml": policy,
        "policy.yaml": policy,
    }.items():
        (tmp_path / name).write_text(text)
    done = netpolc(*command)
    assert (done.status, done.stdout) == (2, "")
    assert "edge.np: only netpolc compile, verify and fmt read the policy language as yet\n" in done.stderr


def test_other_commands_do_not_load_the_parser(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("")
    for arguments in (["compile", "policy.yaml"], ["fmt", "--help"]):
        code = f"import sys; sys.argv = ['netpolc', *{arguments!r}]; from compiler.cli.main import main\n"
        code += "try: main()\nexcept SystemExit: print('loaded:', 'lark' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("loaded: False\n")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """All files or none, and nothing left behind."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "ugly.np").write_text(UGLY)
    (tmp_path / "locked/ugly.np").write_text(UGLY)
    command = [*NETPOLC, "fmt", "ugly.np", "locked/ugly.np"]
    script = "import resource, sys, os; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); "
    script += "os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr
    assert (tmp_path / "ugly.np").read_text() == (tmp_path / "locked/ugly.np").read_text() == UGLY
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locked", "ugly.np"]


def test_the_reference_shows_what_is_printed() -> None:
    shown = [one for block in consoles(ROOT / "docs" / "DSL.md") for one in block]
    assert len(shown) >= 3
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command, lines in shown:
        done = subprocess.run(
            ["bash", "-c", f"({command}) 2>&1"], cwd=ROOT, env=environment(PATH=path), capture_output=True, text=True
        )
        assert done.stdout.splitlines() == lines, command
