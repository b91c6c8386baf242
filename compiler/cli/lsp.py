"""`netpolc lsp`: the policy language in editors."""

from __future__ import annotations

import sys

import click


@click.command("lsp", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--cluster",
    metavar="DIR",
    multiple=True,
    type=click.Path(exists=True),
    help="Objects of the cluster that programs are for: hovering shows who an end is there. May be repeated.",
)
@click.option("--node", metavar="NODE", help="The node of that cluster that self is.")
@click.option("--stdio", is_flag=True, hidden=True)  # what many editors add by themselves; there is no other way
def command(cluster: tuple[str, ...], node: str | None, stdio: bool) -> None:
    """Serve editors: the Language Server Protocol for .np files, on standard input and output.

    Errors while typing, the same that netpolc compile tells; hovering, definitions and references, outlines,
    completion, formatting and renaming. docs/DSL.md tells how to set up editors. An editor may give cluster and node
    as initialization options, too.

    Exit status: 0 the editor ended the session in order, 1 it did not, 2 pygls is not installed.
    """
    try:
        from compiler.cli.lsp_server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        click.echo("error: netpolc lsp needs pygls, which is not installed: pip install 'pygls>=2.1,<3'", err=True)
        sys.exit(2)
    sys.exit(serve(cluster, node))
