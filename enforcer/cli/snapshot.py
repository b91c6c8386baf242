"""`netpolc snapshot`: what the enforcer sees, as manifests."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compiler.cli.outputs import write
from compiler.errors import NetpolcError
from enforcer.cli import options
from enforcer.place import Place
from enforcer.telling.answers import NobodyThere, ask


@click.command("snapshot", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write the manifests here."
)
@options.state_dir
def command(output: Path | None, state_dir: Path) -> None:
    """Print what the enforcer of this machine sees, as manifests: of what the rules in force were made.

    netpolc compile, explain and verify read them and come to the same verdicts, anywhere.

    Exit status: 0 done; 1 no rules of this enforcer are in force yet; 2 bad usage, or the file cannot be written; 3
    no enforcer runs.
    """
    try:
        status, _, content = ask(Place(state_dir).socket, "/snapshot")
        if status != 200:
            click.echo(f"error: {content.decode().strip()}", err=True)
            sys.exit(1)
        if output is None:
            click.echo(content.decode(), nl=False)
        else:
            write(output.parent, {output.name: content.decode()})
    except NobodyThere:
        click.echo("error: no enforcer runs in this network namespace", err=True)
        sys.exit(3)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
