"""Rules that compare the two addresses of a packet bit by bit, seen as what they are: one test.

A row of rules that drop where a bit is 1 in the source and 0 in the destination, or the other way round, for every bit
of an address, drops what has two different addresses, in whatever order. Diagrams ask addresses by ranges and would
have to tell every address from every other; this puts one test in the row's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, product

from compiler.semantics.netfilter import Chain, Drop, Field, In, Opaque, Rule, Ruleset, Table
from compiler.semantics.numbers import bits

#: The test's text.
APART = "source and destination are different addresses"

#: Number of a bit, what it is in the source, what in the destination.
_Bit = tuple[int, int, int]
_ENDS = (Field.SOURCE, Field.DESTINATION)


def seen(ruleset: Ruleset, version: int) -> Ruleset:
    """The same rules for packets of one family, with each such row as one rule. Other families' rules stay."""
    return Ruleset(tuple(_table(table, version) for table in ruleset.tables))


def _table(table: Table, version: int) -> Table:
    chains = {name: _chain(found, version) for name, found in table.chains.items()}
    return replace(table, chains=chains)


def _chain(found: Chain, version: int) -> Chain:
    rules = list(chain.from_iterable(_rows(found.rules, version)))
    return replace(found, rules=tuple(rules)) if len(rules) < len(found.rules) else found


def _rows(rules: Sequence[Rule], version: int) -> Iterator[Sequence[Rule]]:
    row: list[Rule] = []
    for rule in rules:
        if _bit(rule, version) is not None:
            row.append(rule)
            continue
        yield _row(row, version)
        yield (rule,)
        row = []
    yield _row(row, version)


def _row(row: list[Rule], version: int) -> Sequence[Rule]:
    every = {(bit, one, 1 - one) for bit, one in product(range(bits(version)), (0, 1))}
    if {_bit(rule, version) for rule in row} != every:
        return tuple(row)
    family = next(part for part in row[0].parts if isinstance(part, In))
    return (replace(row[0], parts=(family, Opaque(APART), row[0].parts[-1])),)


def _bit(rule: Rule, version: int) -> _Bit | None:
    """Which bit a rule compares that does nothing else."""
    if not rule.parts or rule.parts[-1] != Drop():
        return None
    asked = [part for part in rule.parts[:-1] if isinstance(part, In)]
    if len(asked) != len(rule.parts) - 1 or not asked:
        return None
    families = [part for part in asked if part.field is Field.FAMILY]
    found: dict[Field, tuple[int, int] | None] = {
        part.field: _one_bit(part, bits(version)) for part in asked if part.field is not Field.FAMILY
    }
    is_ours = families == [In(Field.FAMILY, ((version, version),))] * len(families) and bool(families)
    if not is_ours or asked[0].field is not Field.FAMILY or len(asked) != len(families) + 2 or set(found) != {*_ENDS}:
        return None
    source, destination = (found[end] for end in _ENDS)
    if source is None or destination is None or source[0] != destination[0]:
        return None
    return source[0], source[1], destination[1]


def _one_bit(part: In, width: int) -> tuple[int, int] | None:
    """Number of the bit that a condition on an address asks, and what it has to be."""
    top, mask, intervals = (1 << width) - 1, part.mask, part.intervals
    half = 1 << width - 1
    if mask is None and intervals in (((0, half - 1),), ((half, top),), ((half, (1 << 128) - 1),)):
        return width - 1, int(intervals[0][0] == half)
    if mask is None or mask & (mask - 1) or not 0 < mask <= top:
        return None
    answers = [value for value in (0, mask) if any(low <= value <= high for low, high in intervals)]
    return (mask.bit_length() - 1, int(answers[0] == mask)) if len(answers) == 1 else None
