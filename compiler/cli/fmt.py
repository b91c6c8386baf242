"""`netpolc fmt`: files of the policy language, checked and laid out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import click

from compiler.cli.inputs import LANGUAGE, texts
from compiler.cli.outputs import write
from compiler.errors import Collector, NetpolcError
from grammar.dsl import read
from grammar.format import format_file
from grammar.source import printable


@click.command("fmt", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", metavar="FILE...", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Write nothing; exit status 1 when a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
def command(inputs: tuple[str, ...], check: bool, diff: bool) -> None:
    """Check files of the policy language and lay them out.

    FILE is a file, a folder with .np files in it, or - for standard input, whose layout goes to standard output.
    Words and comments stay as they are; blanks, line ends and blank lines are those of the one layout. Every error of
    every file is told; with any, no file is touched. The language is in docs/DSL.md.

    Exit status: 0 done, 1 a file would change (--check), 2 bad input.
    """
    gc.disable()  # everything lives to the end
    try:
        made = [(name, data, text) for name, data, text in _formatted(inputs)]
        changed = [(name, data, text) for name, data, text in made if data != text.encode()]
        if not check and not diff:
            write(Path(), {name: text for name, _, text in changed if name != "-"})
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    for name, data, text in changed:
        if diff:
            click.echo("".join(_difference(name, data, text)), nl=False)
        elif name != "-" or check:
            click.echo(f"{'would format' if check else 'formatted'} {printable(name)}", err=True)
    if not check and not diff:
        for name, _, text in made:
            if name == "-":
                click.echo(text, nl=False)
    sys.exit(1 if check and changed else 0)


def _formatted(inputs: tuple[str, ...]) -> Iterator[tuple[str, bytes, str]]:
    """(name, content, its layout) of every file. Raises InvalidInput with every error of all of them."""
    problems = Collector()
    for name, data in texts(inputs, (LANGUAGE,)):
        if (found := read(name, data, problems.add)) is not None:
            yield name, data, format_file(*found)
    problems.check()


def _difference(name: str, data: bytes, text: str) -> Iterator[str]:
    """A patch from what a file has to its layout."""
    before = data.decode(errors="replace").splitlines()
    for line in unified_diff(before, text.splitlines(), name, f"{name} (formatted)", lineterm=""):
        yield f"{printable(line)}\n"
