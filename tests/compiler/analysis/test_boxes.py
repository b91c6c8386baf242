"""Boxes are the cells again, none twice, and few."""

from __future__ import annotations

from functools import reduce
from operator import or_

from hypothesis import given
from hypothesis import strategies as st

from compiler.analysis.boxes import Cells, boxes
from compiler.net import ALL_PORTS, NO_PORTS, TCP, UDP, PortSet, port_set

SETS = [
    ALL_PORTS,
    PortSet(other=True),
    port_set([(TCP, 80, 80)]),
    port_set([(TCP, 80, 443)]),
    port_set([(UDP, 53, 53)]),
]
port_sets = st.sets(st.sampled_from(SETS), min_size=1).map(lambda found: reduce(or_, found))


@given(cells=st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 4)), port_sets))
def test_boxes_are_the_cells(cells: Cells) -> None:
    covered: dict[tuple[int, int], PortSet] = {}
    for box in boxes(cells):
        assert box.ports
        for row in box.rows:
            for column in box.columns:
                before = covered.get((row, column), NO_PORTS)
                assert not before & box.ports
                covered[row, column] = before | box.ports
    assert covered == cells


def test_a_rectangle_is_one_box() -> None:
    assert len(boxes({(row, column): SETS[2] for row in range(3) for column in range(4)})) == 1


def test_rows_or_columns_first() -> None:
    """Three rows that share one column and have one more each: by rows three boxes, by columns four."""
    cells = {(row, column): SETS[2] for row in range(3) for column in (0, row + 1)}
    assert len(boxes(cells)) == 3
    assert len(boxes({(column, row): ports for (row, column), ports in cells.items()})) == 3


def test_ports_are_cut_where_that_is_less() -> None:
    """One rule from all rows to some columns and one from some rows to all: two boxes, not the four kinds of cells."""
    web, dns = SETS[2], SETS[4]
    cells = {(row, column): _some(web, column < 2) | _some(dns, row < 2) for row in range(4) for column in range(4)}
    found = boxes({cell: ports for cell, ports in cells.items() if ports})
    assert sorted(str(box.ports) for box in found) == ["tcp 80", "udp 53"]


def _some(ports: PortSet, holds: bool) -> PortSet:
    return ports if holds else NO_PORTS
