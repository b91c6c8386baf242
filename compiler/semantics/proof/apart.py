"""Rules that compare the two addresses of a packet bit by bit, seen as what they are: one test.

A row of rules that drop where a bit is 1 in the source and 0 in the destination, or the other way round, for every bit
of an address, drops what has two different addresses, in whatever order. Diagrams ask addresses by ranges and would
have to tell every address from every other; this puts one test in the row's place. A row that is not complete is a
test, too: whether the addresses differ in one of its ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, product

from compiler.semantics.diagrams.ranges import Range
from compiler.semantics.rules.netfilter import Chain, Drop, Field, In, Opaque, Rule, Ruleset
from compiler.semantics.rules.numbers import bits

#: A way to differ: number of the bit, what it is in the source, what in the destination.
Way = tuple[int, int, int]
_ENDS = (Field.SOURCE, Field.DESTINATION)
#: Fewer rules in a row are left as they are.
_ROW = 8


def every_way(version: int) -> frozenset[Way]:
    """In which two addresses of a family can differ."""
    return frozenset((bit, one, 1 - one) for bit, one in product(range(bits(version)), (0, 1)))


def seen(ruleset: Ruleset, version: int) -> tuple[Ruleset, dict[str, frozenset[Way]]]:
    """The same rules for packets of one family, with each such row as one rule; and for the text of each test that
    stands there, the ways to differ that it is about. Rules of other families stay."""
    tests: dict[str, frozenset[Way]] = {}
    tables = []
    for table in ruleset.tables:
        chains = {name: _chain(found, version, tests) for name, found in table.chains.items()}
        tables.append(replace(table, chains=chains))
    return Ruleset(tuple(tables)), tests


def _chain(found: Chain, version: int, tests: dict[str, frozenset[Way]]) -> Chain:
    rules = list(chain.from_iterable(_rows(found.rules, version, tests)))
    return replace(found, rules=tuple(rules)) if len(rules) < len(found.rules) else found


def _rows(rules: Sequence[Rule], version: int, tests: dict[str, frozenset[Way]]) -> Iterator[Sequence[Rule]]:
    row: list[tuple[Rule, Way]] = []
    for rule in rules:
        way = _way(rule, version)
        if way is not None and len(rule.parts) == 4 and rule.parts[-1] == Drop():
            row.append((rule, way))
            continue
        yield _row(row, version, tests)
        yield (rule if way is None else _asking(rule, frozenset({way}), version, tests),)
        row = []
    yield _row(row, version, tests)


def _row(row: list[tuple[Rule, Way]], version: int, tests: dict[str, frozenset[Way]]) -> Sequence[Rule]:
    if len(row) < _ROW:
        return tuple(_asking(rule, frozenset({way}), version, tests) for rule, way in row)
    return (_asking(row[0][0], frozenset(way for _, way in row), version, tests),)


def _asking(rule: Rule, ways: frozenset[Way], version: int, tests: dict[str, frozenset[Way]]) -> Rule:
    """The rule with the test in the place of its two conditions on bits."""
    text = _text(ways, every_way(version) - ways)
    tests[text] = ways
    others = [part for part in rule.parts if not (isinstance(part, In) and part.field in _ENDS)]
    return replace(rule, parts=(others[0], Opaque(text), *others[1:]))


def _text(ways: frozenset[Way], others: frozenset[Way]) -> str:
    if not others:
        return "the addresses differ"
    if len(others) < len(ways):
        return f"the addresses differ in more than {_listed(others)}"
    return f"the addresses differ in {_listed(ways)}"


def _listed(ways: Iterable[Way]) -> str:
    """`bit 0 (0, 1)`: 0 in the source, 1 in the destination."""
    return ", ".join(f"bit {bit} ({one}, {two})" for bit, one, two in sorted(ways))


def _way(rule: Rule, version: int) -> Way | None:
    """Which bit of both addresses a rule asks that begins with the family and asks nothing else of them."""
    if not rule.parts or rule.parts[0] != In(Field.FAMILY, ((version, version),)):
        return None
    asked = [part for part in rule.parts if isinstance(part, In) and part.field in _ENDS]
    if [part.field for part in sorted(asked, key=lambda part: part.field.value, reverse=True)] != [*_ENDS]:
        return None
    found = {part.field: _one_bit(part, bits(version)) for part in asked}
    source, destination = (found[end] for end in _ENDS)
    if source is None or destination is None or source[0] != destination[0] or source[1] == destination[1]:
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


def choice(tests: Mapping[int, frozenset[Way]], box: Mapping[int, Range], version: int) -> frozenset[Way] | None:
    """The ways in which the addresses of a box's packets differ, and no other, by the answers that it has to some of
    the tests; None: anyhow."""
    asked = {level: box[level] == (1, 1) for level in tests if level in box}
    if all(yes and tests[level] == every_way(version) for level, yes in asked.items()):
        return None
    denied = frozenset(way for level, yes in asked.items() if not yes for way in tests[level])
    if any(asked.values()):
        some = (min(tests[level] - denied, default=None) for level, yes in asked.items() if yes)
        return frozenset(way for way in some if way is not None)
    left = every_way(version) - denied
    return frozenset({min(left)}) if left else frozenset()
