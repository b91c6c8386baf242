"""`netpolc cleanup`: nothing of netpolc is left in the kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compiler.errors import NetpolcError
from enforcer.cli import options
from enforcer.dataplane import Refused
from enforcer.flows.holds import holds_of
from enforcer.nftables.libnftables import Missing
from enforcer.place import Place, Running
from enforcer.tools import BACKENDS, every


@click.command("cleanup", context_settings={"help_option_names": ["-h", "--help"]})
@options.state_dir
def command(state_dir: Path) -> None:
    """Remove everything of netpolc from the kernel, of all back ends, and nothing else.

    That is the table inet netpolc, chains NETPOLC-..., the jumps to them and sets netpolc-..., and what holds back
    connections that were cut: the table inet netpolc-cut, chain CUT-NETPOLC and sets cut-netpolc-.... From then on
    nothing is denied by policies. An enforcer that runs would bring it all back, so it has to be stopped before.

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
    for name in BACKENDS:
        try:
            holds = holds_of(name)
        except (OSError, Missing):  # its tools are not here
            continue
        try:
            holds.remove()
        except OSError as error:
            wrong.append(str(error))
        finally:
            holds.close()
    return wrong
