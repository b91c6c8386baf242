"""What is emitted for random programs with every kind of list is proved equal to them: lists in lists, conditions,
chance, ends by what routing says, every packet, what is forwarded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.errors import Unsupported
from compiler.pipeline import Compiler
from compiler.resources.language import Program
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.proof.verify import Equal, verify
from compiler.semantics.rules import rulesets
from tests.compiler.programs import programs_of_lists
from tests.compiler.worlds import World, worlds

NODE = "n1"


@contextmanager
def refused(error: type[Exception], words: str) -> Iterator[None]:
    """Passes over a program that is refused in these words; other refusals are failures."""
    try:
        yield
    except error as refusal:
        if words not in str(refusal):
            raise
        reject()


@pytest.mark.parametrize("backend", list(Backend))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), program=programs_of_lists(), saved=st.booleans())
def test_emitted_lists_are_equal(backend: Backend, world: World, program: Program, saved: bool) -> None:
    compiler = Compiler([], world.snapshot, program, () if saved else None)
    # Lists too deep for nf_tables, and too many throws behind each other, are refused by name.
    with refused(Unsupported, "chains one in the other"):
        made = compiler.compile(Target(backend, NODE))
    texts = rulesets.read(made.files.items())
    with refused(Unprovable, "stateful matches on a path"):
        said = verify([], world.snapshot, NODE, texts, (4, 6), program, made.failsafe)
    assert isinstance(said, Equal), (program, said.witnesses[0])
