"""Lists of rules of which the first match counts, as the benches of orders and proofs take them. Seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from compiler.net import TCP, UDP, Family, address_text

_PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": 1}
_EXACT_PORTS = (22, 25, 53, 80, 110, 161, 443, 1433, 1521)
_WIDE_PORTS = ((1024, 65535), (0, 1023), (5000, 5999), (6000, 6063))
_POD_PORTS = (53, 80, 443, 5432, 8080, 9090)
_RULES_A_POD = 100


@dataclass(frozen=True, slots=True)
class Block:
    """An IPv4 prefix."""

    base: int
    length: int

    def interval(self) -> tuple[int, int]:
        return self.base, self.base | (1 << 32 - self.length) - 1

    def __str__(self) -> str:
        return f"{address_text(Family.IPV4, self.base)}/{self.length}"


@dataclass(frozen=True, slots=True)
class ListedRule:
    """None where the rule does not ask; `ports` are destination ports, inclusive."""

    source: Block | None
    destination: Block | None
    protocol: str
    ports: tuple[int, int] | None
    verdict: str

    def box(self) -> tuple[tuple[int, int], ...]:
        """As intervals of source, destination, protocol, port."""
        everywhere = Block(0, 0)
        protocol = (_PROTOCOLS[self.protocol],) * 2 if self.protocol else (0, 255)
        return (
            (self.source or everywhere).interval(),
            (self.destination or everywhere).interval(),
            protocol,
            self.ports or (0, 65535),
        )

    def __str__(self) -> str:
        """As iptables has it, without the chain."""
        words = [f"-s {self.source}"] * bool(self.source) + [f"-d {self.destination}"] * bool(self.destination)
        words += [f"-p {self.protocol}"] * bool(self.protocol)
        if self.ports:
            low, high = self.ports
            words.append(f"-m {self.protocol} --dport {low}" + f":{high}" * (low != high))
        return " ".join([*words, f"-j {self.verdict}"])


def classbench(draw: random.Random, count: int) -> Iterator[ListedRule]:
    """As ClassBench makes them: prefixes that nest, few wildcards, exact ports and ranges."""
    sources, destinations = (list(_blocks(draw, count // share)) for share in (3, 4))
    for _ in range(count):
        source = draw.choice(sources) if draw.random() < 0.85 else None
        destination = draw.choice(destinations) if draw.random() < 0.92 or not source else None
        protocol = draw.choices(("tcp", "udp", "icmp", ""), (60, 25, 5, 10))[0]
        ports = _ports(draw) if protocol in ("tcp", "udp") else None
        verdict = draw.choices(("ACCEPT", "DROP"), (70, 30))[0]
        yield ListedRule(source, destination, protocol, ports, verdict)


def _ports(draw: random.Random) -> tuple[int, int] | None:
    low = draw.randrange(65000)
    exact = (draw.choice(_EXACT_PORTS),) * 2
    wide = draw.choice(_WIDE_PORTS)
    return draw.choices((exact, wide, (low, low + draw.randrange(200)), None), (50, 20, 10, 20))[0]


def _blocks(draw: random.Random, count: int) -> Iterator[Block]:
    lengths, weights = (8, 12, 16, 20, 22, 24, 25, 26, 27, 28, 30, 32), (2, 2, 6, 5, 8, 24, 5, 5, 8, 8, 6, 40)
    known: list[Block] = []
    for _ in range(count):
        length, base = draw.choices(lengths, weights)[0], draw.getrandbits(32)
        if known and draw.random() < 0.6:
            outer = draw.choice(known)
            length = max(length, outer.length)
            base = outer.base | base & (1 << 32 - outer.length) - 1
        known.append(Block(base >> 32 - length << 32 - length, length))
        yield known[-1]


def kubernetes(draw: random.Random, count: int) -> Iterator[ListedRule]:
    """What NetworkPolicies come to in one chain: for each pod its peers, most of them pods, some of them blocks inside
    of the cluster and outside, then the node, then nobody."""
    for n in range(max(1, count // _RULES_A_POD)):
        pod = Block(0x0A000001 + n, 32)
        for _ in range(min(count, _RULES_A_POD) - 2):
            port = (draw.choice(_POD_PORTS),) * 2
            yield ListedRule(_peer(draw), pod, "tcp", port, "ACCEPT")
        yield ListedRule(Block(0xC0A80001, 32), pod, "", None, "ACCEPT")
        yield ListedRule(None, pod, "", None, "DROP")


def _peer(draw: random.Random) -> Block:
    kind = draw.random()
    length = 32 if kind < 0.9 else draw.choice((12, 16, 20, 24, 28) if kind < 0.95 else (20, 22, 24, 28))
    base = draw.getrandbits(32) if 0.9 <= kind < 0.95 else 0x0AF40000 + draw.randrange(1 << 16)
    return Block(base >> 32 - length << 32 - length, length)


def zipf(draw: random.Random, count: int) -> list[int]:
    """How often each rule matches, as integers: the rule of rank n so often as the first divided by n; ranks are dealt
    at random."""
    ranks = draw.sample(range(1, count + 1), count)
    return [10**12 // rank for rank in ranks]
