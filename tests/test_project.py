"""The project around the code says the truth: README's commands and outputs, documents, locks, versions."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGES.md", *sorted((ROOT / "docs").glob("*.md"))]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
SCRIPTS = [ROOT / name for name in ("run/setup", "run/demo", "run/tests", ".ci/run")]
KERNEL_TOOLS = ("nft", "ipset", "iptables-restore", "ip6tables-restore", "run/demo", "netpolc enforce")
ELLIPSIS = "..."
#: What ARCHITECTURE names as the place of things to come, and what only a run writes.
PLANNED = {"grammar/dsl.py", "compiler/sources/dsl.py", "build/demo"}

# README and documents


def consoles(path: Path) -> Iterator[list[tuple[str, list[str]]]]:
    """The ```console blocks of a document: (command, lines shown below it) of each."""
    for block in re.findall(r"^```console\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        found: list[tuple[str, list[str]]] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
        yield found


def shows(wanted: list[str], got: list[str]) -> bool:
    """Whether the lines shown are the lines printed; `...` alone on a line stands for any number of lines, and the
    digest in a name for any digest."""
    if not wanted:
        return not got
    if wanted[0].strip() == ELLIPSIS:
        return any(shows(wanted[1:], got[n:]) for n in range(len(got) + 1))
    return bool(got) and plain(wanted[0]) == plain(got[0]) and shows(wanted[1:], got[1:])


def plain(line: str) -> str:
    return re.sub(r"-(?:[a-z2-7]{7}|[0-9a-f]{10})\b", "-DIGEST", line.rstrip())


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8"}


