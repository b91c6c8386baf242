"""`netpolc verify`: do these rules mean what the policies say?"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from compiler.analysis.proof import NotProved, prove
from compiler.cli import cluster
from compiler.errors import NetpolcError, Unreadable

_FAMILIES = {"ipv4": (4,), "ipv6": (6,), "dual": (4, 6)}
_NFT = ("nft", "list", "table", "inet", "netpolc")
#: A machine may have rules in either variant, whichever goes by the name without one.
_SAVES = ("-save", "-legacy-save", "-nft-save")


class _Command(click.Command):
    """`--rules` takes every file that follows it, up to the next option: iptables needs three."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        taking = False
        for word in args:
            if word.startswith("-") and word != "-":
                taking = word == "--rules"
                spread += [] if taking else [word]
            else:
                spread += ["--rules", word] if taking else [word]
        return super().parse_args(ctx, spread)


@click.command("verify", cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--node", metavar="NODE", help="The node that has the rules. Default: every pod of the input counts.")
@click.option(
    "--rules", metavar="FILE...", multiple=True, help="Texts of rules, one or more: nft, iptables-save, ipset save."
)
@click.option("--live", is_flag=True, help="The rules that this machine has now. Needs root.")
@click.option("--family", type=click.Choice(list(_FAMILIES)), default="dual", show_default=True, help="Addresses.")
@click.option("--lenient", is_flag=True, help="Unknown fields outside spec and CIDRs with host bits only warn.")
def command(
    inputs: tuple[str, ...], node: str | None, rules: tuple[str, ...], live: bool, family: str, lenient: bool
) -> None:
    """Prove that rules mean what the policies say, for every packet, or show packets on which they differ.

    INPUT is as for compile, with the pods. The rules are files of any of the tools, as written or as saved
    (iptables-save, ip6tables-save, ipset save, nft list ruleset), or those of this machine.

    Exit status: 0 equal, 1 different, 2 bad input or rules that are not understood.
    """
    gc.disable()  # as in compile: everything lives to the end
    try:
        if live == bool(rules):
            raise click.UsageError("give --rules FILE (once or more) or --live")
        found = cluster.read(inputs, lenient)
        snapshot = cluster.snapshot(found)
        names = snapshot.node_names()
        if node is not None and node not in names:
            raise Unreadable(f"--node {node}: the input knows {', '.join(names[:8]) or 'no node'}")
        proof = prove(found.policies, snapshot, node, _live() if live else _files(rules), _FAMILIES[family])
    except NotProved as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except NetpolcError as error:
        click.echo(error.render(), err=True)
        sys.exit(2)
    shown = " and ".join(f"IPv{version}" for version in proof.families)
    if proof.equal:
        click.echo(f"equal: every {shown} packet fares as the policies say")
        sys.exit(0)
    click.echo("different: " + ("one packet" if len(proof.witnesses) == 1 else f"{len(proof.witnesses)} packets, say"))
    for witness in proof.witnesses:
        click.echo(f"\n{witness}")
    sys.exit(1)


def _files(names: tuple[str, ...]) -> list[tuple[str, str]]:
    found, problems = [], []
    for name in names:
        try:
            found.append((name, Path(name).read_bytes().decode("utf-8")))
        except OSError as error:
            problems.append(f"{name}: {error.strerror or error}")
        except UnicodeDecodeError:
            problems.append(f"{name}: not UTF-8 text")
    if problems:
        raise Unreadable(*problems)
    return found


def _live() -> list[tuple[str, str]]:
    """What is loaded: the table of ours in nftables, else everything of iptables and ipset."""
    if os.geteuid() != 0:
        raise Unreadable("--live: only root can read the rules of this machine")
    if shutil.which("nft"):
        table = subprocess.run(_NFT, capture_output=True, text=True, check=False)
        if table.returncode == 0:
            return [("nft list table inet netpolc", table.stdout)]
    for save in _SAVES:
        found = _saved(save)
        if any("NETPOLC-" in text for _, text in found):
            return [("ipset save", _printed("ipset", "save")), *found]
    raise Unreadable("--live: neither the table inet netpolc nor chains NETPOLC-... are loaded on this machine")


def _saved(save: str) -> list[tuple[str, str]]:
    """What one variant of iptables has, IPv4's and IPv6's; nothing when it is not installed."""
    commands = [f"{tool}{save}" for tool in ("iptables", "ip6tables")]
    return [(name, _printed(name)) for name in commands if shutil.which(name)]


def _printed(*command_line: str) -> str:
    shown = " ".join(command_line)
    if shutil.which(command_line[0]) is None:
        raise Unreadable(f"--live: there is no {command_line[0]} on this machine")
    done = subprocess.run(command_line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unreadable(f"--live: {shown}: {done.stderr.strip()}")
    return done.stdout
