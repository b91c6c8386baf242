"""Expectations hold, or a packet shows that they do not; and the rules that some of them constrains."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiler.resources.language import Anyone, Item, Program, Reaches, Rule, Within
from compiler.semantics.diagrams.space import Path
from compiler.semantics.proof.case import Case
from compiler.semantics.proof.expectations import Judged, judge
from compiler.semantics.proof.program import ProgramOracle
from compiler.semantics.rules.netfilter import AddressType, State
from compiler.snapshot import Snapshot
from grammar.source import Span
from tests.compiler.semantics.test_program import CLOSED, CLUSTER, program
from tests.compiler.semantics.test_program_diagram import world
from tests.property.enriched import Enricher

VERBS = ("allow", "deny", "pass")
HERE = Span("-", 0, 0, 0, 0)


def judged(text: str, snapshot: Snapshot = CLUSTER) -> Judged:
    return judge(program(text), [CLOSED], snapshot)


GOOD = """
policy edge {
  allow  world -> web : tcp/443
  deny   world -> web
  deny   web -> 169.254.169.254
}
node { deny any -> self : tcp/10250 unless from nodes  allow 10.0.0.4 -> self : tcp/22  deny any -> self : tcp/22 }
expect {
"""


@pytest.mark.parametrize(
    "text",
    [
        "world can reach web : 443",
        "world cannot reach web : 22",
        "world cannot reach db",
        "only 10.0.0.4 can reach self : 22",
        "10.0.0.4 can reach self : 22",
        "world except nodes cannot reach self : 10250",
        "web cannot reach 169.254.169.254",
        "only { world, db } cannot reach web : 8080",
        "web can reach nodes : 443",
        "self can reach db",
        "any except self cannot reach db",
    ],
)
def test_they_hold(text: str) -> None:
    said = judged(f"{GOOD}{text} }}")
    assert not said.failed, said.failed
    assert not said.idle


@pytest.mark.parametrize(
    ("text", "packet", "decided"),
    [
        ("world can reach web : 443,80", "198.51.100.77 -> 10.0.1.1 tcp/80", "deny world -> web"),
        ("world cannot reach web", "198.51.100.77 -> 10.0.1.1 tcp/443", "allow world -> web : tcp/443"),
        ("world can reach db : 5432", "198.51.100.77 -> 10.0.1.2 tcp/5432", None),
        ("only world can reach web : 443", "198.51.100.77 -> 10.0.1.1 tcp/443", None),
        ("only 10.0.0.5 can reach self : 22", "10.0.0.4 -> 198.51.100.77 tcp/22", "allow 10.0.0.4 -> self : tcp/22"),
        ("world can reach self", "198.51.100.77 -> 198.51.100.77 tcp/22", "deny any -> self : tcp/22"),
        ("nodes cannot reach web", "192.0.2.2 -> 10.0.1.1 protocol 0", None),
        ("web can reach nodes", "10.0.1.1 -> 192.0.2.1 tcp/22", "deny any -> self : tcp/22"),
    ],
)
def test_they_fail_with_a_packet(text: str, packet: str, decided: str | None) -> None:
    (failed,) = judged(f"{GOOD}{text} }}").failed
    assert failed.expected.text == text
    assert str(failed.case.packet) == packet
    assert [one.rule.text for one in failed.said.decided] == ([decided] if decided else [])
    assert failed.said.allowed is ("cannot" in text or "only" in text)


def test_an_expectation_of_nobody_is_told() -> None:
    said = judged("expect { pods(app=gone) can reach web }")
    assert [one.text for one in said.idle] == ["pods(app=gone) can reach web"]
    assert not said.failed


def test_coverage() -> None:
    expected = "world can reach web : 443  web cannot reach 169.254.169.254  only 10.0.0.4 can reach self : 22 }"
    free = [one.rule.text for one in judged(GOOD + expected).unconstrained]
    assert free == [
        "deny world -> web",
        "deny any -> self : tcp/10250 unless from nodes",
        "allow 10.0.0.4 -> self : tcp/22",
    ]


def test_coverage_of_the_baseline_tier() -> None:
    """A rule that denies both directions is what stops a connection; one of two that do is not."""
    text = """
    policy base tier baseline { allow 10.0.0.4 -> web  deny any -> web  deny web -> 10.0.0.5  pass web -> any }
    policy more tier baseline { deny any -> any }
    expect { 10.0.0.4 can reach web  10.0.0.5 cannot reach web  web can reach 10.9.0.0/16 """
    free = [one.rule.text for one in judged(text + "}").unconstrained]
    assert free == ["deny web -> 10.0.0.5", "deny any -> any"]
    assert [one.rule.text for one in judged(text + "web cannot reach web }").unconstrained] == free


def test_a_machine_by_itself() -> None:
    """Without pods and policies."""
    text = "policy p { deny iface lan -> world : tcp/25 } expect { iface lan cannot reach world : 25 "
    assert judge(program(text + "world can reach self }"), [], Snapshot()).failed == ()


def contradicts(oracle: ProgramOracle, expected: Reaches, case: Case) -> bool:
    """Whether a plain forwarded packet is one that the expectation speaks of and is wrong about."""
    ends = Rule(verb="deny", source=expected.source, target=expected.target, ports=expected.ports, text="", span=HERE)
    anyone = ends.model_copy(update={"source": Anyone()})
    met = oracle.rules.matches(ends, case)
    spoken = oracle.rules.matches(anyone, case) and not met if expected.only else met
    return spoken and oracle.said(case).allowed != (expected.can != expected.only)


def plain(case: Case) -> bool:
    packet = case.packet
    local = AddressType.LOCAL in (case.source_type, case.destination_type)
    return case.path is Path.FORWARD and case.state is State.NEW and packet.icmp_type not in (135, 136) and not local


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_packets_agree(seed: int) -> None:
    agree(Random(seed), rich=False)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_packets_agree_with_lists_in_lists_and_conditions(seed: int) -> None:
    agree(Random(seed), rich=True)


def agree(random: Random, rich: bool) -> None:
    """No packet contradicts what holds, and each witness contradicts what does not."""
    located, snapshot, maker = world(random)
    policies, made = [one.value for one in located], maker.program(expects=True)
    made = Enricher(random).program(made) if rich else made
    said = judge(made, policies, snapshot)
    oracle = ProgramOracle(made, policies, snapshot, None)
    assert all(oracle.said(one.case) == one.said for one in said.failed)
    assert all(one.said.allowed != (one.expected.can != one.expected.only) for one in said.failed)
    failed = {id(one.expected) for one in said.failed}
    holding = [e for e in made.expectations if isinstance(e, Reaches) and id(e) not in failed]
    own = {address for node in snapshot.nodes.values() for address in node.ips}
    for case in filter(plain, (maker.case() for _ in range(150))):
        if case.packet.src != case.packet.dst and case.packet.src not in own:
            assert not any(contradicts(oracle, one, case) for one in holding), case


def changed(made: Program) -> Iterator[tuple[Rule, Program]]:
    """The program with another verb in one of its rules that decide."""
    for name in ("node", "forward", "node_packets", "forward_packets"):
        for rule, items in other_verbs(getattr(made, name)):
            yield rule, made.model_copy(update={name: items})
    for b, block in enumerate(made.policies):
        for rule, items in other_verbs(block.rules):
            other = block.model_copy(update={"rules": items})
            yield rule, made.model_copy(update={"policies": (*made.policies[:b], other, *made.policies[b + 1 :])})


def other_verbs(items: tuple[Item, ...]) -> Iterator[tuple[Rule, tuple[Item, ...]]]:
    for n, item in enumerate(items):
        others: list[tuple[Rule, Item]] = []
        if isinstance(item, Rule) and item.verb not in ("log", "leave"):
            others = [(item, item.model_copy(update={"verb": verb, "answer": None})) for verb in VERBS]
        elif isinstance(item, Within):
            others = [(rule, item.model_copy(update={"items": inner})) for rule, inner in other_verbs(item.items)]
        yield from ((rule, (*items[:n], other, *items[n + 1 :])) for rule, other in others)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_a_rule_is_constrained_when_another_verb_fails(seed: int) -> None:
    constrained(Random(seed), rich=False)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_rules_of_lists_in_lists_and_of_other_lists_are_counted_alike(seed: int) -> None:
    constrained(Random(seed), rich=True)


def constrained(random: Random, rich: bool) -> None:
    located, snapshot, maker = world(random)
    policies, made = [one.value for one in located], maker.program(expects=True)
    made = Enricher(random).program(made) if rich else made
    said = judge(made, policies, snapshot)
    failed = {id(one.expected) for one in said.failed}
    made = made.model_copy(update={"expectations": tuple(e for e in made.expectations if id(e) not in failed)})
    free = {id(one.rule) for one in said.unconstrained}
    breaks: dict[int, bool] = {}
    for rule, other in changed(made):
        breaks[id(rule)] = breaks.get(id(rule), False) or bool(judge(other, policies, snapshot).failed)
    assert {one for one, found in breaks.items() if not found} == free
