"""Fixtures of the kernel tests: one rig for all rulesets, and the three ways in which rules reach the kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.rig import FLAVOURS, Rig


@pytest.fixture(scope="session")
def shared_rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.fixture
def rig(shared_rig: Rig) -> Rig:
    """A rig without rules."""
    shared_rig.reset()
    return shared_rig


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)
