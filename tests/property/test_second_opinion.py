"""Proofs of OxiDD's diagrams end as ours do: on what the compiler emits, and on texts with planted mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random

import pytest
from hypothesis import given

from compiler.backends.target import Backend
from compiler.errors import NetpolcError
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.netfilter import Ruleset
from grammar.ruletext import Refused
from tests.conformance.cases import FOLDER, cases
from tests.conformance.judged import Judged
from tests.property.mutants import OPERATORS
from tests.property.scenarios import Scenario, scenario, scenarios
from tests.property.second_opinion import Opinion, first, second
from tests.property.test_oracle_is_the_compiler import examples
from tests.property.trial import Trial


@examples(15)
@given(scenario=scenarios)
def test_emitted_texts(scenario: Scenario) -> None:
    trial = Trial(scenario.text, 1)
    for backend in Backend:
        for node in (None, *trial.snapshot.node_names()) if trial.packets else ():
            ruleset = rulesets.read(trial.compiled(node, backend).files.items())
            assert second(trial.policies, trial.snapshot, node, ruleset) is Opinion.EQUAL


@pytest.mark.skipif(not any(cases()), reason=f"no netpolc-cases/1 file in {FOLDER}")
@pytest.mark.parametrize("flavour", ["nftables", "iptables-legacy"])
def test_conformance_cases(flavour: str) -> None:
    """The last state of every tenth case."""
    proved = 0
    for case in list(cases())[::10]:
        *_, state = case.states()
        judged = Judged(state)
        policies = [located.value for located in judged.policies]
        for node in judged.snapshot.node_names():
            ruleset = rulesets.read(judged.files(node, flavour).items())
            assert second(policies, judged.snapshot, node, ruleset) is Opinion.EQUAL, f"{case.name}, {node}"
            proved += 1
    assert proved > 20


def planted(files: Mapping[str, str], chosen: Random, count: int) -> Iterator[Ruleset]:
    """The rules with one line changed, as far as they can still be read."""
    places = [
        (name, n)
        for name, text in files.items()
        for n, line in enumerate(text.split("\n"))
        if line.strip(" \t")[:1] != "#"
    ]
    for _ in range(count):
        name, n = chosen.choice(places)
        lines = files[name].split("\n")
        changes = [line for operator in OPERATORS.values() if (line := operator(lines[n], chosen)) is not None]
        lines[n] = chosen.choice(changes)
        try:
            yield rulesets.read({**files, name: "\n".join(lines)}.items())
        except (NetpolcError, Refused):
            continue


#: Somebody else's rules beside ours: a service with a pod behind it, and masquerading.
SERVICE = """table ip services {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 10.96.0.1 tcp dport 80 dnat to 10.0.1.5:8080
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.0.1.0/24 ip daddr != 10.0.1.0/24 masquerade
	}
}
"""


@pytest.mark.parametrize("others", [{}, {"services.nft": SERVICE}], ids=["alone", "beside NAT"])
def test_planted_mistakes(others: Mapping[str, str]) -> None:
    told = Counter[Opinion]()
    for seed in range(8):
        trial = Trial(scenario(Random(seed)).text, 1)
        for backend in Backend:
            for node in trial.snapshot.node_names()[:1] if trial.packets else ():
                files = {**trial.compiled(node, backend).files, **others}
                for ruleset in planted(files, Random(seed), 12):
                    asked = trial.policies, trial.snapshot, node, ruleset
                    ours = first(*asked)
                    assert second(*asked) is ours
                    told[ours] += 1
    assert min(told[Opinion.EQUAL], told[Opinion.DIFFERENT]) > 25, told
