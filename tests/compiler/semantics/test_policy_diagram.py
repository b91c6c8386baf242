"""The diagram of the policies says of every packet what the oracle says of it, on random clusters, at every edge."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings

from compiler.semantics.boundaries import OUTSIDERS, boundaries
from compiler.semantics.diagrams.clauses import Clauses
from compiler.semantics.diagrams.ends import Ends
from compiler.semantics.diagrams.policy_diagram import PolicyDiagrams
from compiler.semantics.diagrams.space import ACCEPT, DROP, Level, Path, space
from compiler.semantics.oracle import Oracle
from compiler.semantics.packet import ICMP, ICMPV6, Packet, packets
from compiler.semantics.proof.case import Case, said
from compiler.semantics.rules.netfilter import AddressType, State
from compiler.snapshot import build
from compiler.sources.manifests import load
from tests.property.scenarios import Scenario, scenarios

VERSIONS = (4, 6)


def values(case: Case) -> dict[int, int]:
    """The case as diagrams ask about it."""
    packet = case.packet
    found = {
        Level.STATE: case.state,
        Level.SOURCE_TYPE: case.source_type,
        Level.DESTINATION: int(ipaddress.ip_address(packet.dst)),
        Level.SOURCE: int(ipaddress.ip_address(packet.src)),
        Level.PROTOCOL: packet.proto,
        Level.DPORT: packet.dport,
        Level.HOPS: packet.hop_limit,
    }
    if packet.proto in (ICMP, ICMPV6):
        found[Level.ICMP_TYPE] = {ICMP: 8, ICMPV6: 128}[packet.proto] if packet.icmp_type is None else packet.icmp_type
    return {int(level): int(value) for level, value in found.items()}


def cases(packet: Packet, turn: int) -> Iterator[Case]:
    """The packet on every path as a first packet, and once in one of the other situations."""
    for path in Path:
        yield Case(path, packet)
    others = list(product(Path, State, (AddressType.UNICAST, AddressType.LOCAL)))
    path, state, kind = others[turn % len(others)]
    yield Case(path, packet, state, kind)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios)
def test_it_says_what_the_oracle_says(scenario: Scenario) -> None:
    found = load([("scenario.json", scenario.text)])
    referred = {p.value.metadata.namespace or "default" for p in found.policies if p.value.kind == "NetworkPolicy"}
    snapshot = build(found.pods, found.namespaces, found.nodes, referred)
    policies = [located.value for located in found.policies]
    oracle = Oracle(policies, snapshot)
    asked = list(packets(boundaries(policies, snapshot), 150, 0))
    ends = sorted({OUTSIDERS[1], *(packet.src for packet in asked if packet.version == 6)})
    for icmp_type, hops in product((133, 134, 135, 136, 137), (254, 255)):
        asked += [Packet(ends[0], end, ICMPV6, icmp_type=icmp_type, hop_limit=hops) for end in ends[:3]]
    over = {version: space(version) for version in VERSIONS}
    clauses = {version: Clauses(policies, Ends(snapshot, version)) for version in VERSIONS}
    for node in (None, *snapshot.node_names()):
        sides = {v: PolicyDiagrams(clauses[v], node, over[v]) for v in VERSIONS}
        whole = {(version, path): sides[version].at(path) for version in VERSIONS for path in Path}
        for n, packet in enumerate(asked):
            for case in cases(packet, n):
                diagram = whole[packet.version, case.path]
                verdict = over[packet.version].made.says(diagram, values(case))
                assert verdict == (ACCEPT if said(oracle, node, case).allowed else DROP), (node, case)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_policies_everything_passes(version: int) -> None:
    over = space(version)
    side = PolicyDiagrams(Clauses([], Ends(build(), version)), None, over)
    assert {side.at(path) for path in Path} == {over.made.outcome(ACCEPT)}
