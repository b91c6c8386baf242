"""What is emitted for random programs with every kind of list is proved equal to them: lists in lists, conditions,
chance, ends by what routing says, every packet, what is forwarded."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.resources.language import Program
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from tests.compiler.programs import programs_of_lists
from tests.compiler.worlds import World, worlds

NODE = "n1"


@pytest.mark.parametrize("backend", list(Backend))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), program=programs_of_lists(), saved=st.booleans())
def test_emitted_lists_are_equal(backend: Backend, world: World, program: Program, saved: bool) -> None:
    compiler = Compiler([], world.snapshot, program, () if saved else None)
    made = compiler.compile(Target(backend, NODE))
    texts = rulesets.read(made.files.items())
    said = verify([], world.snapshot, NODE, texts, (4, 6), program, made.failsafe)
    assert isinstance(said, Equal), (program, said.witnesses[0])
