"""`netpolc lint`: policies that are valid and hardly meant so."""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from collections.abc import Sequence

import click

from compiler.analysis.lint import CODES, lint
from compiler.analysis.lint.findings import Finding, Level
from compiler.analysis.lint.sarif import sarif
from compiler.cli.inputs import texts
from compiler.errors import NetpolcError
from compiler.snapshot import build
from compiler.sources.manifests import load

_LEVELS = {level.name.lower(): level for level in Level}


@click.command("lint", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "--fail-on",
    type=click.Choice(list(_LEVELS)),
    default="error",
    show_default=True,
    help="Exit status 1 from this severity up.",
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "json", "sarif"]),
    default="text",
    show_default=True,
    help="Of the findings.",
)
@click.option("--lenient", is_flag=True, help="Unknown fields outside spec and CIDRs with host bits only warn.")
def command(inputs: tuple[str, ...], fail_on: str, shape: str, lenient: bool) -> None:
    """Find policies that are valid and hardly meant so.

    INPUT is as for compile. What the policies are held against are the pods, workloads, namespaces and nodes in it:
    checks that need them are silent without them. To accept a finding, annotate the policy or the
    namespace: netpolc.io/lint-ignore: "CODE reason". docs/LINT.md tells of every code.

    Exit status: 0 nothing at or above --fail-on, 1 something, 2 bad input.
    """
    gc.disable()  # as in compile: everything lives to the end
    try:
        found = load(texts(inputs), lenient=lenient)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    for warning in found.warnings:
        click.echo(warning.render(), err=True)
    referred = {p.value.metadata.namespace or "default" for p in found.policies if p.value.kind == "NetworkPolicy"}
    snapshot = build((*found.pods, *found.templates), found.namespaces, found.nodes, referred)
    findings = lint(found.policies, snapshot, found.spaces)
    if shape == "text":
        click.echo("\n".join([*(one.render() for one in findings), _summary(findings)]))
    elif shape == "json":
        click.echo(json.dumps([_json(one) for one in findings], indent=2))
    else:
        click.echo(json.dumps(sarif(findings, CODES), indent=2))
    sys.exit(1 if any(one.level >= _LEVELS[fail_on] for one in findings) else 0)


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(one.level for one in findings)
    words = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "info"}
    return ", ".join(
        f"{counts[level]} {word}{'s' * (counts[level] != 1 and word != 'info')}" for level, word in words.items()
    )


def _json(one: Finding) -> dict[str, object]:
    span = one.flaw.span
    return {
        "code": one.flaw.code,
        "severity": one.level.name.lower(),
        "message": one.flaw.message,
        "file": span.file,
        "line": span.line,
        "column": span.column,
    }
