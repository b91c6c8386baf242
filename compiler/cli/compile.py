"""`netpolc compile`: policies in, the rules of a node out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import click

from compiler.analysis.expected import expected
from compiler.analysis.layout import describe
from compiler.analysis.proof import NotProved, Prover
from compiler.backends.target import Backend, Target
from compiler.cli import cluster, profiles
from compiler.cli.marks import mark_mask
from compiler.cli.outputs import write
from compiler.cli.unknown import closed, unknown_pods
from compiler.errors import InvalidInput, NetpolcError, Unreadable
from compiler.net import Family
from compiler.pipeline import Artifacts, Compiler, Counted
from compiler.profiles.profiles import OutOfOrder
from compiler.resources.language import NO_PROGRAM, Program
from compiler.snapshot import Snapshot
from compiler.sources.manifests import Manifests
from compiler.translate.rest import every_problem

_FAMILIES = {"ipv4": (Family.IPV4,), "ipv6": (Family.IPV6,), "dual": (Family.IPV4, Family.IPV6)}


@click.command("compile", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--node", metavar="NODE|all", help="The node to compile for. Default: one ruleset for every pod.")
@click.option(
    "--backend",
    type=click.Choice([b.value for b in Backend]),
    default="nftables",
    show_default=True,
    help="Who takes the rules.",
)
@click.option(
    "--family", type=click.Choice(list(_FAMILIES)), default="dual", show_default=True, help="Addresses that get rules."
)
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), help="Write files here."
)
@click.option(
    "--explain-layout",
    is_flag=True,
    help="Print chains and sets with sizes, and where statements are, instead of the rules.",
)
@click.option(
    "--prove/--no-prove",
    "proving",
    default=True,
    show_default=True,
    help="Read the rules back and prove them before they are written.",
)
@click.option(
    "--no-failsafe",
    "failsafe",
    flag_value=False,
    default=True,
    help="Let a node block shut out SSH, the API server, etcd, DHCP, DNS and neighbour discovery, too.",
)
@mark_mask
@unknown_pods
@click.option(
    "--counters/--no-counters",
    default=None,
    help="Rules of nft count packets; those of iptables always do.  [default: with --profile]",
)
@click.option(
    "--log-denied",
    "log_group",
    metavar="GROUP",
    type=click.IntRange(0, 65535),
    help="Copy packets that are denied to this NFLOG group, ten a second at most.",
)
@profiles.profile_options
@click.option(
    "--threshold",
    metavar="PERCENT",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    help="With --profile, rules stay in the order in which they are loaded unless another one saves more.",
)
@click.option("--lenient", is_flag=True, help="Unknown fields outside spec and CIDRs with host bits only warn.")
def command(
    inputs: tuple[str, ...],
    node: str | None,
    backend: str,
    family: str,
    output: Path | None,
    explain_layout: bool,
    proving: bool,
    failsafe: bool,
    mark_mask: int,
    unknown_pods: str,
    counters: bool | None,
    log_group: int | None,
    profiles_: tuple[str, ...],
    half_life: int,
    threshold: int,
    lenient: bool,
) -> None:
    """Turn policies into the rules of a node.

    INPUT is a YAML or JSON file, a folder of them, or - for standard input: NetworkPolicies, ClusterNetworkPolicies,
    (Baseline)AdminNetworkPolicies, and the Pods, Namespaces, Nodes, Services and workloads they are about. Files
    that end in .np are programs of the policy language: policy and node blocks come in front of all policies, nat,
    mangle and raw blocks beside them.
    Without -o the scripts go to standard output.

    Rules are read back and proved before they are written: for every packet, that they mean what the policies say.
    Each script's head tells whether that was done. So are the expectations of programs, for all packets that they
    speak of.

    With --profile, what iptables-save -c, nft list ruleset or nft -j list ruleset prints of rules that an earlier
    compile made (of nft with --counters), rules that match often come first where that changes nothing.

    Exit status: 0 done; 1 an expectation does not hold; 2 bad input, or rules that cannot be proved (--no-prove writes
    them all the same); 70 rules that the proof found wrong, which is a defect of netpolc. Then nothing is written.
    """
    if explain_layout and output is not None:
        raise click.UsageError("--explain-layout prints and writes no files: leave -o out")
    if node == "all" and profiles_:
        raise click.UsageError("--profile is of one node: leave --node all out")
    gc.disable()  # a compile is short and makes millions of objects that all live to its end
    try:
        found, program = cluster.read_all(inputs, lenient)
        counting = bool(profiles_) if counters is None else counters
        target = Target(Backend(backend), node, _FAMILIES[family], mark_mask, counting, log_group)
        counted = profiles.counted(profiles_, target.backend, half_life, threshold)
        snapshot = closed(cluster.snapshot(found), unknown_pods, node)
        compiler, artifacts = _made(found, snapshot, program, failsafe, target, counted)
        if not explain_layout:
            artifacts = _headed(found, compiler, artifacts, proving)
            if compiler.program.expectations:
                _expect(found, compiler, artifacts, proving)
        for note in _notes(found, compiler, artifacts):
            click.echo(f"note: {note}", err=True)
        if explain_layout:
            click.echo("\n".join(describe(a.ruleset) for a in artifacts.values()), nl=False)
        elif output is not None:
            write(output, {f"{where}{name}": text for where, a in artifacts.items() for name, text in a.files.items()})
        else:
            sys.stdout.writelines(_stdout(artifacts))
    except NotProved as error:
        click.echo(f"{error}\nerror: rules that cannot be proved are not written; --no-prove writes them", err=True)
        sys.exit(2)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    finally:
        gc.freeze()  # nor are they looked through when Python ends


def _made(
    found: Manifests, snapshot: Snapshot, program: Program, failsafe: bool, target: Target, counted: Counted | None
) -> tuple[Compiler, dict[str, Artifacts]]:
    """Raises InvalidInput with all that is wrong with the program."""
    ssh = cluster.ssh_sessions() if failsafe else None

    def made(said: Program) -> tuple[Compiler, dict[str, Artifacts]]:
        compiler = Compiler(found.policies, snapshot, said, ssh)
        return compiler, _compile(compiler, target, counted)

    try:
        return made(program)
    except InvalidInput as error:
        raise every_problem(error, program, made) from None


def _compile(compiler: Compiler, target: Target, counted: Counted | None) -> dict[str, Artifacts]:
    """Artifacts by the folder they go to: "" or "NODE/"."""
    names, node = compiler.snapshot.node_names(), target.node
    if node == "all":
        if not names:
            raise Unreadable("--node all: the input names no node; add Node or Pod objects, or leave --node out")
        return {f"{name}/": compiler.compile(replace(target, node=name)) for name in names}
    if node is not None and names and node not in names:
        raise Unreadable(f"--node {node}: the input knows {', '.join(names[:8])}" + (", ..." if len(names) > 8 else ""))
    try:
        return {"": compiler.compile(target, counted)}
    except OutOfOrder as error:
        raise NetpolcError(str(error)) from None


def _headed(
    found: Manifests, compiler: Compiler, artifacts: Mapping[str, Artifacts], proving: bool
) -> dict[str, Artifacts]:
    """The artifacts, each with a head that tells whether its text was proved. Raises NotProved."""
    if not proving:
        return {where: made.headed("Not proved: --no-prove.") for where, made in artifacts.items()}
    prover = Prover(found.policies, compiler.snapshot, compiler.program)
    if len(artifacts) == 1:
        return {where: _proved(prover, made) for where, made in artifacts.items()}
    headed = {}
    gc.freeze()  # what is there by now stays: only what the proof of a node leaves behind is looked through
    for where, made in artifacts.items():
        headed[where] = _proved(prover, made)
        gc.collect()
    gc.unfreeze()
    return headed


def _proved(prover: Prover, made: Artifacts) -> Artifacts:
    """The artifacts, with a head that says so, when their text means what the policies say; else this ends the run:
    rules that are wrong must not get anywhere."""
    families = [family.value for family in made.target.families]
    proof = prover.prove(
        made.target.node, made.files.items(), families, made.failsafe, made.exempt, made.target.mark_mask
    )
    if proof.equal:
        claim = ", ".join(filter(None, [f"every packet fares as {proof.wanted}", proof.given]))
        return made.headed(f"Proved: read back, {claim} (netpolc verify repeats it).")
    click.echo("error: these rules do not mean what the policies say; please report this defect of netpolc", err=True)
    for witness in proof.witnesses:
        click.echo(f"\n{witness}", err=True)
    sys.exit(70)


def _expect(found: Manifests, compiler: Compiler, artifacts: Mapping[str, Artifacts], proving: bool) -> None:
    """Ends the run when an expectation of the program does not hold; what else is to be said of them is told."""
    if not proving:
        click.echo("note: expectations are not proved: --no-prove", err=True)
        return
    remarks: dict[str, None] = {}
    for failsafe, exempt in dict.fromkeys((made.failsafe, made.exempt) for made in artifacts.values()):
        families = [family.value for family in next(iter(artifacts.values())).target.families]
        said = expected(compiler.program, found.policies, compiler.snapshot, families, failsafe, exempt)
        if said.failed:
            click.echo("\n".join(said.failed), err=True)
            sys.exit(1)
        remarks.update(dict.fromkeys(said.remarks))
    for remark in remarks:
        click.echo(f"note: {remark}", err=True)


def _notes(found: Manifests, compiler: Compiler, artifacts: Mapping[str, Artifacts]) -> Iterator[str]:
    """What the user should know beside the result."""
    yield from compiler.remarks()
    for made in artifacts.values():
        yield from profiles.told(made)
    for line in dict.fromkeys(line for made in artifacts.values() for line in made.failsafe):
        yield f"failsafe, in front of the node's rules: {line.text.partition('  #')[0]} (--no-failsafe leaves it out)"
    for line in dict.fromkeys(line for made in artifacts.values() for line in made.exempt):
        yield f"failsafe, in front of what raw drops: {line.text.partition('  #')[0]} (--no-failsafe leaves it out)"
    if not found.policies and compiler.program == NO_PROGRAM:
        yield "no policy in the input: these rules deny nothing"
    elif found.policies and any(a.symbolic for a in artifacts.values()):
        yield (
            "no pod with an address in the input: sets are declared and empty, each with a comment that says\n"
            "      who belongs in it. To fill them, name the pods: kubectl get pods,namespaces,nodes -A -o yaml"
        )


def _stdout(artifacts: Mapping[str, Artifacts]) -> Iterator[str]:
    alone = len(artifacts) == 1 and all(len(a.files) == 1 for a in artifacts.values())
    for where, one in artifacts.items():
        for name, text in one.files.items():
            if not alone:
                yield f"### {where}{name} ###\n"
            yield text
