"""What rules of nft cost packets that match none of them, in the kernel: as written, and as one rule with a set.

`python -m bench.sets`, as root. Rules that differ in an address, a block, a port or in both ends and the port become
one (`compiler/optimizing/passes/nftables_sets`); nanoseconds are what a packet pays more than without any of these
rules. Nodes take turns, and of each burst of packets the fastest round counts.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.wire import Flow, Node, Packets
from compiler.net import Family, address_text
from compiler.optimizing.passes.simplify import Pass, simplify
from compiler.optimizing.readers.nftables_rules import listing
from grammar.source import Source

_PACKETS, _BURST, _ROUNDS = 1_000, 40, 15
_FIRST, _SENDERS = 0xAC100000, 0xAC300001
_COUNTS = (10, 30, 100, 1_000)


def _address(number: int) -> str:
    return address_text(Family.IPV4, _FIRST + number)


#: A rule of each kind by its number; no packet of ours matches one.
_KINDS: Mapping[str, Callable[[int], str]] = {
    "address": lambda n: f"ip saddr {_address(n)} accept",
    "block": lambda n: f"ip saddr {_address(4 * n)}/31 accept",
    "port": lambda n: f"tcp dport {n + 1} accept",
    "pair and port": lambda n: f"ip saddr {_address(n)} ip daddr {_address(n + 7)} tcp dport {n + 1} accept",
}


@dataclass(slots=True)
class _Contender:
    node: Node
    nanoseconds: list[list[int]] = field(default_factory=list)

    def visit(self, packets: Packets) -> None:
        offsets = range(0, packets.count, _BURST)
        self.nanoseconds.append([self.node.send(packets, first, _BURST, True) for first in offsets])

    def each(self) -> float:
        """Nanoseconds a packet."""
        return statistics.fmean(map(min, zip(*self.nanoseconds, strict=True))) / _BURST


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.sets", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args(arguments)
    rounds = 5 if options.quick else _ROUNDS
    print(
        f"# Linux {platform.release()}, {os.cpu_count()} CPUs, {_PACKETS} packets that match no rule, {rounds} rounds"
    )
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.disable()
    packets = Packets.of([Flow(_SENDERS + n, 0x0A000005, 20_000, 8080) for n in range(_PACKETS)])
    print(f"{'rules that differ in':<20} {'rules':>6} {'ns':>7} {'as':>5} {'ns':>7}")
    for kind, rule in _KINDS.items():
        texts = {count: _text([rule(n) for n in range(count)]) for count in _COUNTS}
        _measure(kind, texts, packets, rounds)


def _text(rules: Sequence[str]) -> str:
    """Behind a rule that asks conntrack, so that all nodes have it."""
    head = ["table ip t {", "chain c {", "type filter hook forward priority filter", "ct state invalid drop"]
    return "\n".join([*head, *rules, "}", "}", ""])


def _measure(kind: str, texts: Mapping[int, str], packets: Packets, rounds: int) -> None:
    """A kind's part of the table."""
    new = {
        count: simplify(listing(Source("x.nft", text)), [Pass.SETS]).listing.written() for count, text in texts.items()
    }
    found = {(0, False): _loaded(_text([]))}
    for count in texts:
        found |= {(count, False): _loaded(texts[count]), (count, True): _loaded(new[count])}
    draw = random.Random(1)
    for _ in range(rounds):
        for contender in draw.sample(list(found.values()), len(found)):
            contender.visit(packets)
    none = found[0, False].each()
    for count in texts:
        before, after = (found[count, one].each() - none for one in (False, True))
        print(f"{kind:<20} {count:>6} {before:>7.0f} {new[count].count('accept'):>5} {after:>7.0f}", flush=True)
    for contender in found.values():
        contender.node.close()


def _loaded(text: str) -> _Contender:
    node = Node()
    node.run("nft", "-f", "-", text=text)
    return _Contender(node)


if __name__ == "__main__":
    main()
