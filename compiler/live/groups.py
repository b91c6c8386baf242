"""Groups and selectors of a cluster that moves, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from compiler.net import Family
from compiler.policy import PodSelector
from compiler.resolve.inventory import Group
from compiler.resources.cluster import Pod


@dataclass(slots=True, eq=False)
class Watched:
    """A selector, the numbers of the groups that it means, and how many pods they have. `moved`: what has come (+1)
    and gone (-1) since somebody began to count. `text` is what of equally large ones decides which comes first."""

    selector: PodSelector
    numbers: set[int] = field(default_factory=set)
    size: int = 0
    moved: dict[tuple[Family, int], int] | None = None
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.text = repr(self.selector)

    def move(self, family: Family, address: int, step: int) -> None:
        """Counts an address that comes or goes."""
        if self.moved is not None:
            self.moved[family, address] = self.moved.get((family, address), 0) + step


@dataclass(slots=True, eq=False)
class LiveGroup(Group):
    """A group of which `pods` are those of the node alone; `size` counts all. `likeness`: the same for groups with the
    same ports that the same selectors mean, 0 while nobody has asked."""

    size: int = 0
    likeness: int = 0
    watched: set[Watched] = field(default_factory=set)
    four: list[int] = field(default_factory=list)
    six: list[int] = field(default_factory=list)

    def addresses(self, family: Family) -> list[int]:
        return self.four if family is Family.IPV4 else self.six


class Step(NamedTuple):
    """An address that has just come to a group, or is about to go. `edge`: the group has no other in the family."""

    comes: bool
    group: LiveGroup
    likeness: int
    family: Family
    address: int
    edge: bool


def is_one(pod: Pod, other: Pod) -> bool:
    """Whether these are states of one pod."""
    return pod.name == other.name and pod.namespace == other.namespace


def group_key(pod: Pod) -> object:
    return pod.namespace, frozenset(pod.labels.items()), pod.ports
