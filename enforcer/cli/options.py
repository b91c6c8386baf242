"""What several commands of the daemon ask alike."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from compiler.errors import NetpolcError
from enforcer.dataplane import Dataplane
from enforcer.libnftables import Missing
from enforcer.place import STATE_DIR
from enforcer.tools import BACKENDS, FAMILIES, dataplane

#: "auto": what the node uses.
CHOICES = ("auto", *BACKENDS)

node = click.option("--node", metavar="NODE", help="This node's name.  [default: $NODE_NAME, else the host's name]")
backend = click.option(
    "--backend", type=click.Choice(CHOICES), default="auto", show_default=True, help="Who takes the rules."
)
family = click.option(
    "--family", type=click.Choice(list(FAMILIES)), default="dual", show_default=True, help="Addresses that get rules."
)
state_dir = click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=STATE_DIR,
    show_default=True,
    help="Where lock and socket of the enforcer are.",
)


def node_name(given: str | None) -> str:
    """The node that is meant."""
    return given or os.environ.get("NODE_NAME") or socket.gethostname().lower()


def opened(name: str, family: str) -> tuple[str, Dataplane]:
    """The name of the back end that is meant, and its dataplane."""
    chosen = chosen_backend() if name == "auto" else name
    try:
        return chosen, dataplane(chosen, FAMILIES[family])
    except (OSError, Missing) as error:
        raise NetpolcError(f"--backend {chosen}: {error}") from None


def chosen_backend() -> str:
    """What the node uses."""
    return "nftables"
