"""`netpolc cleanup`: nothing of netpolc is left in the kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compiler.errors import NetpolcError
from enforcer.cli import options
from enforcer.dataplane import Refused
from enforcer.place import Place, Running
from enforcer.tools import every


@click.command("cleanup", context_settings={"help_option_names": ["-h", "--help"]})
@options.state_dir
def command(state_dir: Path) -> None:
    """Remove everything of netpolc from the kernel, of all back ends, and nothing else.

    That is the table inet netpolc, chains NETPOLC-..., the jumps to them and sets netpolc-.... From then on nothing is
    denied by policies. An enforcer that runs would bring it all back, so it has to be stopped before.

    Exit status: 0 nothing is left; 1 something could not be removed; 2 bad usage; 3 an enforcer runs.
    """
    try:
        place = Place(state_dir)
        place.take()
        _remove()  # sets that rules of another back end ask go with the second round
        wrong = _remove()
        place.leave()
    except Running as error:
        click.echo(f"error: {error}; stop it first", err=True)
        sys.exit(3)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    for said in wrong:
        click.echo(f"error: {said}", err=True)
    sys.exit(1 if wrong else 0)


def _remove() -> list[str]:
    """What could not be removed, as its tool says."""
    wrong = []
    for dataplane in every():
        try:
            dataplane.remove()
        except Refused as error:
            wrong.append(error.said)
    return wrong
