"""`netpolc reach`: who can open what to whom."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

import click

from compiler.analysis import reach_text
from compiler.analysis.chosen import any_of, chooser
from compiler.analysis.reach import By, Reach, narrowed, reach
from compiler.analysis.reach_page import Template, page
from compiler.analysis.survey import Kind
from compiler.cli.cluster import peopled, read, snapshot
from compiler.cli.outputs import write
from compiler.errors import NetpolcError, Unreadable
from compiler.translate import translate

FORMATS: Mapping[str, Callable[[Reach], str]] = {
    "text": reach_text.text,
    "json": reach_text.json_text,
    "csv": reach_text.csv_text,
    "dot": reach_text.dot_text,
    "html": lambda found: page(found, _template()),
}


@click.command("reach", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "--by", type=click.Choice([by.value for by in By]), default="workload", show_default=True, help="What an end is."
)
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="Of the answer."
)
@click.option("--from", "sources", metavar="X", multiple=True, help="Only from X: see above. May be repeated.")
@click.option("--to", "targets", metavar="X", multiple=True, help="Only to X. May be repeated.")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), default="-", help="Write here. Default: stdout."
)
@click.option("--lenient", is_flag=True, help="Unknown fields outside spec and CIDRs with host bits only warn.")
def command(
    inputs: tuple[str, ...],
    by: str,
    form: str,
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    output: Path,
    lenient: bool,
) -> None:
    """Tell who can open what to whom: pods, nodes and the addresses outside.

    INPUT is a YAML or JSON file, a folder of them, or - for standard input: policies, and the Pods, Namespaces, Nodes
    and workloads they are about. All that is not listed is denied, but for what no policy can deny: a pod reaches
    itself, a node its own pods.

    X is a namespace, NAMESPACE/NAME of a workload or pod, a node, an address, or pods, nodes, outside; * stands for
    any characters.

    Exit status: 0 done, 2 bad input.
    """
    gc.disable()  # a short run whose objects all live to its end
    try:
        found = read(inputs, lenient)
        policies = translate(found.policies)
        whole = reach(policies, peopled(policies, snapshot(found)), By(by))
        _check(whole, "--from", sources)
        _check(whole, "--to", targets)
        said = FORMATS[form](narrowed(whole, any_of(sources), any_of(targets)))
        if str(output) == "-":
            sys.stdout.write(said)
        else:
            write(output.parent, {output.name: said})
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)


def _template() -> Template:
    folder = files("compiler.cli") / "page"
    return Template(*((folder / f"reach.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")))


def _check(found: Reach, option: str, names: Sequence[str]) -> None:
    """Raises Unreadable for names that mean nobody: a slip of the pen must not look like "denied"."""
    unknown = [name for name in names if not any(map(chooser(name), found.parties))]
    if unknown:
        known = [one.name for one in found.parties if one.kind is Kind.PODS]
        raise Unreadable(
            *(f"{option} {name}: nobody in the input has this name{_like(name, known)}" for name in unknown)
        )


def _like(name: str, known: Sequence[str]) -> str:
    """What may have been meant."""
    close = [one for one in known if one.endswith(f"/{name}")] or get_close_matches(name, known, 3)
    return f"; did you mean {', '.join(close[:3])}?" if close else " or address"
