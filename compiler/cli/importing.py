"""`netpolc import`: rules of other tools in, a program of the policy language out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from compiler.analysis.proof import NotProved, Prover
from compiler.analysis.same import Difference, TooDeep, differences
from compiler.backends.target import Backend, Target
from compiler.cli import rules
from compiler.cli.outputs import write
from compiler.errors import Collector, InvalidInput, NetpolcError
from compiler.importing.importer import Imported, imported
from compiler.importing.values import Lines
from compiler.net import Family
from compiler.pipeline import Compiler
from compiler.resources.language import Program
from compiler.snapshot import build
from compiler.sources import language
from grammar import dsl
from grammar.format import format_file
from grammar.ruletext import Refused
from grammar.source import Source, printable

#: Rules that stay as they are written before the importer gives up.
_MOST_AS_WRITTEN = 40


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
        claim = ""
        if proving:
            found, text, claim = _proved(texts, output)
        else:
            found, text, _ = written(texts, output)
        for line in _notes(found):
            click.echo(line, err=True)
        if claim:
            click.echo(f"proved: {claim}{_given(found)}", err=True)
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


def written(
    texts: Sequence[tuple[str, str]], output: Path | None, as_written: Lines = frozenset()
) -> tuple[Imported, str, Program]:
    """What was imported, the program's text as `fmt` lays it out, and what it says, read from there. Raises
    InvalidInput."""
    problems = Collector()
    try:
        found = imported([Source(name, text) for name, text in texts], as_written)
    except Refused as error:
        problems.add(error.flaw)
        problems.check()
        raise
    name = str(output) if output is not None else "imported.np"
    text = _laid_out(name, found.text)
    return found, text, language.load([(name, text.encode())], _include)


def _proved(texts: Sequence[tuple[str, str]], output: Path | None) -> tuple[Imported, str, str]:
    """The same, proved, and what was. Rules on the way of a packet that fares otherwise stay in the tool's own words;
    where that does not help, this ends the run."""
    as_written: Lines = frozenset()
    while True:
        found, text, program = written(texts, output, as_written)
        claim = "compiled again, every packet fares as with the rules"
        try:
            differ = _differences(texts, found, program)
        except InvalidInput as error:
            if any(one.code != "not-compiled" for one in error.diagnostics):
                raise
            claim = f"the program says what the rules do to every packet, but {error.diagnostics[0].message}"
            differ = _meanings(texts, found, program)
        except TooDeep:
            claim = (
                "the program says what the rules do to every packet; compiled, its chains are too deep to be compared"
            )
            differ = _meanings(texts, found, program)
        if not differ:
            return found, text, claim
        lines = frozenset((file.rpartition("/")[2], line) for one in differ for file, line in one.lines)
        if lines <= as_written or len(as_written) > _MOST_AS_WRITTEN:
            break
        as_written |= lines
    click.echo("error: the program would do something else than the rules; please report this defect", err=True)
    for one in differ:
        click.echo(f"\n{one.text}", err=True)
    sys.exit(1)


def _differences(texts: Sequence[tuple[str, str]], found: Imported, program: Program) -> tuple[Difference, ...]:
    """Between the rules and those that the program is compiled to. Raises InvalidInput where it cannot be."""
    backend = Backend.IPTABLES if found.tool == "iptables" else Backend.NFTABLES
    compiler = Compiler((), build((), (), ()), program, None)
    made = compiler.compile(Target(backend, None, tuple(Family(version) for version in found.versions)))
    return differences(texts, made.files.items(), found.versions, ("rules", "program"), bool(found.apart))


def _meanings(texts: Sequence[tuple[str, str]], found: Imported, program: Program) -> tuple[Difference, ...]:
    """Between the rules and what the program means, as `netpolc verify` compares them. Raises NotProved also where they
    differ in rules that stay in the tool's own words: whether two of these are one is not known from a program."""
    proof = Prover((), build((), (), ()), program).prove(None, texts, found.versions)
    if found.opaque and proof.witnesses:
        raise NotProved(
            f"{len(found.opaque)} rules in the tool's own words cannot be compared with what they come from"
        )
    return tuple(Difference(witness, frozenset()) for witness in proof.witnesses)


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


def _notes(found: Imported) -> Iterator[str]:
    """What became of the rules."""
    for origin, why in found.lost:
        yield f"warning: {origin.file}:{origin.line}: nothing stands for this rule: {printable(why)}"
    for origin, why in found.opaque:
        yield f"note: {origin.file}:{origin.line}: stays in the tool's own words, unverified: {printable(why)}"
    for origin, why in found.dropped:
        yield f"note: {origin.file}:{origin.line}: left out: {printable(why)}"
    for origin, option in found.eased:
        why = "which port is free is the kernel's choice in any case"
        yield f"note: {origin.file}:{origin.line}: without {printable(option)}: {why}"
    for origin in found.apart:
        yield f"note: {origin.file}:{origin.line}: its count is kept for each way to the chain {origin.chain} apart"
    said = f"{found.rules} rules: {found.statements} statements, {len(found.opaque)} of them opaque"
    yield f"{said}; {len(found.dropped)} rules without effect left out, {len(found.lost)} not imported"


def _given(found: Imported) -> str:
    """On what the proof hangs."""
    some = ", for counts that are kept apart as said" if found.apart else ""
    return some + (f"; {len(found.opaque)} stay in the tool's own words" if found.opaque else "")
