"""Imported rules in the kernel: what the rules do to packets, the program that they became does, too."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from compiler.backends.target import Backend, Target
from compiler.cli.importing import written
from compiler.net import TCP, UDP, Family
from compiler.pipeline import Compiler
from compiler.semantics.packet import ICMP, Packet
from compiler.snapshot import build
from tests.kernel.rig import BACKEND, NODE, Rig

pytestmark = pytest.mark.kernel

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "import"
#: What their interfaces are in the rig: packets come by `tin` and leave by `tout`.
INTERFACES: dict[str, dict[str, str]] = {
    "docker.save": {"br-4f3c2b1a0d9e": "tout", "eth0": "tin"},
    "shorewall.save": {"eth1": "tin", "eth2": "tout"},
    "vpn-gateway.save": {"wg0": "tin", "eth0": "tout"},
}
_PACKETS = 300


def of_rig(name: str) -> str:
    text = (FIXTURES / name).read_text()
    for theirs, ours in INTERFACES[name].items():
        text = re.sub(rf"(?<= ){theirs}(?= )", ours, text)
    return text


def recompiled(name: str, text: str, backend: Backend) -> Mapping[str, str]:
    found, _, program = written([(name, text)], None)
    families = tuple(Family(version) for version in found.versions)
    return Compiler((), build((), (), ()), program, None).compile(Target(backend, None, families)).files


def probes(text: str, seed: int, to: str = "") -> list[Packet]:
    """For each packet some rule has addresses, protocol or port, and others of the text have what it does not."""
    dice = random.Random(seed)
    rules = [line for line in text.split("\n") if line.startswith("-A")]
    ends = ["198.51.100.200", "10.77.7.7", *filter(None, (_end(rule, "[sd]") for rule in rules))]
    ports = [4242, *filter(None, map(_port, rules))]
    found = []
    for number in range(_PACKETS):
        rule, again = dice.choice(rules), dice.choice(rules)
        source = _end(rule, "s") or dice.choice(ends)
        target = to or _end(rule, "d") or _end(again, "d") or dice.choice(ends)
        kind = re.search(r"-p (tcp|udp|icmp)", rule)
        proto = {"tcp": TCP, "udp": UDP, "icmp": ICMP}[kind[1]] if kind else dice.choice((TCP, UDP))
        port = 0 if proto == ICMP else _port(rule) or _port(again) or dice.choice(ports)
        if source != target:
            found.append(Packet(source, target, proto, 20000 + number, port))
    return found


def _end(rule: str, which: str) -> str:
    """An address of the network that the rule names, that a machine can have."""
    found = re.search(rf"(?<!! )-{which} (\S+)", rule)
    if found is None:
        return ""
    net = ip_network(found[1], strict=False)
    usual = not (net.is_multicast or net.is_loopback or net.is_link_local or found[1][:2] in ("0.", "25"))
    return str(net[min(7, net.num_addresses - 1)]) if usual else ""


def _port(rule: str) -> int:
    found = re.search(r"--dports? (\d+)", rule)
    return int(found[1]) if found else 0


def ends_of(raw: bytes | None) -> tuple[bytes, bytes] | None:
    """Addresses, and of TCP and UDP the destination port, of what came out."""
    return None if raw is None else (raw[12:20], raw[22:24] if raw[9] in (TCP, UDP) else b"")


@pytest.mark.parametrize("name", INTERFACES)
def test_packets_fare_alike(rig: Rig, flavour: str, name: str) -> None:
    """Of iptables' rules; nftables has those of which nothing stays in iptables' own words."""
    if flavour == "nftables" and name != "docker.save":
        flavour = "iptables-legacy"
    text = of_rig(name)
    asked = {"forwarded": probes(text, 1), "delivered": probes(text, 2, NODE[0]), "sent": []}
    rig.load({"iptables.save": text}, flavour if flavour != "nftables" else "iptables-legacy")
    before = {way: rig.came_out(way, some) for way, some in asked.items() if some}
    rig.reset()
    rig.load(recompiled(name, text, Backend(BACKEND[flavour])), flavour)
    for way, theirs in before.items():
        ours = rig.came_out(way, asked[way])
        differ = [
            packet
            for packet, one, two in zip(asked[way], theirs, ours, strict=True)
            if (one is None) != (two is None) or (way == "forwarded" and ends_of(one) != ends_of(two))
        ]
        assert not differ, f"{way}: {differ[:3]}"
    every = [raw for theirs in before.values() for raw in theirs]
    assert 5 < sum(raw is None for raw in every) < len(every) - 5
