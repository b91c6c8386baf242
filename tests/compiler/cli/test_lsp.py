"""`netpolc lsp`, as an editor sees it: a real server, over pipes. What is wrong with files, and sessions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler.cli.lsp_client import EXAMPLES, ROOT, Editor, Refused

EDGE = "edge-node.np"


def wanted(folder: Path, name: str) -> list[str]:
    """What `netpolc compile` says of a file: `LINE:COLUMN: MESSAGE [CODE]`; not that the input has no pods: an editor
    without a cluster does not know."""
    done = subprocess.run(
        [sys.executable, "-m", "compiler.cli.main", "compile", name, "--no-prove"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    found = re.findall(rf"^{re.escape(name)}:(\d+:\d+: )error: (.*)$", done.stderr, re.MULTILINE)
    return [place + message for place, message in found if not message.endswith("[no-pods]")]


# ---- What is wrong


@pytest.mark.parametrize("name", sorted(one.name for one in EXAMPLES.glob("*.np")))
def test_files_of_the_workspace_are_checked_without_being_open(reader: Editor, name: str) -> None:
    reader.settled()
    assert reader.wrong(name) == wanted(EXAMPLES, name)


def test_errors_come_while_typing_and_go_when_they_are_mended(editor: Editor, workspace: Path) -> None:
    editor.open(EDGE)
    before = editor.wrong(EDGE)
    at = editor.texts[EDGE].index("allow admins  -> pods")
    editor.type(EDGE, at, at + 5, "alow")
    (found,) = editor.wrong(EDGE)
    assert "did you mean allow? [syntax]" in found
    assert (workspace / EDGE).read_text() != editor.texts[EDGE]
    editor.type(EDGE, at, at + 4, "allow")
    assert editor.wrong(EDGE) == before


def test_errors_of_several_files_come_together(editor: Editor, workspace: Path) -> None:
    """A service is renamed where it is defined, in a buffer that nobody saved: the files that include it are wrong."""
    editor.open("services.np")
    at = editor.texts["services.np"].index("kubelet")
    editor.type("services.np", at, at + 7, "cubelet")
    found = editor.wrong(EDGE)
    assert (
        len([one for one in found if "there is no service kubelet: did you mean cubelet? [unknown-name]" in one]) == 3
    )
    assert editor.wrong("services.np") == []
    editor.close("services.np")
    assert not [one for one in editor.wrong(EDGE) if "unknown-name" in one]


def test_what_is_on_disk_counts_again_when_it_changes(editor: Editor, workspace: Path) -> None:
    editor.settled()
    (workspace / "new.np").write_text("zone a = nobody\n")
    changes = [{"uri": editor.uri("new.np"), "type": 1}]
    editor.tell("workspace/didChangeWatchedFiles", changes=changes)
    assert editor.wrong("new.np") == wanted(workspace, "new.np") != []
    (workspace / "new.np").unlink()
    editor.tell("workspace/didChangeWatchedFiles", changes=changes)
    assert editor.wrong("new.np") == []


def test_columns_count_utf_16(editor: Editor) -> None:
    """Two code units for each emoji, one for each letter with an accent; the error is behind both, on one line."""
    text = 'policy p {\n  allow any -> any "\U0001f600\U0001f600 \xe9" alow # \U0001f600\n}\n'
    editor.open("emoji.np", text)
    editor.settled()
    (one,) = editor.published[editor.uri("emoji.np")]
    assert one["range"]["start"] == {"line": 1, "character": 28}
    assert editor.shown("emoji.np", one["range"]) == "alow"
    at = text.index("alow")
    editor.type("emoji.np", at, at + 5, "")
    assert editor.texts["emoji.np"].count("alow") == 0
    assert editor.wrong("emoji.np") == []
    editor.type("emoji.np", text.index("\U0001f600") + 1, text.index("\U0001f600") + 1, "\U0001f601")
    assert editor.wrong("emoji.np") == []
    assert "\U0001f600\U0001f601\U0001f600" in editor.outline("emoji.np")[0]["children"][0]["name"]


def test_lines_that_end_as_on_windows(editor: Editor) -> None:
    text = "zone a = any # \U0001f600\r\npolicy p {\r\n  alow a -> a\r\n}\r\n"
    editor.open("crlf.np", text)
    (found,) = editor.wrong("crlf.np")
    assert found.startswith("3:3: ")
    editor.type("crlf.np", text.index("alow"), text.index("alow") + 4, "allow")
    assert editor.wrong("crlf.np") == []
    assert "zone a = any" in editor.hover("crlf.np", editor.texts["crlf.np"].index("a -> a"))
    assert editor.laid_out("crlf.np") == "zone a = any  # \U0001f600\npolicy p {\n  allow a -> a\n}\n"


def test_several_changes_at_once_come_one_after_the_other(editor: Editor) -> None:
    editor.open("many.np", "zone a = any\n")
    place = [{"line": 0, "character": n} for n in (5, 6)]
    changes = [
        {"range": {"start": place[0], "end": place[1]}, "text": "\U0001f600x"},
        {"range": {"start": place[0], "end": {"line": 0, "character": 8}}, "text": "b"},
        {"range": {"start": {"line": 1, "character": 0}, "end": {"line": 9, "character": 9}}, "text": "zone c = b\n"},
    ]
    editor.tell(
        "textDocument/didChange", textDocument={"uri": editor.uri("many.np"), "version": 2}, contentChanges=changes
    )
    assert [one["name"] for one in editor.outline("many.np")] == ["b", "c"]
    assert editor.wrong("many.np") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-32"])
def test_columns_count_what_both_agree_on(workspace: Path, encoding: str) -> None:
    editor = Editor(workspace, capabilities={"general": {"positionEncodings": [encoding]}})
    assert editor.server["capabilities"]["positionEncoding"] == encoding
    text = "zone a = any # \U0001f600\nzone b = {\U0001f600}\n"
    editor.open("emoji.np", text)
    editor.settled()
    one = editor.published[editor.uri("emoji.np")][0]["range"]
    width = {"utf-8": 4, "utf-32": 1}[encoding]
    assert one == {"start": {"line": 1, "character": 10}, "end": {"line": 1, "character": 10 + width}}
    assert editor.quit() == (0, "")


# ---- Sessions


def test_a_file_without_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "in.np").write_text("zone a = any\n")
    editor = Editor(None)
    uri = (tmp_path / "one.np").as_uri()
    editor.open(uri, 'include "in.np"\npolicy p { allow a -> b }\n')
    assert editor.wrong(uri) == ["2:23: there is no set or zone b: did you mean a? [unknown-name]"] or editor.wrong(uri)
    editor.open("untitled:Untitled-1", "zone a = b\n")
    assert "unknown-name" in editor.wrong("untitled:Untitled-1")[0]
    assert editor.quit() == (0, "")


def test_rubbish_is_answered_and_survived(workspace: Path) -> None:
    editor = Editor(workspace)
    editor.raw(b"{")
    editor.raw(b"[]")
    document = {"uri": "file:///never-opened.np", "version": 1}
    editor.tell("textDocument/didChange", textDocument=document, contentChanges=[{"text": "zone"}])
    editor.tell("textDocument/didChange", textDocument=document)
    with pytest.raises(Refused, match="Method Not Found"):
        editor.ask("no/such/method")
    editor.open(EDGE)
    assert editor.hover(EDGE, 10_000_000) == ""
    assert editor.about("definition", EDGE, 0) == []
    assert editor.quit()[0] == 0


def test_an_editor_that_is_gone_ends_the_server(workspace: Path) -> None:
    editor = Editor(workspace)
    assert editor.process.stdin is not None
    editor.process.stdin.close()
    assert editor.gone() == (1, "")


def test_without_pygls_one_line_says_what_to_install(tmp_path: Path) -> None:
    hidden = (
        "import sys; sys.modules['pygls'] = None; sys.argv[1:] = ['lsp']\nfrom compiler.cli.main import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: netpolc lsp needs pygls, which is not installed: pip install 'pygls>=2.1,<3'\n"


def test_help_imports_nothing_of_it() -> None:
    script = "import sys\nfrom compiler.cli.main import cli\ncli.main(['--help'], standalone_mode=False)\n"
    script += "assert not {'pygls', 'lsprotocol', 'compiler.cli.lsp', 'lark', 'asyncio'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "lsp" in done.stdout
