"""`netpolc enforce`: the daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from compiler.backends.target import Target
from compiler.errors import NetpolcError
from enforcer.cli import options
from enforcer.compiling import Whole
from enforcer.folder import Folder
from enforcer.hearing import GROUP
from enforcer.logs import set_up
from enforcer.main import Daemon, Settings
from enforcer.place import Place, Running
from enforcer.tools import BACKENDS, FAMILIES


class _Address(click.ParamType[tuple[str, int] | None]):
    """ADDRESS:PORT or off."""

    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int] | None:
        if not isinstance(value, str) or value == "off":
            return None
        host, _, port = value.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            self.fail("expected ADDRESS:PORT or off", param, ctx)
        return host.strip("[]"), int(port)


class _Group(click.ParamType[int | None]):
    """0-65535 or off."""

    name = "group"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if not isinstance(value, str) or value == "off":
            return None
        if not (value.isascii() and value.isdigit() and int(value) <= 65535):
            self.fail("expected a number up to 65535, or off", param, ctx)
        return int(value)


@click.command("enforce", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--cluster",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Enforce what a folder of manifests says, watched, instead of an API server.",
)
@options.node
@options.backend
@options.family
@click.option(
    "--listen",
    metavar="ADDRESS:PORT|off",
    type=_Address(),
    default="127.0.0.1:9853",
    show_default=True,
    help="Where /healthz and /readyz are.",
)
@click.option(
    "--log-denied",
    "log_group",
    metavar="GROUP|off",
    type=_Group(),
    default=str(GROUP),
    show_default=True,
    help="Log denied packets with the policies that say no, by this NFLOG group; of a flood only some.",
)
@click.option("--once", is_flag=True, help="End when the rules are in force.")
@options.state_dir
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Least of what is logged.",
)
def command(
    cluster: str | None,
    node: str | None,
    backend: str,
    family: str,
    listen: tuple[str, int] | None,
    log_group: int | None,
    once: bool,
    state_dir: Path,
    log_level: str,
) -> None:
    """Keep this node's rules equal to what the cluster's policies mean.

    Nothing is written before the whole cluster has been seen. Every ruleset is read back and proved before it is
    loaded, as compile does it; one that is wrong is never loaded. What others change in our rules is put right. The
    rules stay when the daemon ends, whatever ends it: netpolc cleanup removes them.

    Exit status: 0 stopped by SIGTERM or SIGINT, with --once: the rules are in force; 1 with --once: they are not, or
    something is wrong; 2 bad usage, or the node lacks what the back end needs; 3 an enforcer runs here already.
    """
    set_up(log_level)
    name = options.node_name(node)
    try:
        if cluster is None:
            raise click.UsageError("--cluster DIR is missing: API servers are not supported yet")
        place = Place(state_dir)
        place.take()
        try:
            chosen, dataplane = options.opened(backend, family)
            target = Target(BACKENDS[chosen], name, FAMILIES[family], log_group=log_group)
            settings = Settings(name, chosen, cluster, listen, once, log_group)
            daemon = Daemon(settings, Folder(cluster), dataplane, Whole(target), place)
            sys.exit(daemon.run())
        finally:
            place.leave()
    except Running as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(3)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"error: --listen: {error.strerror or error}", err=True)
        sys.exit(2)
