"""ExternalIPs that the machine does not have: to its own pods they are addresses like any other, and `nodes` peers mean
them. Compiler, kernel, oracle and proof agree on random clusters whose nodes have such."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.backends.target import Backend
from compiler.semantics import rulesets
from compiler.semantics.verify import Equal, verify
from compiler.snapshot import Snapshot
from tests.kernel.rig import FLAVOURS
from tests.property.crossings import Rigs
from tests.property.scenarios import ELSEWHERE, scenarios
from tests.property.test_oracle_is_the_compiler import examples
from tests.property.trial import Trial

#: One of each family, where blocks are drawn around.
OUTSIDE = ELSEWHERE[0], ELSEWHERE[2]


def translated(snapshot: Snapshot) -> Snapshot:
    """The first node is reached from outside by addresses that are not its machine's."""
    name, node = next(iter(snapshot.nodes.items()))
    return replace(snapshot, nodes={**snapshot.nodes, name: replace(node, ips=(*node.ips, *OUTSIDE), external=OUTSIDE)})


trials = st.builds(lambda scenario: Trial(scenario.text, 400, seen_as=translated), scenarios)


@pytest.fixture(scope="module")
def rigs() -> Iterator[Rigs]:
    found = Rigs()
    yield found
    found.close()


@pytest.mark.parametrize("backend", list(Backend))
@examples(50)
@given(trial=trials)
def test_ruleset(backend: Backend, trial: Trial) -> None:
    assert next(trial.against_ruleset(backend), None) is None


@examples(25)
@given(trial=trials)
def test_proof(trial: Trial) -> None:
    for backend in Backend:
        for node in trial.snapshot.node_names() if trial.packets else ():
            ruleset = rulesets.read(trial.compiled(node, backend).files.items())
            assert isinstance(verify(trial.policies, trial.snapshot, node, ruleset), Equal)


@pytest.mark.kernel
@pytest.mark.parametrize("flavour", FLAVOURS)
@examples(10)
@given(trial=trials)
def test_kernel(flavour: str, rigs: Rigs, trial: Trial) -> None:
    assert next(trial.against_kernel(rigs, flavour), None) is None
