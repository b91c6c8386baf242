"""Rules of iptables that `netpolc optimize` made better by what real packets counted, in the kernel again: the same
packets fare the same and have the same marks, and counters have counted as much."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from compiler.semantics.packet import Packet
from tests.kernel.pools import Pools
from tests.kernel.random_iptables import RandomIptables
from tests.kernel.rig import NODE, Rig

pytestmark = pytest.mark.kernel

SEEDS = range(300, 305)
VARIANTS = ("legacy", "nft")
_KINDS = ("hash:ip", "hash:net", "hash:ip,port")
_MOST = 40
_EACH = 500
_NODE = {4: NODE[0], 6: NODE[1]}
#: The node tells of every packet that nobody takes, and not of as many a second as it likes: rules count these, too.
_ANSWERS = {"net.ipv4.icmp_ratemask": 0, "net.ipv6.icmp.ratelimit": 0}
#: Behind all rules: who sent what to whom with which mark.
_MARKS = """
table inet marks {
	set four { typeof ip saddr . ip daddr . ip protocol . meta mark ; size 65535 ; flags dynamic ; }
	set six { typeof ip6 saddr . ip6 daddr . ip6 nexthdr . meta mark ; size 65535 ; flags dynamic ; }
	chain seen {
		add @four { ip saddr . ip daddr . ip protocol . meta mark }
		add @six { ip6 saddr . ip6 daddr . ip6 nexthdr . meta mark }
	}
	chain leave { type filter hook postrouting priority 310 ; jump seen ; }
	chain arrive { type filter hook input priority 310 ; jump seen ; }
}
"""
_ELEMENT = re.compile(r"\S+ \. \S+ \. \S+ \. 0x[0-9a-f]+")
_COUNTED = re.compile(r"^\[(\d+):\d+\] (-A .*)$|^:(\S+ \S+) \[(\d+):\d+\]$", re.MULTILINE)
_TOOLS = {"iptables.save": "iptables", "ip6tables.save": "ip6tables"}


@pytest.fixture(scope="module", autouse=True)
def quiet(shared_rig: Rig) -> None:
    """Interfaces that have just come up tell which groups they listen to (MLD), and rules count that."""
    time.sleep(3)


class Kernel:
    """Packets of one seed, and what becomes of them."""

    def __init__(self, rig: Rig, pools: Pools, variant: str, sets: str) -> None:
        self._rig, self._variant, self._sets = rig, variant, sets
        rig.namespace.sysctl(_ANSWERS)
        self._batches: dict[str, list[Packet]] = {
            "forwarded": pools.packets(_EACH),
            "delivered": pools.packets(_EACH // 5, to=_NODE),
            "sent": pools.packets(_EACH // 5),
        }

    def answers(self, files: dict[str, str]) -> tuple[dict[str, list[bool]], set[str]]:
        """What becomes of the packets under these rules, and their ends and marks where they leave and arrive."""
        self._rig.reset()
        self._rig.load({"ipset.save": self._sets, **files}, f"iptables-{self._variant}")
        self._rig.namespace.run("nft", "-f", "-", stdin=_MARKS)
        found = {way: getattr(self._rig, way)(packets) for way, packets in self._batches.items()}
        return found, set(_ELEMENT.findall(self._rig.namespace.run("nft", "list", "table", "inet", "marks")))

    def saved(self) -> dict[str, str]:
        """With counters, as a user saves them."""
        return {name: self._rig.namespace.run(f"{tool}-{self._variant}-save", "-c") for name, tool in _TOOLS.items()}


def counted(text: str) -> Counter[str]:
    """Packets by table and words of rules and policies."""
    found: Counter[str] = Counter()
    for table in re.split(r"^(?=\*)", text, flags=re.MULTILINE):
        for packets, rule, policy, others in _COUNTED.findall(table):
            found[f"{table.split()[0]} {rule or policy}"] += int(packets or others)
    return found


def optimized(files: dict[str, str], sets: str, variant: str, folder: Path, *options: str) -> dict[str, str]:
    """By the command line."""
    (folder / "sets").write_text(sets)
    found = {}
    for name, text in files.items():
        (folder / name).write_text(text)
        command = [sys.executable, "-c", "from compiler.cli.main import main; main()", "optimize", name]
        command += ["--sets", "sets", "--threshold", "0", "--tool", variant, *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found[name] = done.stdout
    return found


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_packets_fare_as_before_and_every_rule_counts_what_it_counted(
    rig: Rig, seed: int, variant: str, tmp_path: Path
) -> None:
    """In another order: that of each chain's rules alone."""
    pools = Pools(Random(seed))
    files = RandomIptables(pools, _KINDS, most=_MOST).files
    sets = files.pop("ipset.save")
    kernel = Kernel(rig, pools, variant, sets)
    before = kernel.answers(files)
    old = kernel.saved()
    new = optimized(old, sets, variant, tmp_path, "--passes", "order")
    for name, text in new.items():
        assert sorted(text.splitlines()) == sorted(old[name].splitlines())
    assert kernel.answers(new) == before
    again = kernel.saved()
    assert {name: counted(text) for name, text in again.items()} == {name: counted(text) for name, text in old.items()}
    assert optimized(new, sets, variant, tmp_path, "--passes", "order") == new


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_with_fewer_rules_packets_fare_as_before(rig: Rig, seed: int, variant: str, tmp_path: Path) -> None:
    """In the text all rules and policies together have counted as much. In the kernel they do not count more: what a
    RETURN counted before its policy did is then counted once."""
    pools = Pools(Random(seed))
    files = RandomIptables(pools, _KINDS, most=_MOST).files
    sets = files.pop("ipset.save")
    kernel = Kernel(rig, pools, variant, sets)
    before = kernel.answers(files)
    old = kernel.saved()
    new = optimized(old, sets, variant, tmp_path)
    for name, text in new.items():
        assert counted(text).total() == counted(old[name]).total()
    assert kernel.answers(new) == before
    for name, text in kernel.saved().items():
        assert counted(text).total() <= counted(old[name]).total()
    assert optimized(new, sets, variant, tmp_path) == new