def run_block(block: list[tuple[str, list[str]]], folder: Path, own_namespace: bool) -> None:
    """Runs the commands of one block in one shell, each compared with what the document shows."""
    mark = "--- next ---"
    script = "\n".join(f"{command}\necho '{mark}'" for command, _ in block)
    shell = ["unshare", "--net", "bash", "-e"] if own_namespace else ["bash", "-e"]
    done = subprocess.run(
        shell,
        input=script,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    printed = done.stdout.split(mark + "\n")
    assert done.returncode == 0, done.stdout
    for (command, wanted), got in zip(block, printed, strict=False):
        assert shows(wanted, got.splitlines()), f"$ {command}\n{got}"


def needs_kernel(block: list[tuple[str, list[str]]]) -> bool:
    return any(command.startswith(KERNEL_TOOLS) for command, _ in block)


README_BLOCKS = list(consoles(ROOT / "README.md"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which README's relative names mean what they mean in a checkout, and writing does no harm."""
    for name in ("fixtures", "run"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("number", [n for n, block in enumerate(README_BLOCKS) if not needs_kernel(block)])
def test_readme_shows_what_is_printed(number: int, checkout: Path) -> None:
    run_block(README_BLOCKS[number], checkout, own_namespace=False)


@pytest.mark.kernel
@pytest.mark.parametrize("number", [n for n, block in enumerate(README_BLOCKS) if needs_kernel(block)])
def test_readme_shows_what_the_kernel_does(number: int, checkout: Path) -> None:
    run_block(README_BLOCKS[number], checkout, own_namespace=True)


def test_readme_has_examples_of_both_kinds() -> None:
    kinds = [needs_kernel(block) for block in README_BLOCKS]
    assert kinds.count(True) >= 2
    assert kinds.count(False) >= 3


def test_comparison_can_fail() -> None:
    assert shows(["a", "...", "c"], ["a", "b", "b", "c"])
    assert not shows(["a", "...", "c"], ["a", "b"])
    assert shows(["chain in4-web-aaaaaa2 {"], ["chain in4-web-bcdefg7 {"])
    assert not shows(["chain in4-web-aaaaaa2 {"], ["chain in4-database-aaaaaa2 {"])
    assert not shows(["a"], ["a", "b"])
    assert not shows([], ["a"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_documents_name_exist(path: Path) -> None:
    """Every `folder/file` in backticks (no dot in the folder: not a label), seen from the top or from `compiler/`."""
    for name in set(re.findall(r"`(\w[\w-]*/(?:\w[\w.-]*/)*[\w.-]*)`", path.read_text(encoding="utf-8"))) - PLANNED:
        assert any((place / name).exists() for place in (ROOT, ROOT / "compiler")), f"{path.name}: {name}"


def test_tests_that_documents_name_exist() -> None:
    defined: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
    named = {name for path in DOCUMENTS for name in re.findall(r"`((?:test_|Test[A-Z])\w+)`", path.read_text())}
    assert len(named) > 50
    assert named <= defined


# Packaging


def test_version_is_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "compiler.cli.main", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == PROJECT["project"]["version"]


def test_imports_of_other_distributions_are_declared() -> None:
    """And what is declared is imported: no dependency for later."""
    ours = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    used: set[str] = set()
    for package in ours:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    used.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    used.add(node.module.split(".")[0])
    distributions = {
        **{"yaml": "pyyaml", "pydantic_core": "pydantic", "iptc": "python-iptables"},
        "prometheus_client": "prometheus-client",
    }
    used = {distributions.get(name, name) for name in used - ours - sys.stdlib_module_names}
    project = PROJECT["project"]
    extras = (text for extra in project["optional-dependencies"].values() for text in extra)
    declared = {re.split(r"[<>=]", text)[0] for text in (*project["dependencies"], *extras)}
    assert used == declared


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_lock_pins_everything_with_hashes_and_no_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    pinned = {entry.split("==")[0] for entry in entries}
    groups, ours = PROJECT["dependency-groups"], PROJECT["project"]["dependencies"]
    wanted = {
        "run.txt": [*ours, *groups["build"]],
        "dev.txt": [*ours, *PROJECT["project"]["optional-dependencies"]["editor"], *groups["build"], *groups["test"]],
        "analyzer.txt": groups["analyzer"],
    }[path.name]
    assert {re.split(r"[<>=]", text)[0] for text in wanted} <= pinned


def test_locks_agree() -> None:
    run, dev = (
        set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("run.txt", "dev.txt")
    )
    assert run < dev


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse_and_name_no_registry(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert os.access(path, os.X_OK)
    assert "://" not in path.read_text(encoding="utf-8")


def test_setup_does_nothing_the_second_time() -> None:
    """Tests run in a checkout that run/tests or run/setup made ready; elsewhere there is nothing to look at."""
    if not (ROOT / ".venv" / "made-from").exists():
        pytest.skip("this checkout was not made ready by run/setup")
    before = (ROOT / ".venv" / "made-from").stat().st_mtime_ns
    done = subprocess.run([ROOT / "run" / "setup"], env=environment(), capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert (ROOT / ".venv" / "made-from").stat().st_mtime_ns == before


# Without privileges

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")


def test_an_ordinary_user_can_compile() -> None:
    """As `nobody`, without any capability: from files and to files. Already so when the tests run as a user."""
    as_user = NOBODY if os.geteuid() == 0 else ()
    # A folder that everyone may enter, with the code: the checkout and the interpreter may be root's own.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for package in ("compiler", "grammar", "enforcer", "fixtures"):
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        site = next(path for path in sys.path if path.endswith("site-packages"))
        shutil.copytree(site, folder / "site", ignore=shutil.ignore_patterns("__pycache__", "mypy*", "uv*", "pip*"))
        (folder / "out").mkdir(mode=0o777)
        (folder / "out").chmod(0o777)
        python = next((p for p in (sys.executable, "/usr/bin/python3") if runs(as_user, p, folder)), None)
        if python is None:
            pytest.skip("no Python of this version that an ordinary user may run")
        done = subprocess.run(
            [*as_user, python, "-m", "compiler.cli.main", "compile", "fixtures/examples/shop", "-o", "out/shop"],
            cwd=folder,
            env={**environment(), "PYTHONPATH": f"{folder}:{folder}/site", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert (folder / "out" / "shop" / "netpolc.nft").stat().st_size > 1000


def runs(as_user: tuple[str, ...], python: str, folder: Path) -> bool:
    check = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    return subprocess.run([*as_user, python, "-c", check], cwd=folder, capture_output=True, check=False).returncode == 0
