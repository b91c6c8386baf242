"""Addresses that several living pods claim: compiler, kernel and oracle agree that they are nobody's.

Files cannot say so, and are refused; a cluster that is watched may be seen so, when an address goes from one pod to
another. So the snapshots are made here from those of random clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.backends.target import Backend
from compiler.resources.cluster import Pod
from compiler.semantics import rulesets
from compiler.semantics.verify import Equal, verify
from compiler.snapshot import Snapshot
from tests.kernel.rig import FLAVOURS
from tests.property.crossings import Rigs
from tests.property.scenarios import scenarios
from tests.property.test_oracle_is_the_compiler import examples
from tests.property.trial import Trial


def contested(snapshot: Snapshot) -> Snapshot:
    """The addresses of every third pod are those of its neighbour, too."""

    def claiming(n: int, pod: Pod) -> Pod:
        other = snapshot.pods[n - 1]
        both = n % 3 == 1 and other.holds_addresses and not pod.host_network
        return replace(pod, ips=other.ips) if both else pod

    return replace(snapshot, pods=tuple(claiming(n, pod) for n, pod in enumerate(snapshot.pods)))


trials = st.builds(lambda scenario: Trial(scenario.text, 400, seen_as=contested), scenarios)


@pytest.fixture(scope="module")
def rigs() -> Iterator[Rigs]:
    found = Rigs()
    yield found
    found.close()


@pytest.mark.parametrize("backend", list(Backend))
@examples(80)
@given(trial=trials)
def test_ruleset(backend: Backend, trial: Trial) -> None:
    assert next(trial.against_ruleset(backend), None) is None


@examples(25)
@given(trial=trials)
def test_proof(trial: Trial) -> None:
    for backend in Backend:
        for node in (None, *trial.snapshot.node_names()) if trial.packets else ():
            ruleset = rulesets.read(trial.compiled(node, backend).files.items())
            assert isinstance(verify(trial.policies, trial.snapshot, node, ruleset), Equal)


@examples(60)
@given(trial=trials)
def test_a_connection_is_what_its_nodes_let_through(trial: Trial) -> None:
    assert next(trial.torn(), None) is None


@pytest.mark.kernel
@pytest.mark.parametrize("flavour", FLAVOURS)
@examples(15)
@given(trial=trials)
def test_kernel(flavour: str, rigs: Rigs, trial: Trial) -> None:
    assert next(trial.against_kernel(rigs, flavour), None) is None
