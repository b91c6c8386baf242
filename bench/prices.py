"""What one comparison costs a packet, by kind of match and tool: the figures of `compiler/ordering/prices.py`.

    python -m bench.prices [--quick] [--rounds N] [--rules N]

Needs root and a netfilter kernel. Packets pass the FORWARD hook of a node as in `bench.packets`, through a chain of
some hundred rules of one kind none of which matches; the baseline is the same node without them, in the same round, so
the difference divided by the number of rules is one comparison. *ns*: median of the rounds with its quartiles; *price*:
what the compiler's table says for it, in tenths of a nanosecond.
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

from bench.layouts import Flavour
from bench.wire import Flow, Node, Packets
from compiler.ordering.prices import JUMP, NOTHING, Kind, Tool, price

#: Packets are sent in short bursts: work of a few milliseconds would be left to ksoftirqd, which shares the CPU.
_RULES, _ROUNDS, _BURST, _BURSTS = 400, 25, 40, 20
_TOOLS = {
    Flavour.LEGACY: Tool.IPTABLES_LEGACY,
    Flavour.IPTABLES_NFT: Tool.IPTABLES_NFT,
    Flavour.NFT: Tool.NFTABLES,
}
_MEMBERS = 1_000
_PORTS_LISTED = ",".join(str(port) for port in range(1, 16))

#: Questions that none of the packets answers with yes, for the rule of a number: as iptables has them, and as nft.
_ASKED: Mapping[Kind, tuple[Callable[[int], str], Callable[[int], str]]] = {
    Kind.ADDRESS: (lambda n: f"-s {_other(n)}", lambda n: f"ip saddr {_other(n)}"),
    Kind.PREFIX: (lambda n: f"-s {_other(n * 256)}/24", lambda n: f"ip saddr {_other(n * 256)}/24"),
    Kind.PROTOCOL: (lambda _: "-p tcp", lambda _: "meta l4proto tcp"),
    Kind.PORT: (lambda n: f"-p udp -m udp --dport {n + 1}", lambda n: f"udp dport {n + 1}"),
    Kind.PORT_RANGE: (
        lambda n: f"-p udp -m udp --dport {n + 1}:{n + 9}",
        lambda n: f"udp dport {n + 1}-{n + 9}",
    ),
    Kind.PORT_LIST: (
        lambda _: f"-p udp -m multiport --dports {_PORTS_LISTED}",
        lambda _: f"udp dport {{ {_PORTS_LISTED} }}",
    ),
    Kind.STATE: (lambda _: "-m conntrack --ctstate UNTRACKED", lambda _: "ct state untracked"),
    Kind.MARK: (lambda n: f"-m mark --mark {n + 1}", lambda n: f"meta mark {n + 1}"),
    Kind.INTERFACE: (lambda n: f"-i other{n}", lambda n: f'iifname "other{n}"'),
    Kind.SET: (lambda _: "-m set --match-set others src", lambda _: "ip saddr @others"),
    Kind.ADDRESS_TYPE: (lambda _: "-m addrtype --dst-type LOCAL", lambda _: "fib daddr type local"),
}


@dataclass(slots=True)
class Contender:
    """A chain of one kind on its node; nanoseconds a packet, one value a round."""

    node: Node
    nanoseconds: list[float] = field(default_factory=list)

    def visit(self, packets: Packets) -> None:
        times = [self.node.send(packets, 0, _BURST, True) for _ in range(_BURSTS)]
        self.nanoseconds.append(min(times) / _BURST)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.prices", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rules")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--rules", type=int)
    options = parser.parse_args(arguments)
    rounds, rules = (
        options.rounds or (5 if options.quick else _ROUNDS),
        options.rules or (100 if options.quick else _RULES),
    )
    print(f"# Linux {platform.release()}, {os.cpu_count()} CPUs, {rules} rules a chain, {rounds} rounds")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    gc.disable()
    print(f"{'tool':<16} {'kind':<18} {'ns':>7}  {'quartiles':<13} {'price':>6}")
    for flavour in Flavour:
        _measure(flavour, rules, rounds)


def _measure(flavour: Flavour, rules: int, rounds: int) -> None:
    """The tool's part of the table."""
    tool = _TOOLS[flavour]
    packets = Packets.of([Flow(0xAC100001 + n, 0x0A000005, 20_000 + n, 8080) for n in range(_BURST)])
    chains, known = _chains(tool, rules)
    found = {name: Contender(_loaded(flavour, lines)) for name, lines in chains.items()}
    draw = random.Random(1)
    for _ in range(rounds):
        for contender in draw.sample(list(found.values()), len(found)):
            contender.visit(packets)
    baseline = found["none"].nanoseconds
    for name, contender in found.items():
        contender.node.close()
        if name != "none":
            each = [(one - none) / rules for one, none in zip(contender.nanoseconds, baseline, strict=True)]
            low, middle, high = statistics.quantiles(each, n=4, method="inclusive")
            spread = f"{low:.1f}-{high:.1f}"
            print(f"{tool.value:<16} {name:<18} {middle:>7.1f}  {spread:<13} {known[name]:>6}", flush=True)


def _chains(tool: Tool, rules: int) -> tuple[dict[str, list[str]], dict[str, int]]:
    """By name of what is measured: rules in the words of a tool, and their price in the compiler's table."""
    words = 1 if tool is Tool.NFTABLES else 0
    drop = ("-j DROP", "drop")[words]
    chains: dict[str, list[str]] = {"none": []}
    for kind, asked in _ASKED.items():
        chains[kind.value] = [f"{asked[words](n)} {drop}" for n in range(rules)]
    five = (
        "-s {} -d 10.0.0.1 -p udp -m udp --dport 53 -m mark --mark 1",
        "ip saddr {} ip daddr 10.0.0.1 udp dport 53 meta mark 1",
    )[words]
    chains["address and 3 more"] = [f"{five.format(_other(n))} {drop}" for n in range(rules)]
    chains["nothing"] = [("", "counter")[words]] * rules
    chains["jump"] = [("-j empty", "jump empty")[words]] * rules
    known = {kind.value: price(tool, [kind]) for kind in Kind}
    known["address and 3 more"] = price(tool, [Kind.ADDRESS, Kind.ADDRESS, Kind.PORT, Kind.MARK])
    known |= {"nothing": NOTHING[tool], "jump": JUMP[tool]}
    return chains, known


def _loaded(flavour: Flavour, lines: Sequence[str]) -> Node:
    """A node whose FORWARD hook has these rules behind one that asks conntrack, which all of them have loaded so."""
    node = Node()
    members = [_other(1 << 20 | n) for n in range(_MEMBERS)]
    if flavour is Flavour.NFT:
        body = ["table ip priced {", "set others {", "type ipv4_addr", f"elements = {{ {', '.join(members)} }}", "}"]
        body += [
            "chain empty {",
            "}",
            "chain forward {",
            "type filter hook forward priority filter",
            "ct state invalid drop",
        ]
        node.run("nft", "-f", "-", text="\n".join([*body, *lines, "}", "}", ""]))
        return node
    sets = ["create others hash:ip family inet", *(f"add others {member}" for member in members)]
    node.run("ipset", "restore", text="\n".join([*sets, ""]))
    first = "-A FORWARD -m conntrack --ctstate INVALID -j DROP"
    text = ["*filter", ":empty - [0:0]", first, *(f"-A FORWARD {line}" for line in lines), "COMMIT", ""]
    node.run(f"{flavour.value}-restore", text="\n".join(text))
    return node


def _other(number: int) -> str:
    """An address that no packet has."""
    value = 0xC0000000 + number
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


if __name__ == "__main__":
    main()
