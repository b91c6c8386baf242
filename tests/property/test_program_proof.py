"""What is emitted for random programs over random clusters is proved equal to them; planted mistakes are not."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compiler.backends.target import Backend, Target
from compiler.pipeline import Compiler
from compiler.resolve.failsafe import Session
from compiler.resources.language import NO_PROGRAM, Program
from compiler.semantics.diagrams.diagram_nodes import Unprovable
from compiler.semantics.diagrams.space import Path
from compiler.semantics.proof.case import Case
from compiler.semantics.proof.verify import Equal, verify, way_of
from compiler.semantics.rules import rulesets
from compiler.semantics.rules.netfilter import AddressType
from compiler.snapshot import Snapshot
from grammar.ruletext import Refused
from tests.compiler.semantics.test_program_diagram import world
from tests.property.enriched import Enricher
from tests.property.mutants import Tally, mutants_of
from tests.property.programs import Maker

TOOLS = {Backend.NFTABLES: "nft", Backend.IPTABLES: "iptables"}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_emitted_texts_are_equal(seed: int) -> None:
    """One node and back end each time, both families, with the lines of the failsafe and without."""
    random = Random(seed)
    located, snapshot, maker = world(random)
    assume(any(pod.holds_addresses for pod in snapshot.pods))
    program, names = maker.program(), snapshot.node_names()
    ssh = (None, (), (Session(ip_address("10.0.1.7"), 2222),))[random.randint(0, 2)]
    compiler = Compiler(located, snapshot, program, ssh)
    target = Target(list(Backend)[random.randint(0, 1)], names[random.randint(0, len(names) - 1)])
    made = compiler.compile(target)
    policies = [one.value for one in located]
    said = verify(policies, snapshot, target.node, rulesets.read(made.files.items()), (4, 6), program, made.failsafe)
    assert isinstance(said, Equal), (target, program, said.witnesses[0])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_lists_in_lists_conditions_and_rules_of_one_tool_are_equal(seed: int) -> None:
    random = Random(seed)
    located, snapshot, maker = world(random)
    assume(any(pod.holds_addresses for pod in snapshot.pods))
    target, program = richer(random, snapshot, maker)
    made = Compiler(located, snapshot, program, (None, ())[random.randint(0, 1)]).compile(target)
    policies, texts = [one.value for one in located], rulesets.read(made.files.items())
    said = verify(policies, snapshot, target.node, texts, (4, 6), program, made.failsafe)
    assert isinstance(said, Equal), (target, program, said.witnesses[0])


def richer(random: Random, snapshot: Snapshot, maker: Maker) -> tuple[Target, Program]:
    names, backend = snapshot.node_names(), list(Backend)[random.randint(0, 1)]
    target = Target(backend, names[random.randint(0, len(names) - 1)])
    return target, Enricher(random, TOOLS[backend]).program(maker.program())


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_a_machine_by_itself_is_proved_too(seed: int) -> None:
    """Without pods and policies."""
    random = Random(seed)
    snapshot = Snapshot()
    program: Program = Maker(random, ["10.0.1.7", "fd00::7"]).program(baseline=False)
    assume(program != NO_PROGRAM)
    made = Compiler([], snapshot, program).compile(Target(list(Backend)[random.randint(0, 1)]))
    said = verify([], snapshot, None, rulesets.read(made.files.items()), (4, 6), program, made.failsafe)
    assert isinstance(said, Equal), (program, said.witnesses[0])


def seen(case: Case, snapshot: Snapshot) -> bool:
    """Whether a machine sees such a packet on its path, as far as the tracer can be told of it."""
    nodes = {address for node in snapshot.nodes.values() for address in node.ips}
    nodes |= {address for pod in snapshot.pods if pod.host_network for address in pod.ips}
    pods = {address for pod in snapshot.pods for address in pod.ips}
    if case.path is Path.INPUT:
        return case.packet.dst not in pods - nodes and case.source_type is not AddressType.LOCAL
    if case.path is Path.OUTPUT and case.source_type is AddressType.LOCAL:
        return True
    return case.packet.src not in nodes and case.source_type is not AddressType.LOCAL


def planted(seed: int, tally: Tally, rich: bool = False) -> None:
    """Some lines of the text of one program changed, each judged by the proof, and by the tracer where that lets it
    through."""
    random = Random(seed)
    located, snapshot, maker = world(random)
    if not any(pod.holds_addresses for pod in snapshot.pods):
        return
    policies, names = [one.value for one in located], snapshot.node_names()
    target, program = Target(list(Backend)[seed % 2], names[0]), maker.program()
    if rich:
        program = Enricher(random, TOOLS[target.backend]).program(program)
    made = Compiler(located, snapshot, program).compile(target)
    before = rulesets.read(made.files.items())
    cases = [case for case in (maker.case() for _ in range(400)) if seen(case, snapshot)]
    for name, text in made.files.items():
        for operator, line, mutant in mutants_of(text, random, 4):
            try:
                after = rulesets.read({**made.files, name: mutant}.items())
                said = verify(policies, snapshot, target.node, after, (4, 6), program, made.failsafe)
            except (Refused, Unprovable):
                tally.refused[operator] += 1
                continue
            if not isinstance(said, Equal):
                tally.caught[operator] += 1
                continue
            ways = ((case, way_of(before, case), way_of(after, case)) for case in cases)
            wrong = next((case for case, one, two in ways if one and two and one.how != two.how), None)
            if wrong is None:
                tally.equal.append((operator, line))
            else:
                tally.missed.append(f"seed {seed}, {operator}: {line}: {wrong}")


def test_planted_mistakes_are_caught() -> None:
    tally = Tally()
    for seed in range(700, 724):
        planted(seed, tally)
    assert not tally.missed
    assert tally.changed >= 60
    assert tally.caught.total() > tally.changed // 3  # many programs have rules that nobody meets


def test_planted_mistakes_are_caught_in_lists_and_conditions() -> None:
    tally = Tally()
    for seed in range(800, 824):
        planted(seed, tally, rich=True)
    assert not tally.missed
    assert tally.changed >= 60
    assert tally.caught.total() > tally.changed // 3
