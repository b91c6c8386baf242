"""`netpolc boot`: rules for the time between the start of a machine and the first sight of its cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from compiler.backends.target import Target
from compiler.errors import NetpolcError
from compiler.net import parse_prefix
from compiler.resources.cluster import Node
from compiler.resources.language import NO_PROGRAM
from compiler.snapshot import Snapshot
from enforcer.cli import options
from enforcer.compiling import Whole
from enforcer.dataplane import Refused
from enforcer.place import Place, Running
from enforcer.remembered import remembered
from enforcer.tools import BACKENDS, FAMILIES


@click.command("boot", context_settings={"help_option_names": ["-h", "--help"]})
@options.node
@options.backend
@options.family
@options.pod_ranges
@options.state_dir
def command(node: str | None, backend: str, family: str, pod_ranges: tuple[str, ...], state_dir: Path) -> None:
    """Deny everything from and to this node's pods until the enforcer knows them.

    For the time behind a restart of the machine, before the kubelet starts pods. The node itself, its host-network
    pods, DHCP, the API server and kubelet's probes are not concerned. The first rules of netpolc enforce replace these
    in one step. Without --pod-range, the ranges are those that the enforcer knew last ($STATE_DIRECTORY, which systemd
    sets). Where rules of netpolc are in force already they stay.

    Exit status: 0 the rules are in force; 1 they could not be loaded; 2 bad usage, or nobody knows the ranges; 3 an
    enforcer runs already.
    """
    name = options.node_name(node)
    try:
        place = Place(state_dir)
        place.take()
        choice, dataplane = options.opened(backend, family)
        if choice.leave or not dataplane.read().empty:
            click.echo("note: rules of netpolc are in force already; they stay", err=True)
            sys.exit(0)
        families = FAMILIES[family]
        ranges = tuple(_ranges(pod_ranges, name, {one.value for one in families}))
        closed = Snapshot(nodes={name: Node(name, pod_cidrs=ranges)}, complete=True, closed=True)
        made = Whole(Target(BACKENDS[choice.backend], name, families)).compile((), closed, NO_PROGRAM)
        dataplane.apply(made.desired.steps(None))
        dataplane.close()
        place.leave()
        click.echo(f"closed until {name}'s cluster is known: {', '.join(ranges)}")
    except Refused as error:
        click.echo(f"error: {error.said}", err=True)
        sys.exit(1)
    except Running as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(3)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)


def _ranges(given: tuple[str, ...], node: str, families: set[int]) -> Iterator[str]:
    """Those of the families. Raises NetpolcError when there are none."""
    folder = os.environ.get("STATE_DIRECTORY")
    known = given or (remembered(Path(folder), node) if folder is not None else ())
    found = [one for one in known if parse_prefix(one).version in families]
    if not found:
        raise NetpolcError(f"nobody knows which addresses {node} gives to pods: name them with --pod-range")
    yield from found
