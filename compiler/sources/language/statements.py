"""The blocks of all files -> one program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar, cast

from compiler.errors import Collector
from compiler.resources.language import Item, PolicyBlock, Program
from compiler.sources.language.files import Text
from compiler.sources.language.names import Names
from compiler.sources.language.tables import Tables
from grammar import dsl_tree as t

_T = TypeVar("_T")
_PARTS = ("node", "forward", "node_packets", "forward_packets", "nat", "mangle", "raw", "expectations")
#: The priority of blocks that say none: behind those that do.
LAST = 1000


def statements(files: Sequence[Text], names: Names, problems: Collector) -> Program:
    """What these files say, in their order; what is wrong is reported."""
    policies: dict[str, PolicyBlock] = {}
    found: dict[str, list[object]] = {part: [] for part in _PARTS}
    for text in files:
        says = Tables(text, names, problems)
        for block in text.tree.items:
            match block:
                case t.PolicyBlock():
                    _policy(text, block, says, policies, problems)
                case t.NodeBlock(statements=inner, packets=packets):
                    found["node_packets" if packets else "node"] += _made(map(says.of_node, inner))
                case t.ForwardBlock(statements=inner, packets=packets):
                    found["forward_packets" if packets else "forward"] += _made(map(says.of_forward, inner))
                case t.NatBlock(statements=inner_nat):
                    found["nat"] += _made(map(says.nat, inner_nat))
                case t.MangleBlock(statements=inner_mangle):
                    found["mangle"] += _made(map(says.mangle, inner_mangle))
                case t.RawBlock(statements=inner_raw):
                    found["raw"] += _made(map(says.raw, inner_raw))
                case t.ExpectBlock(statements=inner_expect):
                    found["expectations"] += _made(map(says.expectation, inner_expect))
                case _:
                    pass  # definitions, and includes, which were followed
    parts = {part: tuple(made) for part, made in found.items()}
    return Program(policies=tuple(policies.values()), **parts)  # type: ignore[arg-type]


def _policy(
    text: Text, node: t.PolicyBlock, says: Tables, policies: dict[str, PolicyBlock], problems: Collector
) -> None:
    made: list[Item] = _made(map(says.of_policy, node.statements))
    name = node.name.text
    if name in policies:
        first = policies[name].span.file_line
        problems.add(text.flaw(node.name, f"policy {name} is already at {first}", "duplicate-name"))
        return
    tier = cast(Literal["admin", "baseline"], node.tier.text if node.tier is not None else "admin")
    priority = node.priority.number if node.priority is not None else LAST
    head = t.Node(node.begin, node.brace)
    span = text.source.span(node.begin, node.brace)
    rules = tuple(made)
    policies[name] = PolicyBlock(name=name, tier=tier, priority=priority, rules=rules, text=text.line(head), span=span)


def _made(statements: Iterable[_T | None]) -> list[_T]:
    return [one for one in statements if one is not None]
