"""`netpolc verify`: do these rules mean what the policies say?"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import click

from compiler.analysis.expected import Expected, expected
from compiler.analysis.proof import NotProved, Proof, Prover
from compiler.backends.target import Target
from compiler.cli import cluster
from compiler.cli.marks import mark_mask
from compiler.cli.rules import BARE, RulesCommand, texts
from compiler.cli.unknown import closed, unknown_pods
from compiler.errors import NetpolcError, Unreadable
from compiler.net import Family
from compiler.pipeline import Compiler
from compiler.resources.language import NO_PROGRAM, Rule

_FAMILIES = {"ipv4": (4,), "ipv6": (6,), "dual": (4, 6)}


@click.command("verify", cls=RulesCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--node", metavar="NODE", help="The node that has the rules. Default: every pod of the input counts.")
@click.option(
    "--rules",
    metavar="FILE...",
    multiple=True,
    help="Files of nft, iptables-save, ipset save; or their folder.",
)
@click.option("--live", is_flag=True, help="The rules that this machine has now. Needs root.")
@click.option(
    "--family", type=click.Choice(list(_FAMILIES)), default="dual", show_default=True, help="Addresses to prove."
)
@click.option(
    "--no-failsafe", "failsafe", flag_value=False, default=True, help="The program was compiled with --no-failsafe."
)
@mark_mask
@unknown_pods
@click.option("--lenient", is_flag=True, help="Unknown fields outside spec and CIDRs with host bits only warn.")
def command(
    inputs: tuple[str, ...],
    node: str | None,
    rules: tuple[str, ...],
    live: bool,
    family: str,
    failsafe: bool,
    mark_mask: int,
    unknown_pods: str,
    lenient: bool,
) -> None:
    """Prove that rules mean what the policies say, for every packet, or show packets on which they differ.

    INPUT is as for compile, with the pods, and with the program that was compiled; of policies alone, the rules are
    proved for whoever is in their sets, which the comments on these tell. The rules are files of any of the tools, as
    written or as saved (iptables-save, ip6tables-save, ipset save, nft list ruleset), a folder that compile wrote, or
    those of this machine. What a program expects is judged, too, as compile does it.

    Exit status: 0 equal; 1 different, or an expectation does not hold; 2 bad input or rules that are not understood.
    """
    gc.disable()  # as in compile: everything lives to the end
    try:
        files = [name for name in rules if name != BARE]
        if live == bool(files):
            raise click.UsageError("give --rules FILE (once or more) or --live")
        found, program = cluster.read_all(inputs, lenient)
        snapshot = cluster.snapshot(found)
        names = snapshot.node_names()
        if node is not None and node not in names:
            raise Unreadable(f"--node {node}: the input knows {', '.join(names[:8]) or 'no node'}")
        snapshot = closed(snapshot, unknown_pods, node)
        families = _FAMILIES[family]
        kept: tuple[Rule, ...] = ()
        exempt: tuple[Rule, ...] = ()
        if program != NO_PROGRAM:
            compiler = Compiler(found.policies, snapshot, program, cluster.ssh_sessions() if failsafe else None)
            target = Target(node=node, families=tuple(map(Family, families)))
            kept, exempt = compiler.failsafe(target), compiler.exempt(target)
        prover = Prover(found.policies, snapshot, program)
        proof = prover.prove(node, texts(files, live, node), families, kept, exempt, mark_mask)
        judged = expected(program, found.policies, snapshot, families, kept, exempt)
    except NotProved as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    for remark in judged.remarks:
        click.echo(f"note: {remark}", err=True)
    for line in _told(proof, judged, len(program.expectations)):
        click.echo(line)
    sys.exit(0 if proof.equal and not judged.failed else 1)


def _told(proof: Proof, judged: Expected, many: int) -> Iterator[str]:
    """The answer about the rules, then that about `many` expectations of the program, which is what rules that are
    equal to it keep."""
    if proof.equal:
        shown = " and ".join(f"IPv{version}" for version in proof.families)
        yield "equal: " + ", ".join(filter(None, [f"every {shown} packet fares as {proof.wanted}", proof.given]))
    else:
        yield "different: " + ("one packet" if len(proof.witnesses) == 1 else f"{len(proof.witnesses)} packets, say")
        yield from (f"\n{witness}" for witness in proof.witnesses)
    if judged.failed:
        yield f"\nexpectations: {len(judged.failed)} of {many} fail"
        yield from (f"\n{failed}" for failed in judged.failed)
    elif many:
        yield f"expectations: {many} of {many} hold"
