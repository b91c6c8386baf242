"""Every row of the conformance suites on the ruleset, before a back end makes text of it."""

from __future__ import annotations

import pytest

from compiler.backends.target import Backend
from tests.compiler.ir_walk import Walker
from tests.conformance.cases import Case
from tests.conformance.judged import Judged
from tests.conformance.test_cases import every_case
from tests.property.trial import seen


@pytest.mark.parametrize("backend", list(Backend), ids=lambda backend: backend.value)
@every_case
def test_ruleset(case: Case, backend: Backend) -> None:
    asked = 0
    for state in case.states():
        judged = Judged(state)
        walkers = {node: Walker(judged.ruleset(node, backend)) for node in judged.wiring.nodes}
        for row, packet in judged.rows:
            crossings = judged.wiring.crossings(packet)
            found = [
                walkers[at.node].accepts(seen(packet, packet.src in judged.wiring.addresses(at.node)), at.hook)
                for at in crossings
            ]
            assert all(found) == row.allowed, f"{state.title}: {row}: {packet}"
            asked += len(found)
    assert asked