@pytest.mark.parametrize("seed", SEEDS)
def test_where_rules_that_do_the_same_swap_packets_fare_as_before(rig: Rig, seed: int, tmp_path: Path) -> None:
    pools = Pools(Random(seed))
    files = RandomIptables(pools, _KINDS, most=_MOST).files
    sets = files.pop("ipset.save")
    kernel = Kernel(rig, pools, "legacy", sets)
    before = kernel.answers(files)
    old = kernel.saved()
    new = optimized(old, sets, "legacy", tmp_path, "--passes", "order", "--relax")
    for name, text in new.items():
        assert sorted(text.splitlines()) == sorted(old[name].splitlines())
    assert kernel.answers(new) == before
    for name, text in kernel.saved().items():
        assert counted(text).total() == counted(old[name]).total()


def test_some_of_these_change(rig: Rig, tmp_path: Path) -> None:
    moved = swapped = fewer = dropped = marks = 0
    for seed in SEEDS:
        pools = Pools(Random(seed))
        files = RandomIptables(pools, _KINDS, most=_MOST).files
        sets = files.pop("ipset.save")
        kernel = Kernel(rig, pools, "legacy", sets)
        answers, seen = kernel.answers(files)
        old = kernel.saved()
        ordered = optimized(old, sets, "legacy", tmp_path, "--passes", "order")
        moved += ordered != old
        swapped += optimized(old, sets, "legacy", tmp_path, "--passes", "order", "--relax") != ordered
        fewer += sum(len(text.splitlines()) for text in optimized(old, sets, "legacy", tmp_path).values()) < sum(
            len(text.splitlines()) for text in old.values()
        )
        dropped += sum(one.count(False) for one in answers.values())
        marks += sum(not one.endswith("0x00000000") for one in seen)
    assert moved > len(SEEDS) // 4
    assert swapped > len(SEEDS) // 4
    assert fewer > len(SEEDS) // 2
    assert dropped > 100
    assert marks > 20
