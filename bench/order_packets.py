"""What the order of rules saves in the kernel, beside what it should save.

    python -m bench.order_packets [--quick] [--rounds N]

Needs root and a netfilter kernel. A chain of 1,000 rules, one for each source address, and packets from these addresses
by Zipf's law (exponent 1). They pass the chain as it is written once; its counters, as iptables-save -c prints them,
give the new order (`compiler/optimizing`). Then the orders take turns, on a node each: as written, at random, and by
frequency. *added*: nanoseconds a packet more than without rules (packets go in short bursts; of each the best of the
rounds). *saving*: added at random divided by added, *theory* the same of comparisons, *reached* the one as a
part of the other.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.layouts import Flavour
from bench.wire import Flow, Node, Packets
from compiler.net import Family, address_text
from compiler.optimizing.readers import iptables_rules
from compiler.optimizing.reorder import reorder
from compiler.ordering.prices import Tool
from grammar.source import Source

_RULES, _PACKETS, _BURST, _ROUNDS = 1_000, 2_000, 40, 15
_FIRST = 0xAC100001


@dataclass(slots=True)
class Contender:
    """A chain on its node, None for no rules; nanoseconds of every burst, one list a round."""

    node: Node
    rows: Sequence[int] | None
    nanoseconds: list[list[int]] = field(default_factory=list)

    def visit(self, packets: Packets) -> None:
        offsets = range(0, packets.count, _BURST)
        self.nanoseconds.append([self.node.send(packets, first, _BURST, True) for first in offsets])

    def each(self) -> float:
        """Nanoseconds a packet."""
        bursts = zip(*self.nanoseconds, strict=True)
        return statistics.fmean(map(min, bursts)) / _BURST


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.order_packets", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args(arguments)
    rounds = options.rounds or (6 if options.quick else _ROUNDS)
    print(f"# Linux {platform.release()}, {os.cpu_count()} CPUs, {_RULES} rules, {_PACKETS} packets, {rounds} rounds")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.disable()
    draw = random.Random(1)
    written = draw.sample(range(_RULES), _RULES)  # rank 0 matches most
    shares = [1 / (1 + rank) for rank in range(_RULES)]
    sent = draw.choices(range(_RULES), shares, k=_PACKETS)
    packets = Packets.of([Flow(_FIRST + rank, 0x0A000005, 20_000, 8080) for rank in sent])
    rows = {
        "at random": draw.sample(written, _RULES),
        "as written": written,
        "by frequency": _learned(written, packets),
    }
    print(f"{'tool':<16} {'order':<14} {'comparisons':>11} {'added':>7} {'saving':>7} {'theory':>7} {'reached':>8}")
    for flavour in Flavour:
        _measure(flavour, rows, sent, packets, rounds)


def _learned(written: Sequence[int], packets: Packets) -> list[int]:
    """The order that comes of the counters which these packets leave."""
    node = Node()
    _load(node, Flavour.LEGACY, written)
    for first in range(0, packets.count, _BURST):
        node.send(packets, first, _BURST, True)
    saved = node.run("iptables-legacy-save", "-c")
    node.close()
    text = reorder(iptables_rules.listing(Source("iptables-legacy-save", saved), Tool.IPTABLES_LEGACY)).text
    addresses = {_address(rank): rank for rank in written}
    return [addresses[found] for found in re.findall(r"-A FORWARD -s (\S+)/32", text)]


def _measure(
    flavour: Flavour, rows: Mapping[str, Sequence[int]], sent: Sequence[int], packets: Packets, rounds: int
) -> None:
    """The tool's part of the table."""
    found = {name: Contender(_loaded(flavour, row), row) for name, row in {"none": None, **rows}.items()}
    draw = random.Random(1)
    for _ in range(rounds):
        for contender in draw.sample(list(found.values()), len(found)):
            contender.visit(packets)
    none = found.pop("none")
    compared, added = {}, {}
    for name, contender in found.items():
        place = {rank: n for n, rank in enumerate(contender.rows or (), 1)}
        compared[name] = statistics.fmean(place[rank] for rank in sent)
        added[name] = contender.each() - none.each()
        saving, theory = added["at random"] / added[name], compared["at random"] / compared[name]
        figures = f"{compared[name]:>11.1f} {added[name]:>7.0f} {saving:>7.2f} {theory:>7.2f} {saving / theory:>8.2f}"
        print(f"{flavour.value:<16} {name:<14} {figures}", flush=True)
        contender.node.close()
    none.node.close()


def _loaded(flavour: Flavour, row: Sequence[int] | None) -> Node:
    node = Node()
    _load(node, flavour, row or ())
    return node


def _load(node: Node, flavour: Flavour, row: Sequence[int]) -> None:
    """Behind a rule that asks conntrack, so that all nodes have it."""
    if flavour is Flavour.NFT:
        rules = [f"ip saddr {_address(rank)} accept" for rank in row]
        head = ["table ip ordered {", "chain forward {", "type filter hook forward priority filter"]
        node.run("nft", "-f", "-", text="\n".join([*head, "ct state invalid drop", *rules, "}", "}", ""]))
    else:
        lines = [f"-A FORWARD -s {_address(rank)}/32 -j ACCEPT" for rank in row]
        invalid = "-A FORWARD -m conntrack --ctstate INVALID -j DROP"
        node.run(f"{flavour.value}-restore", text="\n".join(["*filter", invalid, *lines, "COMMIT", ""]))


def _address(rank: int) -> str:
    return address_text(Family.IPV4, _FIRST + rank)


if __name__ == "__main__":
    main()
