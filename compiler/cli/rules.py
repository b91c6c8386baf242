"""Rules that a user names: files of any tool, and what this machine has loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from compiler.errors import Unreadable

#: What `--rules` without a file is taken for: no argument of a process can be this.
BARE = "\0"
#: Of files that compile writes, and so of those in a folder that count.
SUFFIXES = (".nft", ".save")
_NFT = ("nft", "list", "table", "inet", "netpolc")
#: A machine may have rules in either variant, whichever goes by the name without one.
_SAVES = ("-save", "-legacy-save", "-nft-save")


class RulesCommand(click.Command):
    """`--rules` takes every file that follows it, up to the next option: iptables needs three. Without any it has the
    one value BARE."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        taking = False
        for word, following in zip(args, [*args[1:], "--"], strict=True):
            if word == "--rules":
                taking = not _is_option(following)
                spread += [] if taking else [f"--rules={BARE}"]
            elif _is_option(word):
                taking = False
                spread.append(word)
            else:
                spread += ["--rules", word] if taking else [word]
        return super().parse_args(ctx, spread)


def texts(files: Sequence[str], live: bool, node: str | None = None) -> list[tuple[str, str]]:
    """(name, text) of each file (`-`: standard input), or of what is loaded. A folder stands for the rules in it, or
    for those in its folder of the node's name, as `compile --node all` writes them. Raises Unreadable: for all files
    together."""
    return _live() if live else _files(files, node)


def are_by_node(files: Sequence[str], nodes: Iterable[str]) -> bool:
    """Whether folders among the files hold a folder for each node: then they say themselves whose rules they are."""
    return any(Path(name, node).is_dir() for name in files for node in nodes)


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _files(names: Sequence[str], node: str | None) -> list[tuple[str, str]]:
    found, problems = [], list[str]()
    for name in [file for one in names for file in _within(one, node, problems)]:
        try:
            read = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
            found.append((name, read.decode("utf-8")))
        except OSError as error:
            problems.append(f"{name}: {error.strerror or error}")
        except UnicodeDecodeError:
            problems.append(f"{name}: not UTF-8 text")
    if problems:
        raise Unreadable(*problems)
    return found


def _within(name: str, node: str | None, problems: list[str]) -> list[str]:
    """The files that a name stands for."""
    if not os.path.isdir(name):
        return [name]
    folder = Path(name, node) if node is not None and Path(name, node).is_dir() else Path(name)
    try:
        found = sorted(str(path) for path in folder.iterdir() if path.suffix in SUFFIXES and path.name[0] != ".")
    except OSError as error:
        problems.append(f"{folder}: {error.strerror or error}")
        return []
    if not found:
        wanted = f", nor a folder {node}" if node is not None and folder == Path(name) else ""
        problems.append(f"{folder}: no {' or '.join(SUFFIXES)} file in this folder{wanted}")
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
