"""Which addresses rules and policies tell apart: the sets of addresses that they ask for, before any diagram is made.

One that is forgotten here costs time and never the truth: `Cells` refuses what it was not told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from compiler.semantics.diagrams.cells import Cells
from compiler.semantics.diagrams.clauses import Block, Clauses
from compiler.semantics.diagrams.match_diagram import values_of
from compiler.semantics.diagrams.ranges import Range
from compiler.semantics.diagrams.space import address_top
from compiler.semantics.rules.netfilter import Element, Field, In, InSet, Key, Lookup, Ruleset, Table
from compiler.semantics.verdict import Direction

Question = tuple[Field, Sequence[Range]]

_ENDS = (Field.SOURCE, Field.DESTINATION)
_OTHER = {Direction.INGRESS: Field.SOURCE, Direction.EGRESS: Field.DESTINATION}


def told_apart(version: int, questions: Iterable[Question]) -> dict[Field, Cells]:
    """The cells of both addresses."""
    asked: dict[Field, list[Sequence[Range]]] = {end: [] for end in _ENDS}
    for end, ranges in questions:
        asked[end].append(ranges)
    return {end: Cells(address_top(version) + 1, own) for end, own in asked.items()}


def of_policies(clauses: Clauses, node: str | None) -> Iterator[Question]:
    """What the policies of a node (None: of all pods) ask."""
    ends, own = clauses.ends, clauses.subjects(node)
    for address in own:
        yield from ((end, ((address, address),)) for end in _ENDS)
    for address, nodes in clauses.contested(node).items():
        yield from ((end, ((address, address),)) for end in _ENDS)
        yield Field.SOURCE, nodes
    yield from ((end, ends.unknown(node)) for end in _ENDS)
    yield Field.DESTINATION, ends.pods_alone
    for name in {pod.node: None for pod in own.values()}:
        yield Field.SOURCE, [(address, address) for address in sorted(ends.of_node.get(name, ()))]
    seen: set[tuple[Direction, int]] = set()
    for pod in own.values():
        for direction in Direction:
            asked = clauses.asked(direction, pod)
            policies = [one for one in (*asked.admin, *asked.behind) if not isinstance(one, Block)]
            for clause in (clause for policy in policies for clause in policy):
                if clause.others is not None and (direction, id(clause.others)) not in seen:
                    seen.add((direction, id(clause.others)))
                    yield _OTHER[direction], clause.others


def of_rules(ruleset: Ruleset, version: int) -> Iterator[Question]:
    """What a text asks of packets of a family."""
    seen: set[tuple[int, tuple[Key, ...], str]] = set()
    for table in (table for table in ruleset.tables if version in table.families):
        for rule in (rule for chain in table.chains.values() for rule in chain.rules):
            for part in rule.parts:
                if isinstance(part, In):
                    if part.field is Field.FAMILY and not any(low <= version <= high for low, high in part.intervals):
                        break
                    found = values_of(part.intervals, part.mask, address_top(version)) if part.field in _ENDS else None
                    if found is not None:
                        yield part.field, found
                elif isinstance(part, InSet | Lookup) and (id(table), part.keys, part.set) not in seen:
                    seen.add((id(table), part.keys, part.set))
                    yield from _of_set(table, part.keys, part.set, version)


def _of_set(table: Table, keys: Sequence[Key], name: str, version: int) -> Iterator[Question]:
    elements = table.sets[name].elements
    for place, key in enumerate(keys):
        if key.field in _ENDS:
            top = address_top(version)
            for spans in _alike(elements, place):
                found = spans if key.mask is None else values_of(spans, key.mask, top)
                if found is not None:
                    yield key.field, found


def _alike(elements: Sequence[Element], place: int) -> Iterator[list[Range]]:
    """The values at a place of the key beside which all else is the same; each alone where some overlap."""
    groups: dict[object, list[Range]] = {}
    if all(len(element.box) == 1 for element in elements):
        for box, _, verdict, member in elements:
            groups.setdefault((verdict, member), []).append(box[0])
        if len(groups) == 1 and all(element.member for element in elements):
            yield from groups.values()
            return
    else:
        for box, _, verdict, member in elements:
            groups.setdefault((box[:place], box[place + 1 :], verdict, member), []).append(box[place])
    yield from groups.values()
    spans = sorted({span for group in groups.values() for span in group})
    if any(one[1] >= two[0] for one, two in pairwise(spans)):
        yield from ([span] for span in spans)
