"""Chains and sets of an earlier version that the next one does not use can be taken away, under traffic."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from compiler.ir.places import HOOKS
from compiler.ir.ruleset import Hook
from tests.kernel.compiled import files
from tests.kernel.namespace import CommandFailed
from tests.kernel.rig import Rig
from tests.kernel.test_reload import BEFORE, BOTH_TOOLS, NEXT, ours, stream
from tests.kernel.test_tables_reload import version as every_table
from tests.kernel.texts import texts

pytestmark = pytest.mark.kernel


def sweep(rig: Rig, flavour: str) -> None:
    """Takes away what earlier versions left behind. What is in use the kernel does not let go."""
    run = rig.namespace.run
    if flavour != "nftables":
        for tool in BOTH_TOOLS:
            variant = f"{tool}-{flavour.removeprefix('iptables-')}"
            old = unreached(run(f"{variant}-save"))
            commands = [f"{option} {name}" for option in ("-F", "-X") for name in sorted(old)]
            run(f"{variant}-restore", "--noflush", "-w", "60", stdin="\n".join(["*filter", *commands, "COMMIT", ""]))
        for name in run("ipset", "list", "-n").split():
            goes(rig, "ipset", "destroy", name)
        return
    progress = True
    while progress:
        listed = run("nft", "-t", "list", "table", "inet", "netpolc")
        found = re.findall(r"^\t(set|map|chain) (\S+) \{(?!\n\t\ttype filter hook)", listed, flags=re.MULTILINE)
        gone = [goes(rig, "nft", "delete", kind, "inet", "netpolc", name) for kind, name in found]
        progress = any(gone)


def unreached(saved: str) -> set[str]:
    """Our chains that no packet gets to."""
    ways: dict[str, set[str]] = {}
    for name, target in re.findall(r"^-A (\S+) .*-[jg] (NETPOLC-\S+)", saved, flags=re.MULTILINE):
        ways.setdefault(name, set()).add(target)
    reached: set[str] = set()
    ahead = {"FORWARD", "INPUT", "OUTPUT"}
    while ahead:
        reached |= ahead
        ahead = {target for name in ahead for target in ways.get(name, ())} - reached
    return set(re.findall(r"^:(NETPOLC-\S+)", saved, flags=re.MULTILINE)) - reached


def goes(rig: Rig, *command: str) -> bool:
    """Whether it went; that it is in use is the one reason for a refusal."""
    try:
        rig.namespace.run(*command)
    except CommandFailed as refused:
        if not re.search("busy|in use", refused.stderr):
            raise
        return False
    return True


def test_leftovers_can_go_under_traffic(rig: Rig, flavour: str) -> None:
    """And then everything is as after a first load."""
    first, second = files(BEFORE, flavour), files(NEXT, flavour)
    rig.load(first, flavour)
    fresh = ours(rig, flavour)
    rig.load(second, flavour)
    rig.load(first, flavour)
    with stream(rig) as running:
        sweep(rig, flavour)
    assert (dict(running.lost), dict(running.leaked)) == ({}, {})
    assert one_jump(sorted(ours(rig, flavour).splitlines())) == one_jump(sorted(fresh.splitlines()))


@pytest.mark.parametrize("times", [1, 3])
def test_readme_takes_everything_away(rig: Rig, flavour: str, times: int, tmp_path: Path) -> None:
    """What is not ours stays."""
    run = rig.namespace.run
    others = [("nft", "add", "table", "inet", "other"), ("ipset", "create", "other", "hash:ip")]
    if flavour != "nftables":
        variant = flavour.removeprefix("iptables-")
        for tool in BOTH_TOOLS:
            for name in ("", "-save", "-restore"):
                program = shutil.which(f"{tool}-{variant}{name}")
                assert program
                (tmp_path / f"{tool}{name}").symlink_to(program)
        places = [(table.value, hook.name) for table, hooks in HOOKS.items() for hook in Hook if hook in hooks]
        rule = ("-p", "tcp", "-j", "ACCEPT")
        others += [(str(tmp_path / tool), "-t", t, "-A", hook, *rule) for tool in BOTH_TOOLS for t, hook in places]
    for command in others:
        run(*command)
    before = everything(rig, flavour)
    for _ in range(times):
        for version in (BEFORE, NEXT):
            rig.load(files(version, flavour), flavour)
        rig.load(texts(flavour, *every_table(3)), flavour)
    assert everything(rig, flavour) != before
    run("sh", "-ec", f"PATH={tmp_path}:$PATH\n{removal(flavour)}")
    assert everything(rig, flavour) == before


def removal(flavour: str) -> str:
    """The commands of README."""
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^To take everything away again: `(.*?)`.*?```sh\n(.*?)```$", readme, re.DOTALL | re.MULTILINE)
    assert found
    return found[1] if flavour == "nftables" else found[2]


def everything(rig: Rig, flavour: str) -> list[str]:
    """All rules and sets, without comments and counters."""
    tools = [f"{tool}-{flavour.removeprefix('iptables-')}-save" for tool in BOTH_TOOLS if flavour != "nftables"]
    shown = [rig.namespace.run(*command) for command in (("nft", "list", "ruleset"), ("ipset", "save"), *zip(tools))]
    counters = r"^#.*\n|counter packets \d+ bytes \d+|\[\d+:\d+\]| initval 0x[0-9a-f]+"
    return [re.sub(counters, "", text, flags=re.MULTILINE) for text in shown]


def one_jump(lines: list[str]) -> list[str]:
    """Without repeated jumps from the hooks."""
    return [line for n, line in enumerate(lines) if line != lines[n - 1] or not line.startswith("-A ")]
