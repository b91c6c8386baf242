"""`netpolc`: the command line. Commands are imported when they run, so that `--help` is instant."""

from __future__ import annotations

import importlib
import os
import sys

import click

#: Command -> module with a click command of the same name.
COMMANDS = {"compile": "compiler.cli.compile"}
HELP = {"compile": "Turn policies into the rules of a node."}


class LazyGroup(click.Group):
    """Knows its commands by name; imports one only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, HELP[name]) for name in COMMANDS])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option("0.1.0", prog_name="netpolc")
def cli() -> None:
    """Compiles Kubernetes network policies to nftables and iptables rules that mean what the policies say."""


def main() -> None:
    """Entry point. Whatever goes wrong, the user reads one message and the exit status is not 0."""
    try:
        cli()
    except BrokenPipeError:
        # The reader of our output went away (`netpolc ... | head`): nothing to report, and nowhere to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
