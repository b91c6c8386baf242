"""The command line as a process: instant help, one message for whatever goes wrong, the right exit status."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.cli import cluster, main
from tests.compiler.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[3]
NETPOLC = [sys.executable, "-m", "compiler.cli.main"]
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: []}
status: {podIP: 10.0.0.1}
"""
#: CPU seconds that `netpolc --help` may take. An import of pydantic alone would take as much.
HELP_CPU = 0.15


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def test_help_imports_nothing_heavy() -> None:
    for argument in ("--help", "-h", "--version", "nonsense"):
        code = f"import sys; sys.argv = ['netpolc', {argument!r}]; from compiler.cli.main import main\n"
        code += "try: main()\nexcept SystemExit: print('modules:', *sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.rpartition("modules:")[2].split())
        assert "click" in loaded
        assert not loaded & {"pydantic", "yaml", "lark", "kubernetes", "rich", "asyncio", "msgspec", "hypothesis"}


def test_help_is_instant() -> None:
    spent = []
    for _ in range(7):  # the best of several: the machine is shared
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*NETPOLC, "--help"], env=environment(), stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(spent) < HELP_CPU


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--help"], 0, ""),
        (["compile", "--help"], 0, ""),
        (["--version"], 0, ""),
        ([], 2, "Usage:"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["compile"], 2, "Missing argument 'INPUT...'"),
        (["compile", "--backend", "pf", "x"], 2, "'pf' is not one of"),
        (["compile", "--node"], 2, "requires an argument"),
        (["compile", "missing.yaml"], 2, "error: missing.yaml: No such file or directory"),
    ],
)
def test_usage(netpolc: Callable[..., Run], arguments: list[str], status: int, message: str) -> None:
    done = netpolc(*arguments)
    assert done.status == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) == (status == 0)


@pytest.mark.parametrize(
    "error", [ValueError("a\nb"), RecursionError(), MemoryError(), AssertionError(), KeyError("x")]
)
def test_a_defect_is_told_in_one_message(
    netpolc: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def broken(*arguments: object, **more: object) -> object:
        raise error

    monkeypatch.setattr(cluster, "load", broken)
    (tmp_path / "policy.yaml").write_text(POLICY)
    done = netpolc("compile", "policy.yaml")
    assert done.status == 70
    assert done.stdout == ""
    first, second = done.stderr.strip().split("\n")
    assert first.startswith(f"netpolc: internal error: {type(error).__name__}")
    assert "(at cli/test_main.py:" in first
    assert "report it" in second


def test_an_interrupt_is_no_defect(
    netpolc: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*arguments: object, **more: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "load", interrupted)
    (tmp_path / "policy.yaml").write_text(POLICY)
    done = netpolc("compile", "policy.yaml")
    assert done.status == 130
    assert done.stderr.strip() == "netpolc: interrupted"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_run_in_order(number: signal.Signals, status: int) -> None:
    with subprocess.Popen(
        [*NETPOLC, "compile", "-"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that runs us in the background has it ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as child:
        deadline = time.monotonic() + 20
        wanted = f"{child.pid}"
        while _syscall(wanted) != "read" and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(number)
        out, err = child.communicate(timeout=20)
    assert child.returncode == status
    assert out == b""
    assert b"Traceback" not in err


def _syscall(pid: str) -> str:
    """`read` while the process waits for standard input."""
    try:
        number, first, *_ = Path(f"/proc/{pid}/syscall").read_text().split()
    except (OSError, ValueError):
        return ""
    return "read" if (number, first) in (("0", "0x0"), ("63", "0x0")) else ""  # x86-64, arm64


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}"],
        cwd=folder,
        env=environment(NETPOLC=f"{sys.executable} -m compiler.cli.main"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def test_a_reader_that_goes_away(folder: Path) -> None:
    (folder / "many.yaml").write_text("---".join(POLICY.replace("web", f"web-{n}") for n in range(300)))
    done = shell("$NETPOLC compile many.yaml 2>err | head -1 >/dev/null; echo ${PIPESTATUS[0]}; cat err", folder)
    assert done.stdout.split("\n")[0] in ("0", "141")
    assert "rror" not in done.stdout


def test_output_that_is_lost_is_no_answer(folder: Path) -> None:
    """1 is the answer of diff, explain, lint and verify."""
    (folder / "none.yaml").write_text("")
    (folder / "pod.yaml").write_text(POD)
    differ = "$NETPOLC diff --cluster pod.yaml policy.yaml none.yaml"
    assert shell(f"{differ} >/dev/null", folder).returncode == 1
    full = shell(f"{differ} >/dev/full", folder)
    assert (full.returncode, full.stderr) == (74, "error: standard output: No space left on device\n")
    gone = shell(f"{{ sleep 1; {differ}; echo $? >status; }} | true; cat status", folder)
    assert (gone.stdout, gone.stderr) == ("141\n", "")


def test_a_full_disk_behind_standard_output(folder: Path) -> None:
    done = shell("$NETPOLC compile policy.yaml >/dev/full", folder)
    assert done.returncode == 74
    assert done.stderr.endswith("error: standard output: No space left on device\n")


def test_closed_streams(folder: Path) -> None:
    done = shell("$NETPOLC compile policy.yaml >&-", folder)
    assert (done.returncode, done.stderr) == (74, "error: standard output is closed\n")
    assert shell("$NETPOLC compile policy.yaml 2>&-", folder).stdout.startswith("# netpolc")


@pytest.mark.parametrize("nothing", ["<&-", "</dev/null", "<<< ' '"])
def test_nothing_from_standard_input_is_no_cluster(folder: Path, nothing: str) -> None:
    """`kubectl get ... | netpolc compile - | nft -f -`, and kubectl failed: rules of nothing would open all."""
    done = shell(f"$NETPOLC compile - {nothing}", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: -: nothing came from standard input\n"


def test_standard_input_is_called_a_dash(folder: Path) -> None:
    done = shell("echo 'kind: 1' | $NETPOLC compile -", folder)
    assert done.returncode == 2
    assert done.stderr.startswith("-:1:7: error: kind: ")


def test_messages_survive_a_terminal_without_unicode(folder: Path) -> None:
    (folder / "wide.yaml").write_text("kind: 応\nx: [\n")
    done = shell("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 $NETPOLC compile wide.yaml", folder)
    assert done.returncode == 2
    assert done.stderr.startswith("wide.yaml:2:")


def test_a_layout_is_not_written(folder: Path) -> None:
    done = shell("$NETPOLC compile policy.yaml --explain-layout -o out", folder)
    assert done.returncode == 2
    assert done.stderr.endswith("Error: --explain-layout prints and writes no files: leave -o out\n")
    assert not (folder / "out").exists()


def test_commands_are_all_listed() -> None:
    assert main.COMMANDS.keys() == main.HELP.keys()
