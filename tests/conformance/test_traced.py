"""Every row of the conformance suites once more: the emitted texts, read back and traced, say what is expected; so do
the texts that the kernel shows after loading them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from compiler.ir.ruleset import Hook
from tests.conformance.cases import Case
from tests.conformance.judged import Judged
from tests.conformance.test_cases import every_case
from tests.kernel.rig import FLAVOURS
from tests.kernel.traced import Traced, explained, shown
from tests.property.crossings import Rigs

WAYS = {Hook.FORWARD: "forwarded", Hook.INPUT: "delivered", Hook.OUTPUT: "sent"}


@pytest.fixture(scope="module")
def rigs() -> Iterator[Rigs]:
    found = Rigs()
    yield found
    found.close()


def check(judged: Judged, title: str, files: Callable[[str], Mapping[str, str]]) -> int:
    """Every row at every hook that it crosses, `files` giving the texts of a node; how many were asked."""
    traced: dict[str, Traced] = {}
    asked = 0
    for row, packet in judged.rows:
        found = []
        for node, hook in judged.wiring.crossings(packet):
            if node not in traced:
                traced[node] = Traced(files(node), judged.wiring.addresses(node))
            found.append(traced[node].trace(WAYS[hook], packet))
            asked += 1
        assert all(trace.passed for trace in found) == row.allowed, "\n".join(
            [f"{title}: {row}: {packet}", *map(explained, found)]
        )
    return asked


@pytest.mark.parametrize("flavour", ["nftables", "iptables-legacy"])
@every_case
def test_emitted_text(case: Case, flavour: str) -> None:
    asked = 0
    for state in case.states():
        judged = Judged(state)
        asked += check(judged, state.title, lambda node: judged.files(node, flavour))  # noqa: B023
    assert asked


@pytest.mark.kernel
@pytest.mark.parametrize("flavour", FLAVOURS)
@every_case
def test_text_that_the_kernel_shows(case: Case, flavour: str, rigs: Rigs) -> None:
    """The last state of each case is enough: what differs from the test above is how things are spelled."""
    *_, state = case.states()
    judged = Judged(state)

    def read_back(node: str) -> Mapping[str, str]:
        rig = rigs.empty(judged.wiring.addresses(node))
        rig.load(judged.files(node, flavour), flavour)
        return shown(rig, flavour)

    assert check(judged, state.title, read_back)
