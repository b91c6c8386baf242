"""`netpolc optimize`: rules of iptables or nft without those that are not needed, in the order that costs least."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import click

from compiler.analysis.proof import NotProved
from compiler.analysis.same import differences
from compiler.cli import profiles, rules
from compiler.cli.outputs import write
from compiler.errors import Collector, NetpolcError
from compiler.optimizing.chains import Listing
from compiler.optimizing.estimate import estimated
from compiler.optimizing.passes.simplify import Pass
from compiler.optimizing.readers.reading import Format, format_of, listing
from compiler.optimizing.reorder import ChainOrder, Reordered
from compiler.optimizing.report.page import page
from compiler.optimizing.report.telling import told
from compiler.optimizing.whole import Optimized, optimize
from compiler.ordering.prices import Tool
from grammar import ipset
from grammar.ruletext import Refused
from grammar.source import Source, printable

TOOLS = {"legacy": Tool.IPTABLES_LEGACY, "nft": Tool.IPTABLES_NFT}
#: What can be done, in this order.
PASSES = (*(one.value for one in Pass), "order")
#: So many rules that go are told.
_TOLD = 40
_HEAD = ("chain", "rules", "moved", "packets", "asked", "now", "ns", "now", "at least", "gap")


_PROVED = "proved: with the new rules every packet fares as with the old"


class _Passes(click.ParamType[tuple[str, ...]]):
    """Names of passes, with commas between."""

    name = "passes"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        names = [name.strip() for name in value.split(",")]
        for name in names:
            if name not in PASSES:
                self.fail(f"{name!r} is no pass: {', '.join(PASSES)}", param, ctx)
        return tuple(names)


@click.command("optimize", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", metavar="RULES", type=click.Path(dir_okay=False))
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write the rules here."
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice([one.value for one in Format]),
    help="Who printed RULES.  [default: as the text tells]",
)
@click.option(
    "--tool", type=click.Choice(list(TOOLS)), help="Which iptables has the rules of iptables.  [default: legacy]"
)
@click.option(
    "--passes",
    metavar="LIST",
    type=_Passes(),
    default=",".join(PASSES),
    show_default=True,
    help="What is done. With order alone, every rule stays.",
)
@click.option(
    "--threshold",
    metavar="PERCENT",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    help="A chain stays as it is unless a new order saves more than this.",
)
@click.option(
    "--merge-counters", is_flag=True, help="Make one rule of rules of nft that count, and add their counters."
)
@click.option(
    "--relax",
    is_flag=True,
    help="Rules that do the same may change places though some packets match both; what they match then is guessed.",
)
@profiles.profile_options
@click.option("--sets", metavar="FILE", multiple=True, help="What ipset save prints, for rules that ask sets.")
@click.option("-v", "--verbose", is_flag=True, help=f"Tell of every rule that goes, not of the first {_TOLD} alone.")
@click.option(
    "--report",
    type=click.Choice(["text", "html"]),
    default="text",
    show_default=True,
    help="html: a page with pictures on standard output; needs -o for the rules, or --check.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit status 1 when the rules could be better.")
@click.option(
    "--prove/--no-prove",
    "proving",
    default=True,
    show_default=True,
    help="Prove that the new rules do the same.",
)
def command(
    file: str,
    output: Path | None,
    format_name: str | None,
    tool: str | None,
    passes: tuple[str, ...],
    threshold: int,
    relax: bool,
    merge_counters: bool,
    profiles_: tuple[str, ...],
    half_life: int,
    sets: tuple[str, ...],
    verbose: bool,
    report: str,
    check: bool,
    proving: bool,
) -> None:
    """Leave out rules of iptables or nft that are not needed, and put the others in the order in which packets are
    compared with the fewest of them.

    RULES is what iptables-save -c, ip6tables-save -c or nft list ruleset prints, or - for standard input. How often
    rules match is taken from their counters, or from --profile: other dumps of the same rules (of nft also nft -j list
    ruleset) and profiles of netpolc. Rules without a counter weigh nothing; where nothing is counted at all, what they
    ask is weighed.

    Passes: normalize (words that are asked faster), shadow (rules that no packet reaches, or that make no difference,
    go), merge (rules that do the same and differ in an address, a port or a state become one), sets (with nft: rules
    that differ in what they ask become one with a set or a verdict map, where that costs less) and order. Counters of
    rules that go are added to those of the rules that have their packets now. What is not understood stays where it
    is, with what stands before it and behind it, and is named.

    Old and new are compared for every packet before anything is written. Without -o the rules go to standard output;
    what was done and gained, and how far from the best order that is at most, goes to standard error.

    Exit status: 0 done; 1 the rules could be better (--check); 2 bad input, or rules that cannot be compared
    (--no-prove writes them all the same); 70 the proof found a difference, which is a defect of netpolc. Then nothing
    is written.
    """
    if check and output is not None:
        raise click.UsageError("--check writes nothing: leave out -o")
    if report == "html" and not check and output is None:
        raise click.UsageError("--report html goes to standard output: -o FILE says where the rules go")
    gc.disable()  # everything lives to the end
    try:
        ((name, text),) = rules.texts([file], live=False)
        beside = rules.texts(sets, live=False)
        format_ = Format(format_name) if format_name else format_of(text)
        if format_ is Format.NFT and (tool or sets):
            raise click.UsageError("--tool and --sets are for rules of iptables")
        known = _listing(Source(name, text), format_, beside, TOOLS[tool or "legacy"])
        weighed, guessed = profiles.weighed(known, profiles.read(profiles_), half_life)
        found = _optimized(
            weighed, passes, Fraction(threshold, 100), guessed=guessed, counters=merge_counters, relax=relax
        )
        new = found.listing.written()
        changed = new != text
        if changed and proving:
            _prove(name, text, new, beside)
        for line in _report(name, found, _TOLD if not verbose else len(found.simplified.changes)):
            click.echo(printable(line), err=True)
        if changed and proving:
            click.echo(_PROVED, err=True)
        if output is not None:
            write(output.parent, {output.name: new})
        if report == "html":
            proof = "nothing changes" if not changed else _PROVED if proving else "not proved (--no-prove)"
            template = (files("compiler.cli") / "page" / "optimize.html").read_text(encoding="utf-8")
            click.echo(page(name, found, proof, template), nl=False)
        elif output is None and not check:
            click.echo(new, nl=False)
    except NotProved as error:
        click.echo(f"{error}\nerror: rules that cannot be proved are not written; --no-prove writes them", err=True)
        sys.exit(2)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    sys.exit(1 if check and changed else 0)


def _listing(source: Source, format_: Format, sets: Iterable[tuple[str, str]], tool: Tool) -> Listing:
    """Raises InvalidInput for what is not of the format or no ipset save."""
    problems = Collector()
    try:
        for one in sets:  # other rules there would hide from the proof what these do
            ipset.sets(Source(*one))
        return listing(source, format_, tool)
    except Refused as error:
        problems.add(error.flaw)
        problems.check()
        raise


def _optimized(
    rules: Listing, passes: Sequence[str], threshold: Fraction, *, guessed: bool, counters: bool, relax: bool
) -> Optimized:
    """`guessed`: weights are an estimate, which other rules have another of; `counters`: those of nft are added;
    `relax`: rules that do the same may change places."""
    chosen = [one for one in Pass if one.value in passes]
    weigh = estimated if guessed else None
    return optimize(rules, chosen, threshold if "order" in passes else None, weigh, counters, relax)


def _prove(name: str, old: str, new: str, sets: Sequence[tuple[str, str]]) -> None:
    """Ends the run when the new text does something else than the old, with these sets. Raises NotProved."""
    # The name says which family the rules are for, so the new one holds it, too.
    texts = [(name, old), *sets], [(f"{name} (new)", new), *sets]
    differ = differences(*texts, (4, 6), ("old rules", "new rules"), partly=True)
    if not differ:
        return
    click.echo("error: the new rules would do something else; please report this defect of netpolc", err=True)
    for one in differ:
        click.echo(f"\n{one.text}", err=True)
    sys.exit(70)


def _report(name: str, found: Optimized, most: int) -> Iterator[str]:
    """What was removed and merged (of no more rules than `most`), what stays where it is, the chains as a table, and
    what is gained in all."""
    yield from (f"note: {name}: {note}" for note in found.listing.notes)
    yield from _simplified(name, found, most)
    if found.orders is not None:
        yield from _ordered(name, found.orders)


def _simplified(name: str, found: Optimized, most: int) -> Iterator[str]:
    for table, chain in found.simplified.deserted:
        yield f"note: {name}: no packet comes to {table} {chain}; it stays"
    changes = sorted(found.simplified.changes, key=lambda change: change.places[0].start)
    yield from map(told, changes[:most])
    if len(changes) > most:
        yield f"{len(changes) - most} more are not told here: --verbose"
    if changes:
        gone = found.simplified.gone
        saved = 1 - found.after / (found.before or 1)
        yield f"{gone} {'rule' if gone == 1 else 'rules'} fewer; comparing costs {float(saved):.1%} less by that"


def _ordered(name: str, found: Reordered) -> Iterator[str]:
    for chain in found.chains:
        for place in chain.barriers:
            yield f"note: {place.span.file_line}: nothing moves past this rule: {' '.join(place.text.split())}"
    for chain in found.chains:
        if chain.now:
            yield f"note: {name}: {chain.table} {chain.chain}: what its rules match now is guessed (--relax)"
    for table, left, why in found.left:
        yield f"note: {name}: {table} {left} stays as it is: {why}"
    if not found.chains:
        yield "there is nothing to put in order: no other chain has more than one rule"
        return
    rows = [_HEAD, *map(_row, found.chains)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:<{widths[0]}}", *cells])
    written = sum(chain.ordering.written for chain in found.chains)
    saved = Fraction(written - sum(chain.ordering.cost for chain in found.chains), written or 1)
    moved, rules_ = sum(chain.moved for chain in found.chains), sum(chain.rules for chain in found.chains)
    yield f"{moved} of {rules_} rules moved; comparing costs {float(saved):.1%} less"


def _row(chain: ChainOrder) -> tuple[str, ...]:
    """Rules asked and nanoseconds are for each packet that ends in the chain."""
    names = f"{chain.table} {chain.chain}", str(chain.rules), str(chain.moved)
    if not chain.counted:
        return (*names, "0", *("-",) * 6)
    order = chain.ordering
    costs = [cost / chain.counted / 10 for cost in (order.written, order.cost, order.bound)]
    cells = [f"{float(one):.1f}" for one in (*chain.asked(), *costs)]
    gap = "optimal" if order.optimal else f"{float(order.gap):.2%}"
    if chain.now:
        cells[-1] = gap = "-"
    return (*names, f"{float(chain.counted):.0f}", *cells, gap)
