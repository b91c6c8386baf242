"""`netpolc status`: what the enforcer of this network namespace does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from compiler.errors import NetpolcError
from enforcer.cli import options
from enforcer.place import Place
from enforcer.telling.answers import NobodyThere, ask
from grammar.source import printable


@click.command("status", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")
@options.state_dir
def command(as_json: bool, state_dir: Path) -> None:
    """Tell what the enforcer of this machine (of this network namespace) does.

    Exit status: 0 the rules are what the cluster asks for; 1 they are not, or something is wrong; 2 bad usage; 3 no
    enforcer runs.
    """
    try:
        _, _, content = ask(Place(state_dir).socket, "/status")
    except NobodyThere:
        click.echo("no enforcer runs in this network namespace; rules that an earlier one left stay in force", err=True)
        sys.exit(3)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    said = json.loads(content)
    click.echo(content.decode() if as_json else "\n".join(_lines(said)))
    sys.exit(0 if said["in_sync"] and not said["problems"] else 1)


def _lines(said: Mapping[str, Any]) -> Iterator[str]:
    yield f"node {said['node']}, {said['backend']}, {said['cluster']}: {said['summary']}"
    if "policies" in said:
        yield f"{said['policies']} policies, {said['local_pods']} of {said['pods']} pods here"
    yield f"{said['chains']} chains, {said['sets']} sets, {'proved' if said['proved'] else 'not proved'}"
    yield f"runs since {said['started']} as process {said['pid']}, last change {said.get('last_change', 'none')}"
    counts = said["counts"]
    yield f"{counts['applied']} changes, {counts['drifts']} by others put right, {counts['mismatches']} proofs failed"
    for problem in said["problems"]:
        first, *more = printable(problem["text"]).splitlines() or [""]
        yield f"problem: {problem['about']}: {first}"
        yield from (f"  {line}" for line in more)
    yield from (f"note: {printable(remark)}" for remark in said["remarks"])
