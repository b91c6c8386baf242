"""Oracle and compiler say the same of random clusters, policies and boundary packets.

Failures print the scenario as the JSON to give to `netpolc compile`, and the packet. NETPOLC_EXAMPLES scales the
number of examples (default 1); the examples are the same in every run, or with NETPOLC_RANDOM=1 new ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from compiler.backends.target import Backend
from compiler.net import Family
from tests.kernel.rig import FLAVOURS
from tests.property.crossings import Rigs
from tests.property.limits import LIMITS, limits
from tests.property.scenarios import Scenario, scenarios
from tests.property.trial import Trial

SCALE = float(os.environ.get("NETPOLC_EXAMPLES", "1"))


def examples(count: int) -> settings:
    return settings(
        max_examples=max(1, round(count * SCALE)),
        derandomize=os.environ.get("NETPOLC_RANDOM") != "1",
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


@pytest.fixture(scope="module")
def rigs() -> Iterator[Rigs]:
    found = Rigs()
    yield found
    found.close()


@pytest.mark.parametrize("which", LIMITS)
@pytest.mark.parametrize("backend", list(Backend))
@examples(150)
@given(scenario=scenarios)
def test_ruleset(backend: Backend, which: str, scenario: Scenario) -> None:
    with limits(which):
        assert next(Trial(scenario.text, 400).against_ruleset(backend), None) is None


@pytest.mark.parametrize("backend", list(Backend))
@examples(60)
@given(scenario=scenarios)
def test_ruleset_of_one_family(backend: Backend, scenario: Scenario) -> None:
    trial = Trial(scenario.text, 200)
    for family in Family:
        assert next(trial.against_ruleset(backend, (family,)), None) is None


@pytest.mark.parametrize("backend", list(Backend))
@examples(100)
@given(scenario=scenarios)
def test_ruleset_for_every_pod(backend: Backend, scenario: Scenario) -> None:
    assert next(Trial(scenario.text, 300).against_one_ruleset(backend), None) is None


@examples(60)
@given(scenario=scenarios)
def test_a_connection_is_what_its_nodes_let_through(scenario: Scenario) -> None:
    assert next(Trial(scenario.text, 300).torn(), None) is None


@pytest.mark.kernel
@pytest.mark.parametrize("which", LIMITS)
@pytest.mark.parametrize("flavour", FLAVOURS)
@examples(20)
@given(scenario=scenarios)
def test_kernel(flavour: str, which: str, rigs: Rigs, scenario: Scenario) -> None:
    with limits(which):
        assert next(Trial(scenario.text, 1500).against_kernel(rigs, flavour), None) is None


@pytest.mark.kernel
@pytest.mark.parametrize("flavour", FLAVOURS)
@examples(25)
@given(scenario=scenarios, later=scenarios)
def test_kernel_after_a_change(flavour: str, rigs: Rigs, scenario: Scenario, later: Scenario) -> None:
    """New rules over old ones: nothing of the old ones is left that decides."""
    before, after = Trial(scenario.text, 0), Trial(scenario.with_policies_of(later).text, 1500)
    assert next(after.against_kernel(rigs, flavour, before), None) is None
