"""Fixtures of the kernel tests: one rig and one router for all rulesets, and the three ways to bring rules in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.rig import FLAVOURS, Rig
from tests.kernel.router import Routed


@pytest.fixture(scope="session")
def shared_rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.fixture
def rig(shared_rig: Rig) -> Rig:
    """A rig without rules."""
    shared_rig.reset()
    return shared_rig


@pytest.fixture(scope="session")
def shared_net() -> Iterator[Routed]:
    with Routed() as net:
        yield net


@pytest.fixture
def net(shared_net: Routed) -> Routed:
    """A client, a router and a server, without rules."""
    shared_net.clear()
    return shared_net


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)
