"""The diagram of a program says of every packet what its statements say one by one, on random clusters."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.resources import AdminNetworkPolicy, ClusterNetworkPolicy
from compiler.resources.language import Program
from compiler.semantics.diagrams.clauses import Clauses
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.policy_diagram import PolicyDiagrams
from compiler.semantics.diagrams.space import ACCEPT, DROP, Level, Path, space
from compiler.semantics.proof.case import Case, Said
from compiler.semantics.proof.items import lists
from compiler.semantics.proof.program import ProgramOracle, in_baseline, in_order
from compiler.semantics.proof.program_diagram import ProgramDiagrams, baseline_blocks
from compiler.semantics.proof.program_ends import ProgramEnds
from compiler.semantics.rules.netfilter import AddressType
from compiler.semantics.verdict import AnyPolicy
from compiler.snapshot import Snapshot, build
from compiler.sources.manifests import Located, load
from tests.compiler.semantics.test_policy_diagram import values
from tests.property.enriched import Enricher
from tests.property.programs import HIGHEST, Maker
from tests.property.scenarios import scenario


def world(random: Random) -> tuple[list[Located], Snapshot, Maker]:
    """A cluster; objects of the admin tier stay where they come behind blocks."""
    found = load([("scenario.json", scenario(random).text)])
    policies = [located for located in found.policies if not _is_early(located.value)]
    referred = {p.value.metadata.namespace or "default" for p in policies if p.value.kind == "NetworkPolicy"}
    snapshot = build(found.pods, found.namespaces, found.nodes, referred)
    ends = [*(ip for pod in snapshot.pods for ip in pod.ips), *(ip for n in snapshot.nodes.values() for ip in n.ips)]
    return policies, snapshot, Maker(random, ends)


def _is_early(policy: AnyPolicy) -> bool:
    return isinstance(policy, ClusterNetworkPolicy | AdminNetworkPolicy) and policy.spec.priority <= HIGHEST


def changed(random: Random, case: Case, opaque: Iterable[str]) -> Case:
    """The case with a mark, other types of its addresses, and answers for what statements ask beside the packet."""
    kinds = list(AddressType)[2:6]
    mark, sport = random.choice((0, 0x10, 0xF0, 0x12)), random.choice((40000, 40005, 40011))
    others = {text: random.random() < 0.5 for text in opaque}
    found = replace(case, mark=mark, others=others, packet=replace(case.packet, sport=sport))
    if random.random() < 0.3:
        found = replace(found, source_type=random.choice(kinds))
    return replace(found, destination_type=random.choice(kinds)) if random.random() < 0.3 else found


def numbers(case: Case, opaque: Mapping[int, str] | None = None) -> dict[int, int]:
    """The case as diagrams ask about it."""
    names = {Level.INPUT: case.input, Level.OUTPUT: case.output}
    found = {int(level): int.from_bytes(name.encode().ljust(16, b"\0"), "big") for level, name in names.items()}
    others = {level: int(case.others.get(text, False)) for level, text in (opaque or {}).items()}
    bits = {int(Level.SPORT): case.packet.sport}
    bits |= {Level.MARK + n: case.mark >> 31 - n & 1 for n in range(32)}
    return values(case) | found | others | bits | {int(Level.DESTINATION_TYPE): int(case.destination_type)}


def diagrams(
    program: Program, policies: list[AnyPolicy], snapshot: Snapshot, node: str | None, version: int
) -> ProgramDiagrams:
    ends, over = ProgramEnds(Ends(snapshot, version), snapshot), space(version)
    clauses = Clauses(policies, ends.ends, baseline_blocks(in_baseline(program), ends))
    behind = PolicyDiagrams(clauses, node, over)
    return ProgramDiagrams(lists(program, in_order(program, policies)), ends, node, behind, over)


def word(said: Said) -> str:
    return ACCEPT if said.allowed else f"reject {said.answer}" if said.answer else DROP


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_it_says_what_the_statements_say(seed: int) -> None:
    agree(Random(seed), rich=False)  # its own choices would be shrunk for an hour


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_lists_in_lists_and_conditions(seed: int) -> None:
    agree(Random(seed), rich=True)


def agree(random: Random, rich: bool) -> None:
    located, snapshot, maker = world(random)
    policies = [one.value for one in located]
    program = maker.program()
    if rich:
        program = Enricher(random).program(program)
    names = snapshot.node_names()
    node = (None, *names)[random.randint(0, len(names))]
    oracle = ProgramOracle(program, policies, snapshot, node)
    sides = {version: diagrams(program, policies, snapshot, node, version) for version in (4, 6)}
    whole = {(version, path): sides[version].at(path) for version in (4, 6) for path in Path}
    for _ in range(200):
        case = maker.case()
        version = case.packet.version
        made, opaque = sides[version].over.made, sides[version].matches.opaque
        if rich:
            case = changed(random, case, opaque.values())
        assert made.says(whole[version, case.path], numbers(case, opaque)) == word(oracle.said(case)), case


def test_cases_are_of_both_families() -> None:
    maker = Maker(Random(1), ["10.0.1.1", "fd00::1"])
    assert {ipaddress.ip_address(maker.case().packet.src).version for _ in range(50)} == {4, 6}
