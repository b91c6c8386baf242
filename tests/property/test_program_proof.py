"""What the compiler emits for random programs over random clusters is proved equal to them, and nothing else is."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.resources.language import NO_PROGRAM, Program
from compiler.semantics import rulesets
from compiler.semantics.verify import Equal, verify
from compiler.snapshot import Snapshot
from tests.compiler.semantics.test_program_diagram import world
from tests.property.programs import Maker


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_emitted_texts_are_equal(seed: int) -> None:
    """One node and back end each time, both families, with the lines of the failsafe and without."""
    random = Random(seed)
    located, snapshot, maker = world(random)
    assume(any(pod.holds_addresses for pod in snapshot.pods))
    program, names = maker.program(), snapshot.node_names()
    ssh = (None, (), (2222,))[random.randint(0, 2)]
    compiler = Compiler(located, snapshot, program, ssh)
    target = Target(list(Backend)[random.randint(0, 1)], names[random.randint(0, len(names) - 1)])
    made = compiler.compile(target)
    policies = [one.value for one in located]
    said = verify(policies, snapshot, target.node, rulesets.read(made.files.items()), (4, 6), program, made.failsafe)
    assert isinstance(said, Equal), (target, program, said.witnesses[0])


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_a_machine_by_itself_is_proved_too(seed: int) -> None:
    """Without pods and policies."""
    random = Random(seed)
    snapshot = Snapshot()
    program: Program = Maker(random, ["10.0.1.7", "fd00::7"]).program()
    assume(program != NO_PROGRAM)
    made = Compiler([], snapshot, program).compile(Target(list(Backend)[random.randint(0, 1)]))
    said = verify([], snapshot, None, rulesets.read(made.files.items()), (4, 6), program, made.failsafe)
    assert isinstance(said, Equal), (program, said.witnesses[0])
