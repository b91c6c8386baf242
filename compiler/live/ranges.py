"""Which addresses of the node's pod ranges somebody has (`resolve.unknown`), kept up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from compiler.net import Family, Prefix, parse_address
from compiler.resolve.unknown import Ranges, blocks, has_address, is_inside
from compiler.resources.cluster import Node, Pod


class LiveRanges:
    """`moved`: whether anything has changed since somebody set it back. Nothing is counted while there are no
    ranges."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families
        self._blocks: dict[Family, tuple[Prefix, ...]] = {}
        self._holders: dict[tuple[Family, int], int] = {}
        self.moved = False

    def now(self) -> dict[Family, Ranges]:
        """The ranges, with everybody who has an address in them."""
        return {
            family: Ranges(own, tuple(sorted(value for kind, value in self._holders if kind is family)))
            for family, own in self._blocks.items()
        }

    def set_blocks(self, node: Node | None, pods: Iterable[Pod], nodes: Iterable[Node]) -> None:
        """Takes the ranges of the node; when they are others, looks who has addresses there."""
        own = {} if node is None else blocks(node, self._families)
        if own != self._blocks:
            self._blocks, self._holders, self.moved = own, {}, True
            for pod in pods:
                self.pod(None, pod)
            for one in nodes:
                self.node(None, one)

    def pod(self, old: Pod | None, new: Pod | None) -> None:
        """One pod was, and is now."""
        if self._blocks:
            was, now = (pod.ips if pod is not None and has_address(pod) else () for pod in (old, new))
            self._count(was, now)

    def node(self, old: Node | None, new: Node | None) -> None:
        """One node was, and is now."""
        if self._blocks:
            was, now = (node.ips if node is not None else () for node in (old, new))
            self._count(was, now)

    def _count(self, was: Sequence[str], now: Sequence[str]) -> None:
        if was == now:
            return
        for ips, step in ((was, -1), (now, 1)):
            for family, value in map(parse_address, ips):
                if is_inside(self._blocks.get(family, ()), family, value):
                    before = self._holders.get((family, value), 0)
                    self._holders[family, value] = before + step
                    if not before + step:
                        del self._holders[family, value]
                    self.moved |= not before or not before + step


def with_ranges(nodes: Mapping[str, Node], name: str | None, ranges: Sequence[str]) -> Mapping[str, Node]:
    """The nodes, that one with these pod ranges, where there are any."""
    if not ranges or name is None:
        return nodes
    known = nodes.get(name, Node(name))
    return {**nodes, name: Node(name, known.labels, known.ips, tuple(ranges), known.external)}
