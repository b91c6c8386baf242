"""The texts for every node of every conformance case mean what its policies say: proved, for all packets."""

from __future__ import annotations

import pytest

from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from tests.conformance.cases import Case
from tests.conformance.judged import Judged
from tests.conformance.test_cases import every_case


@pytest.mark.parametrize("flavour", ["nftables", "iptables-legacy"])
@every_case
def test_proof(case: Case, flavour: str) -> None:
    proved = 0
    for state in case.states():
        judged = Judged(state)
        policies = [located.value for located in judged.policies]
        for node in judged.snapshot.node_names():
            ruleset = rulesets.read(judged.files(node, flavour).items())
            found = verify(policies, judged.snapshot, node, ruleset)
            assert isinstance(found, Equal), f"{state.title}, {node}: {found.witnesses[0]}"
            proved += 1
    assert proved
