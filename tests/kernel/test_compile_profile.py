"""Compiled rules, loaded, met by traffic of which some of it is most, and compiled again by what they counted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from random import Random

import pytest

from compiler.semantics.packet import TCP, Packet
from tests.kernel.rig import BACKEND, Rig

pytestmark = pytest.mark.kernel

RULES = 240
_FILES = {"nftables": ["netpolc.nft"], "iptables": ["iptables.save", "ip6tables.save"]}


def program(seed: int) -> tuple[str, list[Packet]]:
    """A list of rules about hosts and ports, some of which overlap, and a packet for each."""
    dice = Random(seed)
    lines, packets = [], []
    for n in range(RULES):
        host, port, verb = f"198.18.{n // 100}.{1 + n % 100}", dice.randrange(1, 60_000), dice.choice(["allow", "deny"])
        if n % 40 == 7:  # some of what stands around it is about its hosts and ports
            lines.append(f"  {verb} any -> 198.18.{n // 100}.0/{dice.choice([25, 26])} : tcp/{port}-{port + 5_000}")
        else:
            lines.append(f"  {verb} any -> {host} : tcp/{port}")
        packets.append(Packet("203.0.113.7", host, TCP, dice.randrange(1024, 65_536), port))
    return "\n".join(["forward {", *lines, "  deny any -> 198.18.0.0/15", "}", ""]), packets


def zipf(packets: Sequence[Packet], seed: int) -> list[Packet]:
    """The packets in no order, the one of rank n about 400 / n times."""
    dice = Random(seed)
    ranked = dice.sample(packets, len(packets))
    many = [
        replace(packet, sport=1024 + n) for rank, packet in enumerate(ranked, 1) for n in range(max(1, 400 // rank))
    ]
    return dice.sample(many, len(many))


def compiled(folder: Path, backend: str, *options: str) -> tuple[dict[str, str], str]:
    """What compile writes, in the order of loading, and what it says."""
    command = [sys.executable, "-m", "compiler.cli.main", "compile", str(folder / "edge.np"), "--backend", backend]
    done = subprocess.run([*command, "-o", str(folder / "out"), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = ["ipset.save"] * (backend == "iptables") + _FILES[backend]
    return {name: (folder / "out" / name).read_text() for name in names}, done.stderr


def dumped(rig: Rig, flavour: str, folder: Path, form: str = "") -> list[str]:
    """Options for a profile of what is loaded."""
    if flavour == "nftables":
        commands = [["nft", *["-j"] * (form == "json"), "list", "ruleset"]]
    else:
        variant = flavour.removeprefix("iptables-")
        commands = [[f"{tool}-{variant}-save", "-c"] for tool in ("iptables", "ip6tables")]
    options = []
    for n, command in enumerate(commands):
        path = folder / f"dump{n}"
        path.write_text(rig.namespace.run(*command))
        options += ["--profile", str(path)]
    return options


def rules(files: Mapping[str, str]) -> list[tuple[IPv4Network, int, int]]:
    """Of the list, in their order: blocks and ports."""
    text = files.get("netpolc.nft") or files["iptables.save"]
    found = re.findall(r"(198\.18\.[\d./]+)(?: .*dport (\d+)(?:[-:](\d+))?)? (?:counter|-j|-g)", text)
    return [(IPv4Network(block), int(low or 0), int(high or low or 65_535)) for block, low, high in found]


def comparisons(listed: Sequence[tuple[IPv4Network, int, int]], packets: Sequence[Packet]) -> float:
    """Rules that a packet meets on average up to the first that matches."""

    def met(packet: Packet) -> int:
        address = IPv4Address(packet.dst)
        return next(
            n for n, (block, low, high) in enumerate(listed, 1) if address in block and low <= packet.dport <= high
        )

    return sum(map(met, packets)) / len(packets)


def asked(note: str) -> tuple[float, float]:
    """Rules that a packet is compared with, now and as loaded."""
    found = re.search(r"compared with ([\d.]+) rules instead of ([\d.]+);", note)
    assert found, note
    return float(found[1]), float(found[2])


def test_rules_that_match_often_come_first(rig: Rig, flavour: str, tmp_path: Path) -> None:
    text, packets = program(3)
    (tmp_path / "edge.np").write_text(text)
    backend = BACKEND[flavour]
    first, _ = compiled(tmp_path, backend, "--counters")
    rig.load(first, flavour)
    traffic = zipf(packets, 5)
    fates = rig.forwarded(traffic)
    assert 0 < sum(fates) < len(fates)

    better, said = compiled(tmp_path, backend, *dumped(rig, flavour, tmp_path))
    assert "proved to be the best order" in said
    assert better["netpolc.nft" if flavour == "nftables" else "iptables.save"].splitlines()[1].startswith("# Proved: ")
    now, loaded = asked(said)
    before, after = rules(first), rules(better)
    assert len(before) == RULES + 1
    assert sorted(before) == sorted(after)
    assert loaded == pytest.approx(comparisons(before, traffic), abs=0.051)
    assert now == pytest.approx(comparisons(after, traffic), abs=0.051)
    assert now < loaded / 2

    rig.reset()
    rig.load(better, flavour)
    assert rig.forwarded(traffic) == fates
    again, said = compiled(tmp_path, backend, *dumped(rig, flavour, tmp_path))
    assert again == better
    assert asked(said) == (now, now)


@pytest.mark.parametrize("flavour", ["nftables"])
def test_nft_tells_the_same_in_json(rig: Rig, flavour: str, tmp_path: Path) -> None:
    text, packets = program(4)
    (tmp_path / "edge.np").write_text(text)
    rig.load(compiled(tmp_path, "nftables", "--counters")[0], flavour)
    rig.forwarded(zipf(packets, 6))
    by_text, by_json = (compiled(tmp_path, "nftables", *dumped(rig, flavour, tmp_path, form)) for form in ("", "json"))
    assert json.loads((tmp_path / "dump0").read_text())
    assert by_text == by_json


def test_what_is_loaded_stays_for_a_small_gain(rig: Rig, flavour: str, tmp_path: Path) -> None:
    """Other traffic comes: a high threshold keeps the order of before, which no compile without it makes."""
    text, packets = program(5)
    (tmp_path / "edge.np").write_text(text)
    backend = BACKEND[flavour]
    rig.load(compiled(tmp_path, backend, "--counters", "--no-prove")[0], flavour)
    rig.forwarded(zipf(packets, 7))
    better, _ = compiled(tmp_path, backend, *dumped(rig, flavour, tmp_path), "--no-prove")
    rig.reset()
    rig.load(better, flavour)
    rig.forwarded(zipf(packets, 8))
    dumps = dumped(rig, flavour, tmp_path)
    kept, said = compiled(tmp_path, backend, *dumps, "--threshold", "99", "--no-prove")
    assert kept == better
    assert "\nnote: 0 of " in said
    other, _ = compiled(tmp_path, backend, *dumps, "--no-prove")
    assert other != better
