"""Files as an editor and the disk have them."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from compiler.cli import lsp_files
from compiler.cli.lsp_files import Files, Watched, path_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.np").write_text("zone a = any\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.np").write_text('include "../a.np"\n')
    return tmp_path


def opened(*folders: Path) -> Files:
    files = Files()
    assert files.search([str(one) for one in folders])
    return files


def test_files_are_called_by_their_paths_in_the_workspace(folder: Path) -> None:
    files = opened(folder)
    assert list(files.texts()) == ["a.np", "in/b.np"]
    assert files.include("in/b.np", "../a.np") == ("a.np", b"zone a = any\n")
    assert files.name((folder / "in" / "b.np").as_uri()) == "in/b.np"
    assert files.uri("in/b.np") == (folder / "in" / "b.np").as_uri()


def test_files_of_several_folders_are_called_by_their_whole_paths(folder: Path, tmp_path: Path) -> None:
    assert list(opened(folder / "in", folder).texts()) == [str(folder / "a.np"), str(folder / "in" / "b.np")]


def test_buffers_stand_for_files_until_they_are_closed(folder: Path) -> None:
    files = opened(folder)
    uri = (folder / "a.np").as_uri()
    files.put(uri, "set s = {}\n")
    assert files.texts()["a.np"] == b"set s = {}\n"
    assert files.include("in/b.np", "../a.np") == ("a.np", b"set s = {}\n")
    files.put((folder / "new.np").as_uri(), "x")
    assert files.include("a.np", "new.np") == ("new.np", b"x")
    files.drop(uri)
    files.drop((folder / "new.np").as_uri())
    assert files.texts()["a.np"] == b"zone a = any\n"
    assert files.include("a.np", "new.np") == "No such file or directory"


def test_a_link_is_the_file_that_it_leads_to(folder: Path) -> None:
    """And the editor hears of it by the name that it uses."""
    (folder / "link.np").symlink_to(folder / "a.np")
    files = opened(folder)
    assert list(files.texts()) == ["a.np", "in/b.np"]
    files.put((folder / "link.np").as_uri(), "")
    assert files.include("in/b.np", "../a.np") == ("a.np", b"")
    assert files.uri("a.np") == (folder / "link.np").as_uri()


def test_names_with_anything_in_them(folder: Path) -> None:
    path = folder / "a b%20\xe9#\U0001f600.np"
    path.write_text("")
    files = opened(folder)
    assert files.name(path.as_uri()) == path.name
    assert files.uri(path.name) == path.as_uri()
    assert files.include("a.np", path.name) == (path.name, b"")


def test_what_is_no_file_is_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe.np")
    (folder / "folder.np").mkdir()
    (folder / "gone.np").symlink_to(folder / "nowhere")
    files = opened(folder)
    assert list(files.texts()) == ["a.np", "in/b.np"]
    assert files.include("a.np", "pipe.np") == "not a file"
    assert files.include("a.np", "/dev/zero") == "not a file"
    assert files.include("a.np", "folder.np") == "Is a directory"
    assert files.include("a.np", "a\0b") == "embedded null byte"
    assert files.include("a.np", "x" * 300) == "File name too long"


def test_files_are_read_again_when_they_change(folder: Path) -> None:
    files = opened(folder)
    before = files.texts()
    assert files.texts()["a.np"] is before["a.np"]
    (folder / "a.np").write_text("zone b = any\n\n")
    assert files.texts()["a.np"] == b"zone b = any\n\n"


def test_hidden_folders_are_passed_over_and_large_ones_searched_so_far(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hidden in (".git", "node_modules"):
        (folder / hidden).mkdir()
        (folder / hidden / "c.np").write_text("")
    assert list(opened(folder).texts()) == ["a.np", "in/b.np"]
    monkeypatch.setattr(lsp_files, "MOST", 0)
    files = Files()
    assert not files.search([str(folder)])
    assert list(files.texts()) == ["a.np"]


@pytest.mark.parametrize("uri", ["untitled:Untitled-1", "https://example.org/a.np", "file:///a%00.np", "file://[", ""])
def test_uris_of_no_file(uri: str) -> None:
    assert path_of(uri) is None
    files = Files()
    files.put(uri, "zone a = any")
    assert files.texts() == {uri: b"zone a = any"}
    assert files.uri(uri) == uri


def test_what_is_watched_is_made_again(folder: Path) -> None:
    number = count(1)
    watched = Watched([str(folder)], lambda: next(number))
    assert [watched.get(), watched.get()] == [1, 1]
    (folder / "in" / "b.np").write_text("longer than before\n")
    assert [watched.get(), watched.get()] == [2, 2]
    (folder / "a.np").unlink()
    assert watched.get() == 3
