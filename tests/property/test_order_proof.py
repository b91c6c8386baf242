"""Random programs in the order of random counters do to every packet what they do as written, and stay so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from compiler.backends import iptables, nftables
from compiler.backends.target import Backend, Target
from compiler.errors import InvalidInput, Unsupported
from compiler.ir.ruleset import Ruleset
from compiler.passes.split_families import split_families
from compiler.pipeline import Compiler, Counted
from compiler.profiles.profiles import Count, Key, Profile, numbered
from compiler.profiles.words import of_iptables_text
from compiler.resources.language import Program
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.proof.equivalence import Equal, equivalent
from compiler.semantics.rules import rulesets
from compiler.weighing import TOOLS
from tests.compiler.programs import programs_of_lists
from tests.compiler.table_programs import table_programs
from tests.compiler.worlds import World, worlds
from tests.property.test_lists_proof import refused

NODE = "n1"
PRINTED = {Backend.NFTABLES: nftables.rules, Backend.IPTABLES: iptables.rules}


class Traffic:
    """Packets that rules count: of a few many, of most some or none; of the same rule always the same."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)
        self._packets: dict[tuple[str, Key], int] = {}

    def counted(self, ruleset: Ruleset, backend: Backend) -> Counted:
        """Profiles of the ruleset as it is loaded."""
        profiles = []
        for tool in TOOLS[backend]:
            own = [one for one in PRINTED[backend](ruleset) if one.tool == tool]
            words = (one.text if tool == "nft" else of_iptables_text(one.text) for one in own)
            keys = numbered((one.table, one.chain, text) for one, text in zip(own, words, strict=True))
            profiles.append(Profile("random", tool, {key: Count(self._of(tool, key), 0) for key in keys}))
        return Counted(tuple(profiles), 86_400, Fraction(0))

    def _of(self, tool: str, key: Key) -> int:
        many = self._dice.choice([0, self._dice.randrange(10), self._dice.randrange(10**6)])
        return self._packets.setdefault((tool, key), many)


def fare_alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    with refused(Unprovable, "stateful matches on a path"):
        return isinstance(equivalent(rulesets.read(one.items()), rulesets.read(other.items())), Equal)
    raise AssertionError


@pytest.mark.parametrize("backend", list(Backend))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), program=st.one_of(programs_of_lists(), table_programs()), seed=st.integers(0, 1 << 32))
def test_packets_fare_alike(backend: Backend, world: World, program: Program, seed: int) -> None:
    target, traffic = Target(backend, NODE, counters=True), Traffic(seed)
    try:
        compiler = Compiler([], world.snapshot, program, None)
    except InvalidInput:  # statements that no compile takes
        reject()
    with refused(Unsupported, "chains one in the other"):
        plain = compiler.compile(replace(target, counters=False))
    written = compiler.compile(target)
    first = compiler.compile(target, traffic.counted(written.ruleset, backend))
    apart = split_families(written.ruleset) if backend is Backend.IPTABLES else written.ruleset
    for one, other in zip(apart.chains, first.ruleset.chains, strict=True):
        same = [sorted(repr(replace(rule, weight=None)) for rule in chain.rules) for chain in (one, other)]
        assert same[0] == same[1]
    # The same packets, counted by the rules in their new order: nothing changes any more.
    assert compiler.compile(target, traffic.counted(first.ruleset, backend)).files == first.files
    assert fare_alike(plain.files, first.files)
