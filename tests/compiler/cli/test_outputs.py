"""Files appear whole, all together, or not at all."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from compiler.cli.outputs import write
from compiler.errors import Unwritable

ROOT = Path(__file__).resolve().parents[3]
FILES = {"ipset.save": "sets\n", "iptables.save": "four\n", "ip6tables.save": "six\n"}


def contents(folder: Path) -> dict[str, str]:
    """Every file below `folder`, hidden ones too, and folders as empty texts with a slash."""
    return {
        str(p.relative_to(folder)) + ("/" if p.is_dir() else ""): "" if p.is_dir() else p.read_text()
        for p in sorted(folder.rglob("*"))
    }


def test_files_and_folders_are_made(tmp_path: Path) -> None:
    write(tmp_path / "out/deep", {"node-1/a": "1", "node-2/a": "2", "b": "é"})
    assert contents(tmp_path / "out/deep") == {"b": "é", "node-1/": "", "node-1/a": "1", "node-2/": "", "node-2/a": "2"}


def test_new_files_have_the_mode_that_open_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path, {"a": "1"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_existing_files_keep_mode_links_and_owner(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/target").write_text("old")
    (tmp_path / "real/target").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(tmp_path / "real/target", 1234, 4321)
    owner = (tmp_path / "real/target").stat().st_uid
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").symlink_to("../real/target")
    (tmp_path / "link").symlink_to("out")
    write(tmp_path / "link", {"a": "new"})
    assert (tmp_path / "out/a").is_symlink()
    assert (tmp_path / "real/target").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "real/target").stat().st_mode) == 0o600
    assert (tmp_path / "real/target").stat().st_uid == owner
    assert contents(tmp_path / "real") == {"target": "new"}


def test_readers_of_the_old_file_keep_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with (tmp_path / "a").open() as reader:
        write(tmp_path, {"a": "new"})
        assert reader.read() == "old"


def test_a_move_that_fails_takes_the_others_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    write(out, {"ipset.save": "old sets\n"})
    (out / "ipset.save").chmod(0o600)
    before = contents(tmp_path)
    moves = 0
    replace = os.replace

    def fails_at_third(source: Path, target: Path) -> None:
        nonlocal moves
        moves += 1
        if moves == 3:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_at_third)
    with pytest.raises(Unwritable, match=r"ip6tables\.save: No space left on device"):
        write(out, FILES | {"node/extra": "x"})
    assert moves >= 4  # the way back moves, too
    assert contents(tmp_path) == before
    assert stat.S_IMODE((out / "ipset.save").stat().st_mode) == 0o600


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    def interrupted(handle: int) -> None:
        raise stop

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(stop):
        write(tmp_path / "new/out", FILES)
    assert contents(tmp_path) == {}


def test_what_stands_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out/b").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "out/c")
    before = sorted(tmp_path.rglob("*"))
    for folder, name in (("out", "b"), ("out", "c"), ("file", "a"), ("file/deeper", "a")):
        with pytest.raises(Unwritable, match=str(tmp_path / folder / name)):
            write(tmp_path / folder, {"a1": "1", name: "2"} if folder == "out" else {name: "2"})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_to_nowhere_makes_no_folder(tmp_path: Path) -> None:
    """A link may write where it leads, as `>` does; folders are made only where the user named them."""
    (tmp_path / "a").symlink_to("there/a")
    with pytest.raises(Unwritable, match=f"^{tmp_path / 'a'}: No such file or directory$"):
        write(tmp_path, {"a": "1", "new/b": "2"})
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    (tmp_path / "there").mkdir()
    write(tmp_path, {"a": "1"})
    assert (tmp_path / "there/a").read_text() == "1"


def test_a_folder_that_someone_else_fills_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def another(handle: int) -> None:
        (tmp_path / "new/theirs").write_text("x")
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", another)
    with pytest.raises(Unwritable):
        write(tmp_path / "new/out", FILES)
    assert contents(tmp_path) == {"new/": "", "new/theirs": "x"}


BIG = {"a": "x" * 1000, "b": "y" * 300_000}
WRITE = "import sys; from pathlib import Path; from compiler.cli.outputs import write; from compiler.errors import *\n"
WRITE += "try: write(Path(sys.argv[1]), {'a': 'x' * 1000, 'b': 'y' * 300_000})\nexcept Unwritable as e: print(e)"


def _python(*command: str, limit: int | None = None) -> str:
    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limited,
    )
    return done.stdout.strip()


def test_a_file_that_grows_too_large(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("old")
    said = _python(sys.executable, "-c", WRITE, str(tmp_path / "out"), limit=100_000)
    assert said == f"{tmp_path}/out/b: File too large"
    assert contents(tmp_path / "out") == {"a": "old"}
    assert _python(sys.executable, "-c", WRITE, str(tmp_path / "new/out"), limit=100_000).endswith("File too large")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare for a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    script = (
        f"mount -t tmpfs -o size=128k none {tmp_path} && mkdir {tmp_path}/out && echo old >{tmp_path}/out/a && "
        f'{sys.executable} -c "$1" {tmp_path}/out && cat {tmp_path}/out/a && ls -A {tmp_path}/out | wc -l'
    )
    said = _python("unshare", "--mount", "bash", "-c", script, "bash", WRITE)
    assert said.split("\n") == [f"{tmp_path}/out/b: No space left on device", "old", "1"]
