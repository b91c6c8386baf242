"""Beds for tests: with rules brought by hand, or by an enforcer in each node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.cluster.agents import ByHand, Daemons
from tests.cluster.api import Served
from tests.cluster.bed import Bed
from tests.cluster.store import Folder, Store
from tests.enforcer.kube_apiserver import ADMIN, DAEMON, KubeApiServer, binaries
from tests.enforcer.servers import Site, StandIn
from tests.kernel.rig import FLAVOURS

#: Makes a bed: flavour, wiring, between.
Maker = Callable[..., Bed]


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


#: Where enforcers learn of objects.
STORES = ("folder", "stand-in", "kube-apiserver")


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[Store]:
    """One of `STORES`, ended behind the block. Skips where there is no real server."""
    if kind == "folder":
        yield Folder(folder / "cluster")
        return
    if kind == "kube-apiserver" and isinstance(lacking := binaries(), str):
        pytest.skip(f"not against a real API server: {lacking}")
    server = StandIn(tokens={ADMIN, DAEMON}) if kind == "stand-in" else KubeApiServer(folder)
    try:
        site = Site(server, folder)
        site.permit()
        site.define()
        yield Served(site)
    finally:
        server.close()


@pytest.fixture
def make_live_bed(tmp_path: Path) -> Iterator[Maker]:
    """Beds with a process in each node that enforces what the store says; they end with the test."""
    with ExitStack() as ending:
        numbers = count()

        def make(flavour: str, wiring: str = "routed", between: str = "host-gw", kind: str = "folder") -> Bed:
            folder = tmp_path / f"bed{next(numbers)}"
            folder.mkdir()
            store = ending.enter_context(store_of(kind, folder))
            return ending.enter_context(Bed(store, Daemons(store, flavour, folder), wiring, between))

        yield make


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
