"""`netpolc import`: rules of other tools in, a program of the policy language out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from compiler.analysis.proof import NotProved
from compiler.analysis.same import differences
from compiler.backends.target import Backend, Target
from compiler.cli import rules
from compiler.cli.outputs import write
from compiler.errors import Collector, NetpolcError
from compiler.importing.importer import Imported, imported
from compiler.net import Family
from compiler.pipeline import Compiler
from compiler.snapshot import build
from compiler.sources import language
from grammar import dsl
from grammar.format import format_file
from grammar.ruletext import Refused
from grammar.source import Source, printable


@click.command("import", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", metavar="RULES...", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="FILE.np", type=click.Path(path_type=Path, dir_okay=False), help="Write the program here."
)
@click.option(
    "--prove/--no-prove",
    "proving",
    default=True,
    show_default=True,
    help="Compile the program and prove that these rules do the same.",
)
def command(files: tuple[str, ...], output: Path | None, proving: bool) -> None:
    """Turn rules of iptables or nftables into a program of the policy language.

    RULES are texts of one tool: what iptables-save prints, what ip6tables-save prints (its name or a comment in it
    says ip6tables), or both, which become one program; or what nft list ruleset prints. Each statement of the program
    names the file, line and chain that it comes from. What the language cannot say stays as it is, in statements named
    opaque.

    The program is compiled again, and both rulesets are compared for all packets. What is not the same is told with a
    packet, and nothing is written. Without -o the program goes to standard output.

    Exit status: 0 done; 1 the program would do something else than the rules; 2 bad input, or rules that cannot be
    compared (--no-prove writes the program all the same).
    """
    gc.disable()  # everything lives to the end
    try:
        texts = rules.texts(files, live=False)
        found = _imported(texts)
        name = str(output) if output is not None else "imported.np"
        text = _laid_out(name, found.text)
        program = language.load([(name, text.encode())], _include)
        for line in _notes(found):
            click.echo(line, err=True)
        if proving:
            _prove(texts, found, Compiler((), build((), (), ()), program, None))
        if output is None:
            click.echo(text, nl=False)
        else:
            write(output.parent, {output.name: text})
    except NotProved as error:
        click.echo(f"{error}\nerror: a program that cannot be proved is not written; --no-prove writes it", err=True)
        sys.exit(2)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)


def _imported(texts: Sequence[tuple[str, str]]) -> Imported:
    """Raises InvalidInput where a text is none of rules."""
    problems = Collector()
    try:
        return imported([Source(name, text) for name, text in texts])
    except Refused as error:
        problems.add(error.flaw)
        problems.check()
        raise AssertionError("a flaw is an error") from None


def _laid_out(name: str, text: str) -> str:
    """The program's text in the one layout. Raises InvalidInput where it is none, which is a defect."""
    problems = Collector()
    source = Source(name, text)
    tree = dsl.parse(source, problems.add)
    problems.check()
    assert tree is not None
    return format_file(source, tree)


def _include(name: str, path: str) -> str:
    """Nothing that is imported includes anything."""
    return f"{name} includes {path}"


def _prove(texts: Sequence[tuple[str, str]], found: Imported, compiler: Compiler) -> None:
    """Ends the run where the program, compiled, is not the rules that it came from."""
    backend = Backend.IPTABLES if found.tool == "iptables" else Backend.NFTABLES
    made = compiler.compile(Target(backend, None, tuple(Family(version) for version in found.versions)))
    differ = differences(texts, made.files.items(), found.versions, ("rules", "program"))
    if differ:
        click.echo("error: the program would do something else than the rules; please report this defect", err=True)
        for one in differ:
            click.echo(f"\n{one.text}", err=True)
        sys.exit(1)
    click.echo("proved: compiled again, every packet fares as with the rules", err=True)


def _notes(found: Imported) -> Iterator[str]:
    """What became of the rules."""
    for origin, why in found.lost:
        yield f"warning: {origin.file}:{origin.line}: nothing stands for this rule: {printable(why)}"
    for origin, why in found.opaque:
        yield f"note: {origin.file}:{origin.line}: stays in the tool's own words, unverified: {printable(why)}"
    for origin, why in found.dropped:
        yield f"note: {origin.file}:{origin.line}: left out: {printable(why)}"
    said = f"{found.rules} rules: {found.statements} statements, {len(found.opaque)} of them opaque"
    yield f"{said}; {len(found.dropped)} rules without effect left out, {len(found.lost)} not imported"
