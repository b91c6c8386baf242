"""What several commands of the daemon ask alike."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from compiler.errors import NetpolcError
from compiler.net import parse_prefix
from enforcer.dataplane import Dataplane
from enforcer.nftables.libnftables import Missing
from enforcer.node.agents import findings
from enforcer.node.choose import Choice, Findings, Impossible, choose
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


unknown_pods = click.option(
    "--unknown-pods",
    type=click.Choice(["deny", "allow"]),
    default="deny",
    show_default=True,
    help="What becomes of addresses of this node's pod ranges that nobody known has.",
)
pod_ranges = click.option(
    "--pod-range",
    "pod_ranges",
    metavar="CIDR",
    multiple=True,
    callback=lambda ctx, param, value: _ranges(ctx, param, value),
    help="Addresses that this node gives to pods; may be repeated.  [default: the Node's podCIDRs]",
)


def _ranges(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for one in value:
        try:
            found = parse_prefix(one)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
        if str(found) != one:
            raise click.BadParameter(f"{one} has bits behind its length: did you mean {found}?", ctx, param)
    return value


def node_name(given: str | None) -> str:
    """The node that is meant."""
    return given or os.environ.get("NODE_NAME") or socket.gethostname().lower()


def opened(name: str, family: str) -> tuple[Choice, Dataplane]:
    """The back end that is meant, and its dataplane."""
    seen = findings()
    try:
        choice = choose(seen) if name == "auto" else Choice(name, "it was asked for", leave=others(seen, name))
        return choice, dataplane(choice.backend, FAMILIES[family])
    except (Impossible, OSError, Missing) as error:
        raise NetpolcError(f"--backend {name}: {error}") from None


def others(seen: Findings, name: str) -> tuple[str, ...]:
    """Where rules of ours are, too."""
    return tuple(sorted(seen.ours - {name}))
