"""Binary decision diagrams of another project (OxiDD) for the same question: a second opinion on `diagram`.

Only what first-match lists need: boxes over a few fields of powers of two, a verdict each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from oxidd.bcdd import BCDDFunction, BCDDManager

from compiler.semantics.diagrams.diagram import Range

Row = tuple[Mapping[int, Range], bool]


class Lists:
    """Lists of rules over fields of so many bits."""

    def __init__(self, bits: Sequence[int]) -> None:
        self._manager = BCDDManager(1 << 22, 1 << 20, 1)
        self._manager.add_vars(sum(bits))
        self._bits = bits
        self._offsets = [sum(bits[:n]) for n in range(len(bits))]
        self._true, self._false = self._manager.true(), self._manager.false()

    def accepts(self, rows: Sequence[Row]) -> BCDDFunction:
        """The packets that the first row that holds them accepts; no row denies."""
        found = [(box := self._box(row), box if accept else self._false) for row, accept in rows]
        while len(found) > 1:
            pairs = zip(found[::2], [*found[1::2], None], strict=False)
            found = [one if two is None else _behind(one, two) for one, two in pairs]
        return found[0][1] if found else self._false

    def _box(self, box: Mapping[int, Range]) -> BCDDFunction:
        found = self._true
        for field in sorted(box, reverse=True):
            parts = self._false
            for base, length in prefixes(*box[field], self._bits[field]):
                parts = parts | self._prefix(field, base, length)
            found = parts & found
        return found

    def _prefix(self, field: int, base: int, length: int) -> BCDDFunction:
        found = self._true
        for n in reversed(range(length)):
            variable = self._manager.var(self._offsets[field] + n)
            found = (variable if base >> self._bits[field] - 1 - n & 1 else ~variable) & found
        return found


def _behind(
    one: tuple[BCDDFunction, BCDDFunction], two: tuple[BCDDFunction, BCDDFunction]
) -> tuple[BCDDFunction, BCDDFunction]:
    return one[0] | two[0], one[1] | (two[1] & ~one[0])


def prefixes(low: int, high: int, bits: int) -> Iterator[tuple[int, int]]:
    """(base, length) of the fewest blocks that are the range."""
    while low <= high:
        size = low & -low or 1 << bits
        while low + size - 1 > high:
            size >>= 1
        yield low, bits - size.bit_length() + 1
        low += size
