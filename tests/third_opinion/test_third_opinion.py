"""A third opinion on NetworkPolicy v1: network-config-analyzer says of conformance cases and random clusters what the
oracle says, but for the differences that are listed by name.

How often each occurs in the cases is part of the test: a difference that became more frequent hides something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random

import pytest
from hypothesis import given

from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import Packet
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot
from tests.conformance.cases import DEFAULT_FOLDER, FOLDER, cases
from tests.conformance.judged import Judged
from tests.property.scenarios import NAMESPACES, Scenario, scenario, scenarios
from tests.property.test_oracle_is_the_compiler import examples
from tests.property.trial import Trial
from tests.third_opinion.analyzer import Analyzer, Object, analyzer, can_be_asked
from tests.third_opinion.differences import Difference, explain

Findings = Counter[Difference | None]


@pytest.fixture(scope="module")
def opinion() -> Iterator[Analyzer]:
    with analyzer() as found:
        yield found


def compare(
    opinion: Analyzer,
    objects: Iterable[Object],
    policies: tuple[AnyPolicy, ...],
    snapshot: Snapshot,
    packets: Sequence[Packet],
) -> Findings:
    """How many verdicts are the same (None), and how many differ for which reason. Fails on any other difference."""
    oracle = Oracle(policies, snapshot)
    asked = [packet for packet in packets if can_be_asked(packet, snapshot)]
    found = Findings()
    for packet, theirs in zip(asked, opinion.allowed(objects, snapshot, asked), strict=True):
        ours = oracle.connection(packet)
        if ours.allowed == theirs:
            found[None] += 1
            continue
        reason = explain(packet, oracle, policies) if ours.allowed else None
        assert reason is not None, f"{packet}: the analyzer {'allows' if theirs else 'denies'} it, the oracle: {ours}"
        found[reason] += 1
    return found


def is_beyond_it(item: Object) -> bool:
    """Whether it is a policy that the analyzer does not read."""
    kind: str = item["kind"]
    return kind.endswith("Policy") and kind != "NetworkPolicy"


#: What the rows of the cases have of each difference.
IN_ROWS = Findings({Difference.BLOCK_OF_PODS: 159})


@pytest.mark.skipif(not any(cases()), reason=f"no netpolc-cases/1 file in {FOLDER}")
def test_conformance_cases(opinion: Analyzer) -> None:
    """Every state without the other kinds of policy: its rows, and packets at the edges of its policies."""
    rows, edges = Findings(), Findings()
    for case in cases():
        for state in case.states():
            if any(map(is_beyond_it, state.objects.values())):
                continue
            judged, trial = Judged(state), Trial(state.text, 300)
            cluster = state.objects.values(), trial.policies, trial.snapshot
            rows += compare(opinion, *cluster, [packet for _, packet in judged.rows])
            edges += compare(opinion, *cluster, trial.packets)
    assert edges[None] > 10_000
    assert rows.pop(None) > 10_000
    if FOLDER == DEFAULT_FOLDER:
        assert rows == IN_ROWS


def judged_at_random(opinion: Analyzer, scenario: Scenario) -> Findings:
    kept = tuple(item for item in scenario.objects if not is_beyond_it(item))
    trial = Trial(Scenario(kept).text, 400)
    return compare(opinion, kept, trial.policies, trial.snapshot, trial.packets)


@examples(100)
@given(scenario=scenarios)
def test_random_clusters(opinion: Analyzer, scenario: Scenario) -> None:
    judged_at_random(opinion, scenario)


def test_every_listed_difference_occurs(opinion: Analyzer) -> None:
    found = sum((judged_at_random(opinion, scenario(Random(seed))) for seed in range(60, 90)), Findings())
    assert set(found) == {None, *Difference}


def test_a_difference_without_a_reason_is_found(opinion: Analyzer) -> None:
    """The comparison itself: with other policies than ours the analyzer is contradicted, whichever side allows."""
    objects = [item for item in scenario(Random(0)).objects if not item["kind"].endswith("Policy")]
    deny = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": NAMESPACES[0]},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    for ours, theirs in (([*objects, deny], objects), (objects, [*objects, deny])):
        trial = Trial(Scenario(tuple(ours)).text, 400)
        with pytest.raises(AssertionError, match="the analyzer"):
            compare(opinion, theirs, trial.policies, trial.snapshot, trial.packets)
