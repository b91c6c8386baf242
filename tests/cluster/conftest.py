"""Beds for tests: with rules brought by hand, or by an enforcer in each node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.agents import ByHand, Daemons
from tests.cluster.bed import Bed
from tests.cluster.store import Folder
from tests.kernel.rig import FLAVOURS

#: Makes a bed: flavour, wiring, between.
Maker = Callable[..., Bed]


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_live_bed(tmp_path: Path) -> Iterator[Maker]:
    """Beds with a process in each node that enforces what the store says; they end with the test."""
    made: list[Bed] = []

    def make(flavour: str, wiring: str = "routed", between: str = "host-gw") -> Bed:
        folder = tmp_path / f"bed{len(made)}"
        store = Folder(folder / "cluster")
        bed = Bed(store, Daemons(store, flavour, folder), wiring, between)
        made.append(bed)
        return bed

    yield make
    for bed in made:
        bed.close()


@pytest.fixture
def make_bed(tmp_path: Path) -> Iterator[Maker]:
    """Beds that end with the test."""
    made: list[Bed] = []

    def make(flavour: str, wiring: str = "routed", between: str = "host-gw") -> Bed:
        bed = Bed(Folder(tmp_path / f"cluster{len(made)}"), ByHand(flavour), wiring, between)
        made.append(bed)
        return bed

    yield make
    for bed in made:
        bed.close()
