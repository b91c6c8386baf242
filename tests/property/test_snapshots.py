"""Clusters as files do not tell them: compiler, kernel, oracle and proof agree on these, too.

`contested`: several living pods claim an address. Files that say so are refused; a cluster that is watched may be seen
so, when an address goes from one pod to another.

`closed`: nobody may use an address of a node's pod ranges that nobody known has.

`translated`: a node has ExternalIPs that its machine does not have. To its own pods they are addresses like any other,
and `nodes` peers mean them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given

from compiler.backends.target import Backend
from compiler.resources.cluster import Pod
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from compiler.snapshot import Snapshot
from tests.kernel.rig import FLAVOURS
from tests.property.crossings import Rigs
from tests.property.scenarios import ELSEWHERE, Scenario, scenarios
from tests.property.test_oracle_is_the_compiler import examples
from tests.property.trial import Trial


def contested(snapshot: Snapshot) -> Snapshot:
    """The addresses of every third pod are those of its neighbour, too."""

    def claiming(n: int, pod: Pod) -> Pod:
        other = snapshot.pods[n - 1]
        both = n % 3 == 1 and other.holds_addresses and not pod.host_network
        return replace(pod, ips=other.ips) if both else pod

    return replace(snapshot, pods=tuple(claiming(n, pod) for n, pod in enumerate(snapshot.pods)))


def translated(snapshot: Snapshot) -> Snapshot:
    """The first node is reached from outside by an address of each family, where blocks are drawn around."""
    outside = ELSEWHERE[0], ELSEWHERE[2]
    name, node = next(iter(snapshot.nodes.items()))
    return replace(snapshot, nodes={**snapshot.nodes, name: replace(node, ips=(*node.ips, *outside), external=outside)})


def closed(snapshot: Snapshot) -> Snapshot:
    """Ranges around the pods of all nodes, the same for each, one of them twice; blocks are drawn in them, too."""
    ranges = ("10.0.1.0/26", "10.0.1.0/28", "fd00::/122")
    nodes = {name: replace(node, pod_cidrs=ranges) for name, node in snapshot.nodes.items()}
    return replace(snapshot, nodes=nodes, complete=True, closed=True)


SEEN: Mapping[str, Callable[[Snapshot], Snapshot]] = {
    "closed": closed,
    "contested": contested,
    "translated": translated,
}
however_seen = pytest.mark.parametrize("seen", SEEN)


def trial_of(scenario: Scenario, seen: str) -> Trial:
    return Trial(scenario.text, 400, seen_as=SEEN[seen])


@pytest.fixture(scope="module")
def rigs() -> Iterator[Rigs]:
    found = Rigs()
    yield found
    found.close()


@however_seen
@pytest.mark.parametrize("backend", list(Backend))
@examples(60)
@given(scenario=scenarios)
def test_ruleset(backend: Backend, seen: str, scenario: Scenario) -> None:
    assert next(trial_of(scenario, seen).against_ruleset(backend), None) is None


@however_seen
@examples(25)
@given(scenario=scenarios)
def test_proof(seen: str, scenario: Scenario) -> None:
    trial = trial_of(scenario, seen)
    for backend in Backend:
        for node in (None, *trial.snapshot.node_names()) if trial.packets else ():
            ruleset = rulesets.read(trial.compiled(node, backend).files.items())
            assert isinstance(verify(trial.policies, trial.snapshot, node, ruleset), Equal)


@pytest.mark.parametrize("seen", [seen for seen in SEEN if seen != "closed"])  # that is a node's own affair
@examples(60)
@given(scenario=scenarios)
def test_a_connection_is_what_its_nodes_let_through(seen: str, scenario: Scenario) -> None:
    assert next(trial_of(scenario, seen).torn(), None) is None


@pytest.mark.kernel
@however_seen
@pytest.mark.parametrize("flavour", FLAVOURS)
@examples(12)
@given(scenario=scenarios)
def test_kernel(flavour: str, seen: str, rigs: Rigs, scenario: Scenario) -> None:
    assert next(trial_of(scenario, seen).against_kernel(rigs, flavour), None) is None
