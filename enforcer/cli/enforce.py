"""`netpolc enforce`: the daemon."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import click

from compiler.backends.target import Target
from compiler.errors import NetpolcError
from enforcer import tools
from enforcer.cli import options
from enforcer.compiling import Whole
from enforcer.flows.conntrack import Conntrack
from enforcer.flows.holds import holds_of
from enforcer.flows.revoking import Revoking
from enforcer.later import Later
from enforcer.main import Applied, Daemon, Settings
from enforcer.move import Leaving
from enforcer.moving import Moving
from enforcer.node.noticing import Noticing
from enforcer.node.wiring_read import enable_bridge_netfilter
from enforcer.picture import Closed
from enforcer.place import Place, Running
from enforcer.remembered import Remembering
from enforcer.sources.folder import Folder
from enforcer.sources.source import Source
from enforcer.telling.hearing import GROUP
from enforcer.telling.logs import set_up
from enforcer.tools import BACKENDS, FAMILIES

log = logging.getLogger("netpolc")


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
@click.option(
    "--kubeconfig",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="How to reach the API server.  [default: that of the cluster around, else $KUBECONFIG, ~/.kube/config]",
)
@options.node
@options.backend
@options.family
@options.unknown_pods
@options.pod_ranges
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
@click.option(
    "--enable-bridge-nf",
    is_flag=True,
    help="Show bridged packets to netfilter (net.bridge.bridge-nf-call-*): else pods on one bridge pass every policy.",
)
@click.option(
    "--incremental/--whole",
    default=False,
    show_default="whole",
    help="Change what is in force element by element, or compile everything with each change.",
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
    kubeconfig: str | None,
    node: str | None,
    backend: str,
    family: str,
    unknown_pods: str,
    pod_ranges: tuple[str, ...],
    listen: tuple[str, int] | None,
    log_group: int | None,
    enable_bridge_nf: bool,
    incremental: bool,
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
    if cluster is not None and kubeconfig is not None:
        raise click.UsageError("--cluster is instead of an API server: leave --kubeconfig out")
    try:
        place = Place(state_dir)
        place.take()
        with ExitStack() as ending:
            ending.callback(place.leave)
            choice, dataplane = options.opened(backend, family)
            chosen = choice.backend
            log.info("back end %s: %s", chosen, choice.why)
            for warning in choice.warnings:
                log.warning("%s", warning)
            if enable_bridge_nf:
                _show_bridged()
            said, source = _source(cluster, kubeconfig, name)
            target = Target(BACKENDS[chosen], name, FAMILIES[family], log_group=log_group)
            settings = Settings(name, chosen, said, listen, once, log_group)
            closed = Closed(name, pod_ranges) if unknown_pods == "deny" else None
            leaving = Leaving(choice, lambda other: tools.dataplane(other, FAMILIES["dual"]))
            revoking = ending.enter_context(closing(Later(Revoking(name, Conntrack(holds_of(chosen))))))
            noticing = ending.enter_context(closing(Later(Noticing(name, pod_ranges), rest=60)))
            applied: list[Applied] = [leaving, revoking, noticing]
            if (folder := os.environ.get("STATE_DIRECTORY")) is not None:  # systemd's
                applied.append(Remembering(Path(folder), name))
            engine = Moving(target, closed, dataplane.read) if incremental else Whole(target, closed)
            sys.exit(Daemon(settings, source, dataplane, engine, place, applied).run())
    except Running as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(3)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"error: --listen: {error.strerror or error}", err=True)
        sys.exit(2)


def _show_bridged() -> None:
    """Raises NetpolcError when that cannot be."""
    try:
        enable_bridge_netfilter()
    except OSError as error:
        raise NetpolcError(f"--enable-bridge-nf: {error.filename}: {error.strerror}") from None


def _source(cluster: str | None, kubeconfig: str | None, node: str) -> tuple[str, Source]:
    """What is watched, in words, and who watches it."""
    if cluster is not None:
        return cluster, Folder(cluster)
    from enforcer.api.kube import Cluster  # here, as the client of API servers costs half a second
    from enforcer.api.transport import connect

    transport = connect(kubeconfig)
    return transport.server, Cluster(transport, node=node)
