"""`netpolc explain`: is this connection allowed, and why."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import click

from compiler.analysis import explain_rules_json as rules_json
from compiler.analysis import explain_rules_text as told
from compiler.analysis.ends import Directory
from compiler.analysis.explain import Explanation, explain
from compiler.analysis.explain_rules import Rules, nodes_on_the_way
from compiler.analysis.explain_text import as_json, text
from compiler.analysis.proof import NotProved
from compiler.analysis.quotes import Quotes
from compiler.backends.target import Backend, Target
from compiler.cli import cluster
from compiler.cli.inputs import texts
from compiler.cli.rules import BARE, RulesCommand, are_by_node
from compiler.cli.rules import texts as rule_texts
from compiler.errors import NetpolcError, Unreadable
from compiler.pipeline import Compiler
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Manifests, load


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which rules the user asks for: of files, loaded, or else compiled here."""

    files: Sequence[str]
    live: bool
    node: str | None
    backend: str | None


@click.command("explain", cls=RulesCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--from", "source", metavar="END", required=True, help="Who opens the connection.")
@click.option("--to", "destination", metavar="END[:PORT]", required=True, help="To whom, and to which port.")
@click.option(
    "--rules",
    metavar="[FILE...]",
    multiple=True,
    help="Show the way through these rules: files or folders; without any, those that compile makes for the nodes.",
)
@click.option("--live", is_flag=True, help="The same through the rules that this machine has now. Needs root.")
@click.option(
    "--node", metavar="NODE|all", help="Whose rules they are; all: of every pod, as compile makes without --node."
)
@click.option(
    "--backend",
    type=click.Choice([b.value for b in Backend]),
    help="For --rules without a file. Default: nftables.",
)
@click.option(
    "--format", "shape", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the answer."
)
@click.option("--lenient", is_flag=True, help="Unknown fields outside spec and CIDRs with host bits only warn.")
def command(
    inputs: tuple[str, ...],
    source: str,
    destination: str,
    rules: tuple[str, ...],
    live: bool,
    node: str | None,
    backend: str | None,
    shape: str,
    lenient: bool,
) -> None:
    """Tell whether a connection is allowed, by which rules, and what would have to change.

    INPUT is as for compile, with the pods. END is NAMESPACE/POD, the NAMESPACE/NAME of a workload (all its pods),
    an address, or node:NAME. PORT is a number or the name of a container port, with /TCP (the default), /UDP or /SCTP
    behind it, or ICMP; without it an echo request is meant. An IPv6 address with a port stands in brackets.

    With --rules or --live also: the way of the packet through chains, rules and sets of the nodes, and of its replies.

    Exit status: 0 allowed, 1 denied (any of the connections meant), 2 bad input, 3 the rules do not do what the
    policies say.
    """
    gc.disable()  # as in compile: everything lives to the end
    asked = _asked(rules, live, node, backend)
    try:
        found = load(texts(inputs), lenient=lenient)
        for warning in found.warnings:
            click.echo(warning.render(), err=True)
        snapshot = cluster.snapshot(found)
        directory = Directory(snapshot, found.services)
        here = directory.source(source)
        there, wanted = directory.destination(destination)
        policies = [one.value for one in found.policies]
        answer = explain(policies, snapshot, here, there, wanted)
        ways = () if asked is None else _rules(asked, found, snapshot, answer).journeys()
        journeys = {id(one): journey for one, journey in ways}
    except NotProved as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    quotes = Quotes(found.policies)
    alarms = [f"DISAGREEMENT: {line}" for journey in journeys.values() for line in told.disagreements(journey)]
    if shape == "json":
        for alarm in alarms:
            click.echo(alarm, err=True)
        shown = as_json(answer, quotes, lambda one: {"rules": rules_json.as_json(journeys[id(one)])} if asked else {})
        click.echo(json.dumps(shown, indent=2))
    else:
        lines = text(answer, quotes, lambda one: told.text(one, journeys[id(one)]) if asked else ())
        click.echo("\n".join((*alarms, *lines)))
    sys.exit(3 if alarms else 0 if answer.allowed else 1)


def _asked(rules: Sequence[str], live: bool, node: str | None, backend: str | None) -> _Asked | None:
    """None: for no rules. Raises UsageError for options that do not go together."""
    files = [name for name in rules if name != BARE]
    if not rules and not live:
        if node is not None or backend is not None:
            raise click.UsageError("--node and --backend go with --rules or --live")
        return None
    if live and files:
        raise click.UsageError("give files behind --rules, or --live")
    if backend is not None and (live or files):
        raise click.UsageError("--backend is for rules that are compiled here: --rules without a file")
    return _Asked(files, live, node, backend)


def _rules(asked: _Asked, found: Manifests, snapshot: Snapshot, answer: Explanation) -> Rules:
    """The rules to follow the answer's connections through."""
    names = snapshot.node_names()
    if asked.node not in (None, "all", *names):
        raise Unreadable(f"--node {asked.node}: the input knows {', '.join(names[:8]) or 'no node'}")
    policies = [one.value for one in found.policies]
    whose = None if asked.node == "all" else asked.node
    if not asked.live and not asked.files:
        compiled = _compiled(found, snapshot, Backend(asked.backend or "nftables"))
        return Rules(policies, snapshot, answer, compiled, whose, asked.node == "all")
    if asked.node != "all" and are_by_node(asked.files, names):
        return Rules(policies, snapshot, answer, lambda node: rule_texts(asked.files, False, node), whose)
    whose = _whose(asked, nodes_on_the_way(answer, snapshot), names)
    given = rule_texts(asked.files, asked.live)
    return Rules(policies, snapshot, answer, lambda _: given, whose, whose is None)


def _whose(asked: _Asked, concerned: Sequence[str], names: Sequence[str]) -> str | None:
    """The node that the given rules are of; None: of every pod. Rules do not say it themselves."""
    if asked.node is not None:
        return None if asked.node == "all" else asked.node
    if asked.live and os.uname().nodename in names:
        return os.uname().nodename
    if len(concerned) > 1 and "" not in concerned:
        shown = ", ".join(concerned[:8]) + (", ..." if len(concerned) > 8 else "")
        raise Unreadable(f"these connections come by {shown}: say whose rules these are, with --node")
    return concerned[0] or None if len(concerned) == 1 else None


def _compiled(
    found: Manifests, snapshot: Snapshot, backend: Backend
) -> Callable[[str | None], Iterable[tuple[str, str]]]:
    """The rules of a node, in files named as `compile --node all` names them."""
    compiler = Compiler(found.policies, snapshot)

    def rules(node: str | None) -> Iterable[tuple[str, str]]:
        # compile's scripts have one more line in their heads, and places are to be those of its lines.
        files = compiler.compile(Target(backend, node)).headed("Not proved: explained.").files
        return [(name if node is None else f"{node}/{name}", text) for name, text in files.items()]

    return rules
