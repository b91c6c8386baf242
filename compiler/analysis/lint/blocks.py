"""Blocks of addresses that pods hold."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from compiler.analysis.lint.findings import Finding, Level, World, listed
from compiler.net import Prefix, parse_address
from compiler.policy import Block


def block_over_pods(world: World) -> Iterator[Finding]:
    """A block in which pods have addresses: it matches them too, whatever selectors say. Of a block that is the
    whole address space that may well be meant."""
    held = []
    for pod in world.pods:
        for text in pod.ips if pod.holds_addresses else ():
            family, value = parse_address(text)
            held.append((Prefix(family.value, value, family.bits), f"{text} ({pod.namespace}/{pod.name})"))
    held.sort()
    for entry in world.entries:
        for direction, index, _ in entry.rules():
            for peer, path in entry.peers(direction, index):
                if not isinstance(peer, Block):
                    continue
                first, size = peer.prefix, 1 << peer.prefix.family.bits - peer.prefix.length
                begin = bisect_left(held, ((first.version, first.base, 0), ""))
                end = bisect_left(held, ((first.version, first.base + size, 0), ""))
                inside = [name for at, name in held[begin:end] if not any(c.covers(at) for c in peer.excepts)]
                if inside:
                    level = Level.INFO if peer.prefix.length == 0 else Level.WARNING
                    text = f"{peer} matches pods too: {listed(inside)}"
                    yield entry.finding(level, "block-over-pods", text, path)
