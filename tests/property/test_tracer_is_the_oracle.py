"""Emitted texts, read back and traced, say of random clusters, policies and boundary packets what the oracle says.

The examples are those of test_oracle_is_the_compiler: more or other ones by the same variables.
"""

from __future__ import annotations

import pytest
from hypothesis import given

from compiler.backends.target import Backend
from compiler.ir.ruleset import Hook
from tests.kernel.traced import Traced, explained
from tests.property.crossings import Wiring
from tests.property.limits import LIMITS, limits
from tests.property.scenarios import Scenario, scenarios
from tests.property.test_oracle_is_the_compiler import examples
from tests.property.trial import Trial

WAYS = {Hook.FORWARD: "forwarded", Hook.INPUT: "delivered", Hook.OUTPUT: "sent"}


@pytest.mark.parametrize("which", LIMITS)
@pytest.mark.parametrize("backend", list(Backend))
@examples(40)
@given(scenario=scenarios)
def test_emitted_text(backend: Backend, which: str, scenario: Scenario) -> None:
    with limits(which):
        trial = Trial(scenario.text, 300)
        wiring = Wiring(trial.snapshot)
        traced = {node: Traced(trial.compiled(node, backend).files, wiring.addresses(node)) for node in wiring.nodes}
        for number, hooks in trial.expected.items():
            packet = trial.packets[number]
            for at, allowed in hooks.items():
                found = traced[at.node].trace(WAYS[at.hook], packet)
                assert found.passed == allowed, f"{packet} at {at}: {explained(found)}"
