"""The lists of a program: in which order their items are asked, at which hooks, and how a rule of them is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compiler.resources.language import Item, Opaque, PolicyBlock, Program, Rule, ThisNode, Within
from compiler.semantics.diagrams.space import Path
from compiler.semantics.proof.case import Decided
from compiler.semantics.proof.program_ends import names

_EVERY = frozenset(Path)
_HOOKS = {"input": Path.INPUT, "forward": Path.FORWARD, "output": Path.OUTPUT}

#: The name of a list, and the number of an item there.
Label = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """An item where it stands: `where` and `index` as in `Decided`, `label` tells all items of a program apart, `inner`
    are those of a nested list. It is asked on the `paths`."""

    where: str
    index: int
    label: Label
    item: Item
    paths: frozenset[Path]
    inner: tuple[Placed, ...] = ()

    @property
    def decided(self) -> Decided:
        return Decided(self.where, self.index, self.item)

    def every(self) -> Iterator[Placed]:
        """Itself, and all inside of it."""
        yield self
        for one in self.inner:
            yield from one.every()


@dataclass(frozen=True, slots=True)
class Lists:
    """`blocks`: those of the admin tier, one list; `own`: of the node itself, asked in INPUT and OUTPUT, rules of a
    failsafe in front, and `forward`; `packets` and `forward_packets` are about every packet, replies too."""

    blocks: tuple[Placed, ...]
    own: tuple[Placed, ...]
    forward: tuple[Placed, ...]
    packets: tuple[Placed, ...]
    forward_packets: tuple[Placed, ...]

    def last(self, path: Path) -> tuple[Placed, ...]:
        """The list behind policies."""
        return self.forward if path is Path.FORWARD else self.own

    def first(self, path: Path) -> tuple[Placed, ...]:
        """The list in front of everything."""
        return self.forward_packets if path is Path.FORWARD else self.packets

    def asked(self, path: Path) -> Iterator[Placed]:
        """The items that may be asked on the path, in their order."""
        items = (one for top in (*self.first(path), *self.blocks, *self.last(path)) for one in top.every())
        return (one for one in items if path in one.paths)

    def every(self) -> Iterator[Placed]:
        """All items, list by list."""
        for one in (*self.blocks, *self.own, *self.forward, *self.packets, *self.forward_packets):
            yield from one.every()


def lists(program: Program, blocks: Sequence[PolicyBlock], failsafe: Sequence[Rule] = ()) -> Lists:
    """`blocks`: of the admin tier, in their order. The failsafe stands in front of both lists of the node: where
    nothing would stop what it lets pass, it says nothing new."""
    placing = _Placing("blocks")
    found = [one for block in blocks for one in placing.of(block.rules, f"policy {block.name}", _EVERY)]
    packets = _OfNode("failsafe packets").of(failsafe, "failsafe") if program.node_packets else ()
    return Lists(
        tuple(found),
        (*_OfNode("failsafe").of(failsafe, "failsafe"), *_OfNode("node").of(program.node, "node")),
        tuple(_Placing("forward").of(program.forward, "forward", _EVERY)),
        (*packets, *_OfNode("node packets").of(program.node_packets, "node packets")),
        tuple(_Placing("forward packets").of(program.forward_packets, "forward packets", _EVERY)),
    )


class _Placing:
    """Numbers the items of one list; those of nested lists follow their heads."""

    def __init__(self, name: str) -> None:
        self._name, self._number = name, 0

    def of(self, items: Iterable[Item], where: str, paths: frozenset[Path]) -> Iterator[Placed]:
        for n, item in enumerate(items):
            label = (self._name, self._number)
            self._number += 1
            asked = self._asked(item, paths)
            inner = tuple(self.of(item.items, f"{where} rule[{n}]", asked)) if isinstance(item, Within) else ()
            yield Placed(where, n, label, item, asked, inner)

    def _asked(self, item: Item, around: frozenset[Path]) -> frozenset[Path]:
        return around


class _OfNode(_Placing):
    """In INPUT those are asked whose target says `self`, in OUTPUT those whose source does, and all that is inside of
    such a head."""

    def of(self, items: Iterable[Item], where: str, paths: frozenset[Path] = _EVERY) -> Iterator[Placed]:
        return super().of(items, where, paths)

    def _asked(self, item: Item, around: frozenset[Path]) -> frozenset[Path]:
        if isinstance(item, Opaque):
            return around & {_HOOKS[item.hook]} if item.hook else around
        if around != _EVERY:
            return around
        sides = ((Path.INPUT, item.target), (Path.OUTPUT, item.source))
        return frozenset(path for path, end in sides if names(end, ThisNode))
