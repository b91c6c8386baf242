"""What the compiler emits for random clusters is proved equal to the policies, and nothing else is."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from compiler.snapshot import build
from compiler.sources.manifests import load
from tests.property.scenarios import Scenario, scenarios


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios)
def test_emitted_texts_are_equal(scenario: Scenario) -> None:
    """For each node and for all pods at once, both back ends, both families."""
    found = load([("scenario.json", scenario.text)])
    referred = {p.value.metadata.namespace or "default" for p in found.policies if p.value.kind == "NetworkPolicy"}
    snapshot = build(found.pods, found.namespaces, found.nodes, referred)
    if not any(pod.holds_addresses for pod in snapshot.pods):
        return
    compiler = Compiler(found.policies, snapshot)
    for backend in Backend:
        for node in (None, *snapshot.node_names()):
            ruleset = rulesets.read(compiler.compile(Target(backend, node)).files.items())
            said = verify([located.value for located in found.policies], snapshot, node, ruleset)
            assert isinstance(said, Equal), (backend, node, said.witnesses[0])
