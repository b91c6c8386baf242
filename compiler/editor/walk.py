"""Ways through trees of the policy language that know no kind of statement: new ones need nothing here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from grammar import dsl_check
from grammar import dsl_tree as t
from grammar.dsl_literals import BY_NUMBER, PROTOCOLS

_SLOTS: dict[type[t.Node], tuple[str, ...]] = {}
_NO_NODES = ("begin", "end", "brace", "close", "text")


def children(node: t.Node) -> Iterator[t.Node]:
    """The nodes that a node is made of."""
    kind = type(node)
    if kind not in _SLOTS:
        _SLOTS[kind] = tuple(one.name for one in fields(kind) if one.name not in _NO_NODES)
    for slot in _SLOTS[kind]:
        part = getattr(node, slot)
        if isinstance(part, tuple):
            yield from (one for one in part if isinstance(one, t.Node))
        elif isinstance(part, t.Node):
            yield part


def down_to(node: t.Node, offset: int) -> tuple[t.Node, ...]:
    """The nodes at an offset, from `node` to the innermost; one that ends there is at it when none begins there."""
    way = [node]
    while True:
        inside = [one for one in children(way[-1]) if one.begin <= offset <= one.end]
        if not inside:
            return tuple(way)
        way.append(next((one for one in inside if offset < one.end), inside[-1]))


def sound(node: t.Node) -> bool:
    """Whether all literals and options below a node are right."""
    return not any(True for _ in dsl_check.findings(node))


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A name of a set, service or zone (`policy`: of a policy) at its place; `defines`: here it gets its meaning."""

    node: t.Name
    defines: bool
    policy: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        """What is equal for all that mean the same thing."""
        return self.node.text, self.policy


def occurrences(tree: t.Node) -> Iterator[Occurrence]:
    """The names below a node, in no order."""
    stack = [tree]
    while stack:
        node = stack.pop()
        match node:
            case t.SetDefinition(name=name, entries=entries):
                yield Occurrence(name, True)
                yield from (Occurrence(one, False) for one in entries if isinstance(one, t.Name))
            case t.ServiceDefinition(name=name) | t.ZoneDefinition(name=name):
                yield Occurrence(name, True)
            case t.PolicyBlock(name=name):
                yield Occurrence(name, True, True)
            case t.End(terms=terms, without=without):
                yield from (Occurrence(one, False) for one in (*terms, without) if isinstance(one, t.Name))
            case t.Ports(sets=sets):
                yield from (Occurrence(one, False) for one in sets if isinstance(one, t.Name) and _is_service(one))
            case _:
                pass
        stack += children(node)


def _is_service(name: t.Name) -> bool:
    return name.text not in PROTOCOLS and name.text != BY_NUMBER


def statements(node: t.Node) -> list[t.Node]:
    """What stands between the braces of a block or nested list; of a file, its definitions and blocks."""
    if isinstance(node, t.File):
        return list(node.items)
    if isinstance(node, t.SetDefinition) or not isinstance(node, t.Braced):
        return []
    return [one for one in children(node) if node.brace < one.begin and one.end <= node.close]


def statement_at(tree: t.File, offset: int) -> tuple[t.Node, ...]:
    """The way from the file to the innermost statement at an offset; the file alone between statements."""
    way: list[t.Node] = [tree]
    while inner := [one for one in statements(way[-1]) if one.begin <= offset <= one.end]:
        way.append(next((one for one in inner if offset < one.end), inner[-1]))
    return tuple(way)
