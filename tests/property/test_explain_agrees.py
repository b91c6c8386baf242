"""Of random clusters and policies, explain never says that compiled rules do not do what the policies say."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.analysis.ends import Directory
from compiler.analysis.explain import explain
from compiler.analysis.explain_rules import Rules
from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.snapshot import build
from compiler.sources.manifests import load
from tests.property.scenarios import Scenario, scenarios
from tests.property.test_oracle_is_the_compiler import examples

PORTS = ("", ":80", ":53/UDP", ":443/SCTP", ":65535")


@pytest.mark.parametrize("backend", list(Backend))
@examples(20)
@given(scenario=scenarios, everywhere=st.booleans(), seed=st.integers(0, 1000))
def test_ways_through_compiled_rules(backend: Backend, scenario: Scenario, everywhere: bool, seed: int) -> None:
    """By the nodes of both ends, or on one machine that has every pod."""
    found = load([("all.json", scenario.text)], lenient=True)
    referred = {space for one in found.policies if (space := one.value.metadata.namespace)}
    snapshot = build((*found.pods, *found.templates), found.namespaces, found.nodes, referred)
    policies = [one.value for one in found.policies]
    compiler = Compiler(found.policies, snapshot)

    @cache
    def texts(node: str | None) -> Iterable[tuple[str, str]]:
        return compiler.compile(Target(backend, node)).files.items()

    directory = Directory(snapshot)
    holders = {address for pod in snapshot.pods for address in pod.ips}
    own = {address for node in snapshot.nodes.values() for address in node.ips}
    addresses = sorted(holders | own | {"203.0.113.9", "2001:db8:1::9"})
    asked = [pair for pair in product(addresses, addresses) if (":" in pair[0]) == (":" in pair[1])]
    random = Random(seed)
    for source, destination in random.sample(asked, min(10, len(asked))):
        there, wanted = directory.destination(f"[{destination}]{random.choice(PORTS)}")
        answer = explain(policies, snapshot, directory.source(source), there, wanted)
        for one, journey in Rules(policies, snapshot, answer, texts, everywhere=everywhere).journeys():
            assert journey is not None
            assert all(passage.agrees for passage in journey.passages), f"{source} {destination} {wanted}"
            assert not journey.passages or one.allowed is all(passage.ways.passed for passage in journey.passages)
