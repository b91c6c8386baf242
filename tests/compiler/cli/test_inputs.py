"""Files, folders, standard input."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

import pytest

from compiler.cli.inputs import texts
from compiler.errors import Unreadable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "b/two.yml",
        "b/one.yaml",
        "a.json",
        "b/c/three.yaml",
        "b/.hidden.yaml",
        "b/.git/x.yaml",
        "b/notes.md",
    ):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    return tmp_path


def names(*inputs: str) -> list[str]:
    return [name for name, _ in texts(inputs)]


def test_folders_give_manifests_in_order(folder: Path) -> None:
    assert list(texts(["b"])) == [
        ("b/c/three.yaml", b"b/c/three.yaml"),
        ("b/one.yaml", b"b/one.yaml"),
        ("b/two.yml", b"b/two.yml"),
    ]
    assert names(".") == ["./a.json", "./b/c/three.yaml", "./b/one.yaml", "./b/two.yml"]


def test_named_files_are_read_whatever_they_are_called(folder: Path) -> None:
    assert names("b/notes.md", "b/.hidden.yaml") == ["b/notes.md", "b/.hidden.yaml"]


def test_a_file_comes_once(folder: Path) -> None:
    (folder / "link.yaml").symlink_to("b/one.yaml")
    assert names("b/one.yaml", "b", "./b/one.yaml", "link.yaml") == ["b/one.yaml", "b/c/three.yaml", "b/two.yml"]


def test_links_as_a_mounted_config_map_has_them(folder: Path) -> None:
    (folder / "mount/..2024_05_01").mkdir(parents=True)
    (folder / "mount/..2024_05_01/policy.yaml").write_text("x")
    (folder / "mount/..data").symlink_to("..2024_05_01")
    (folder / "mount/policy.yaml").symlink_to("..data/policy.yaml")
    (folder / "mount/dangling.yaml").symlink_to("nowhere")
    (folder / "mount/loop").symlink_to(".")
    assert names("mount") == ["mount/policy.yaml"]


def test_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin")))
    assert list(texts(["-", "a.json", "-"])) == [("-", b"from stdin"), ("a.json", b"a.json")]


def test_a_pipe_is_a_file(folder: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    assert list(texts([f"/dev/fd/{reader}"])) == [(f"/dev/fd/{reader}", b"from a pipe")]
    os.close(reader)


def test_everything_that_is_missing_is_told_before_anything_is_read(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(Unreadable) as caught:
        next(texts(["a.json", "missing.yaml", "empty", "gone/x"]))
    assert caught.value.render().split("\n") == [
        "error: missing.yaml: No such file or directory",
        "error: empty: no .yaml, .yml, .json file in this folder",
        "error: gone/x: No such file or directory",
    ]


def test_what_may_not_be_read(folder: Path) -> None:
    """As root, a child that becomes an ordinary user does the reading."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        (Path(name) / "open.yaml").write_text("x")
        (Path(name) / "secret.yaml").touch(0o000)
        (Path(name) / "locked").mkdir(0o000)
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                with pytest.raises(Unreadable) as caught:
                    next(texts([name]))
                assert caught.value.render().split("\n") == [
                    f"error: {name}/locked: Permission denied",
                    f"error: {name}/secret.yaml: Permission denied",
                ]
            except BaseException as error:
                print(repr(error), flush=True)
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
