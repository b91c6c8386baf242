"""Many small answers as few large ones: cells of a matrix with port sets, as boxes of rows, columns and ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from compiler.net import SCTP, TCP, UDP, PortSet, port_set

#: (row, column) -> ports.
Cells = Mapping[tuple[int, int], PortSet]


class Box(NamedTuple):
    """These ports of every row towards every column."""

    rows: frozenset[int]
    columns: frozenset[int]
    ports: PortSet


def boxes(cells: Cells) -> list[Box]:
    """Disjoint boxes that make up the cells: the fewest of four ways to cut, rows or columns first, the ports of a
    cell together or interval by interval. (The fewest of all ways are NP-hard to find.)"""
    turned = {(column, row): ports for (row, column), ports in cells.items()}
    both = ((cells, False), (turned, True))
    ways = [_merged(_flipped(_rectangles(given), flip)) for given, flip in both]
    ways += [
        _merged(box for part in _intervals(given) for box in _flipped(_rectangles(part), flip)) for given, flip in both
    ]
    return min(ways, key=len)


def _rectangles(cells: Cells) -> Iterator[Box]:
    """Rows that have the same ports towards the same columns are one box."""
    rows: dict[PortSet, dict[int, set[int]]] = {}
    for (row, column), ports in cells.items():
        rows.setdefault(ports, {}).setdefault(row, set()).add(column)
    for ports, columns_of in rows.items():
        alike: dict[frozenset[int], set[int]] = {}
        for row, columns in columns_of.items():
            alike.setdefault(frozenset(columns), set()).add(row)
        yield from (Box(frozenset(found), columns, ports) for columns, found in alike.items())


def _flipped(found: Iterable[Box], flip: bool) -> Iterator[Box]:
    return (Box(box.columns, box.rows, box.ports) if flip else box for box in found)


def _intervals(cells: Cells) -> Iterator[Cells]:
    """The cells, one elementary interval of ports after the other."""
    parts: dict[PortSet, None] = dict.fromkeys(cells.values())
    for protocol in (TCP, UDP, SCTP):
        spans = [(low, high) for ports in parts for kind, low, high in ports.items() if kind == protocol]
        edges = sorted({low for low, _ in spans} | {high + 1 for _, high in spans})
        for low, after in pairwise(edges):
            part = port_set([(protocol, low, after - 1)])
            holding = {ports for ports in parts if ports.has(protocol, low)}
            yield {cell: part for cell, ports in cells.items() if ports in holding}
    yield {cell: PortSet(other=True) for cell, ports in cells.items() if ports.other}


def _merged(found: Iterable[Box]) -> list[Box]:
    """Boxes that differ in one respect only become one, as long as there are any."""
    known = list(found)
    while True:
        before = len(known)
        by_ends: dict[tuple[frozenset[int], frozenset[int]], PortSet] = {}
        for box in known:
            by_ends[box[:2]] = by_ends.get(box[:2], PortSet()) | box.ports
        by_rows: dict[tuple[frozenset[int], PortSet], frozenset[int]] = {}
        for (rows, columns), ports in by_ends.items():
            by_rows[rows, ports] = by_rows.get((rows, ports), frozenset()) | columns
        by_columns: dict[tuple[frozenset[int], PortSet], frozenset[int]] = {}
        for (rows, ports), columns in by_rows.items():
            by_columns[columns, ports] = by_columns.get((columns, ports), frozenset()) | rows
        known = [Box(rows, columns, ports) for (columns, ports), rows in by_columns.items()]
        if len(known) == before:
            return known
