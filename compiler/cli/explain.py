"""`netpolc explain`: is this connection allowed, and why."""

from __future__ import annotations

import gc
import json
import sys

import click

from compiler.analysis.ends import Directory
from compiler.analysis.explain import explain
from compiler.analysis.explain_text import as_json, text
from compiler.analysis.quotes import Quotes
from compiler.cli.inputs import texts
from compiler.errors import NetpolcError
from compiler.snapshot import build
from compiler.sources.manifests import load


@click.command("explain", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--from", "source", metavar="END", required=True, help="Who opens the connection.")
@click.option("--to", "destination", metavar="END[:PORT]", required=True, help="To whom, and to which port.")
@click.option(
    "--format", "shape", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the answer."
)
@click.option("--lenient", is_flag=True, help="Unknown fields outside spec and CIDRs with host bits only warn.")
def command(inputs: tuple[str, ...], source: str, destination: str, shape: str, lenient: bool) -> None:
    """Tell whether a connection is allowed, by which rules, and what would have to change.

    INPUT is as for compile, with the pods. END is NAMESPACE/POD, the NAMESPACE/NAME of a workload (all its pods),
    an address, or node:NAME. PORT is a number or the name of a container port, with /TCP (the default), /UDP or /SCTP
    behind it, or ICMP; without it an echo request is meant. An IPv6 address with a port stands in brackets.

    Exit status: 0 allowed, 1 denied (any of the connections meant), 2 bad input.
    """
    gc.disable()  # as in compile: everything lives to the end
    try:
        found = load(texts(inputs), lenient=lenient)
        for warning in found.warnings:
            click.echo(warning.render(), err=True)
        policies = [one.value for one in found.policies]
        referred = {p.metadata.namespace or "default" for p in policies if p.kind == "NetworkPolicy"}
        snapshot = build((*found.pods, *found.templates), found.namespaces, found.nodes, referred)
        directory = Directory(snapshot, found.services)
        here = directory.source(source)
        there, wanted = directory.destination(destination)
        answer = explain(policies, snapshot, here, there, wanted)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    quotes = Quotes(found.policies)
    if shape == "json":
        click.echo(json.dumps(as_json(answer, quotes), indent=2))
    else:
        click.echo("\n".join(text(answer, quotes)))
    sys.exit(0 if answer.allowed else 1)
