"""`netpolc`: the command line. Commands are imported when they run, so that `--help` is instant."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import traceback
from typing import NoReturn

import click

#: Command -> module with a click command of the same name, by name alone: the daemon's are in another package.
COMMANDS = {
    "compile": "compiler.cli.compile",
    "explain": "compiler.cli.explain",
    "reach": "compiler.cli.reach",
    "diff": "compiler.cli.diff",
    "verify": "compiler.cli.verify",
    "lint": "compiler.cli.lint",
    "fmt": "compiler.cli.fmt",
    "lsp": "compiler.cli.lsp",
    "import": "compiler.cli.importing",
    "optimize": "compiler.cli.optimize",
    "enforce": "enforcer.cli.enforce",
    "boot": "enforcer.cli.boot",
    "status": "enforcer.cli.status",
    "snapshot": "enforcer.cli.snapshot",
    "cleanup": "enforcer.cli.cleanup",
}
HELP = {
    "compile": "Turn policies into the rules of a node.",
    "explain": "Tell whether a connection is allowed, and why.",
    "reach": "Tell who can open what to whom.",
    "diff": "Tell what a change of policies opens and closes.",
    "verify": "Prove that rules mean what the policies say.",
    "lint": "Find policies that are valid and hardly meant so.",
    "fmt": "Check files of the policy language and lay them out.",
    "lsp": "Serve editors of the policy language.",
    "import": "Turn rules of iptables or nftables into the policy language.",
    "optimize": "Put rules of iptables in the order that costs least.",
    "enforce": "Keep a node's rules equal to what the policies mean.",
    "boot": "Deny a node's pods everything until they are known.",
    "status": "Tell what the enforcer of this machine does.",
    "snapshot": "Print what the enforcer sees, as manifests.",
    "cleanup": "Remove everything of netpolc from the kernel.",
}

#: Exit statuses beside click's 2 (usage) and the commands' own: sysexits.h and the shell's 128 + signal. Never 1:
#: that is an answer ("denied", "different"), which output that got lost is not.
DEFECT, OUTPUT_LOST, INTERRUPTED, READER_GONE = 70, 74, 130, 141


class LazyGroup(click.Group):
    """Knows its commands by name; imports one only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        gc.disable()  # modules live to the end
        command = importlib.import_module(COMMANDS[cmd_name]).command
        gc.enable()
        gc.freeze()
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, HELP[name]) for name in COMMANDS])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option("0.1.0", prog_name="netpolc")
def cli() -> None:
    """Compiles Kubernetes network policies to nftables and iptables rules that mean what the policies say."""


def main() -> NoReturn:
    """Entry point. Whatever goes wrong, the user reads one message and the exit status is not 0."""
    signal.signal(signal.SIGTERM, _terminated)
    if sys.stdin is None:  # closed by the caller
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        _exit(OUTPUT_LOST, "error: standard output is closed")
    stdout = sys.stdout
    try:
        status = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        _exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit(INTERRUPTED, "netpolc: interrupted")
    except SystemExit as done:
        # click ends a run whose reader is gone with 1, and puts something in the place of standard output
        _exit(done.code if sys.stdout is stdout and isinstance(done.code, int) else READER_GONE)
    except BrokenPipeError:
        _exit(READER_GONE)  # `netpolc ... | head`: nothing to report
    except OSError as error:
        _exit(OUTPUT_LOST, f"error: {error.filename or 'standard output'}: {error.strerror or error}")
    except Exception as error:
        _exit(DEFECT, _defect(error))
    _exit(status if isinstance(status, int) else 0)


def _terminated(number: int, frame: object) -> NoReturn:
    """SIGTERM ends the run in order: a half-done change of the output folder is taken back."""
    sys.exit(128 + number)


def _exit(status: int, message: str = "") -> NoReturn:
    """Ends the process. Output that cannot be delivered is dropped, so that Python does not complain at its end; an
    answer without it is none."""
    if message:
        click.echo(message, err=True)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        status = READER_GONE
        _drop_output()
    except (OSError, ValueError) as error:
        if status not in (OUTPUT_LOST, DEFECT):
            status = OUTPUT_LOST
            click.echo(f"error: standard output: {getattr(error, 'strerror', None) or error}", err=True)
        _drop_output()
    sys.exit(status)


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _defect(error: Exception) -> str:
    """What to say of an exception that nothing expected: enough to report it, without a traceback."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    place = f"{os.path.basename(os.path.dirname(frame.filename))}/{os.path.basename(frame.filename)}:{frame.lineno}"
    return (
        f"netpolc: internal error: {what} (at {place})\n"
        "This is a defect of netpolc. Please report it, with this message and the input that causes it."
    )


if __name__ == "__main__":
    main()
