"""The lists of a program: in which order their items are asked, at which hooks, and how a rule of them is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compiler.resources.language import PolicyBlock, Program, Rule, ThisNode, every_rule
from compiler.semantics.diagrams.space import Path
from compiler.semantics.proof.case import Decided
from compiler.semantics.proof.program_ends import names

_EVERY = frozenset(Path)
_OF_NODE = frozenset({Path.INPUT, Path.OUTPUT})

#: The name of a list, and the number of an item there.
Label = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """An item where it stands: `where` and `index` as in `Decided`, `label` tells all items of a program apart. It is
    asked on the `paths`."""

    where: str
    index: int
    label: Label
    item: Rule
    paths: frozenset[Path]

    @property
    def decided(self) -> Decided:
        return Decided(self.where, self.index, self.item)


@dataclass(frozen=True, slots=True)
class Lists:
    """`blocks`: those of the admin tier, one list; of the `own` those of the node itself are asked in INPUT and OUTPUT,
    rules of a failsafe in front."""

    blocks: tuple[Placed, ...]
    own: tuple[Placed, ...]

    def every(self) -> Iterator[Placed]:
        """All items, in the order of the lists."""
        yield from (*self.blocks, *self.own)


def lists(program: Program, blocks: Sequence[PolicyBlock], failsafe: Sequence[Rule] = ()) -> Lists:
    """`blocks`: of the admin tier, in their order."""
    found: list[Placed] = []
    for block in blocks:
        found += _placed(every_rule(block.rules), f"policy {block.name}", "blocks", len(found), _EVERY)
    saved = _placed(failsafe, "failsafe", "failsafe", 0, _OF_NODE)
    return Lists(tuple(found), (*saved, *_placed(every_rule(program.node), "node", "node", 0, _OF_NODE)))


def _placed(items: Iterable[Rule], where: str, name: str, first: int, paths: frozenset[Path]) -> Iterator[Placed]:
    for n, item in enumerate(items):
        own = paths if paths is not _OF_NODE else frozenset(_says_self(item))
        yield Placed(where, n, (name, first + n), item, own)


def _says_self(rule: Rule) -> Iterator[Path]:
    """The hooks at which a rule of the node itself is asked."""
    if names(rule.target, ThisNode):
        yield Path.INPUT
    if names(rule.source, ThisNode):
        yield Path.OUTPUT
