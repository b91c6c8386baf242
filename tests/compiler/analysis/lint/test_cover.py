"""What is said to be covered is covered, and the other way round: blocks and ports against every single point."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compiler.analysis.lint.cover import extent, implies, is_covered, meet
from compiler.analysis.lint.labels import distance
from compiler.net import Prefix
from compiler.policy import Action, Block, Direction, Origin, Ports, Requirement, Rule, Selector
from grammar.source import Span

ORIGIN = Origin("NetworkPolicy", "n", "p", "", Span("f", 1, 1, 1, 1))


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    """Blocks of the last four bits, so that all addresses can be tried."""
    length = draw(st.integers(28, 32))
    shift = 32 - length
    return Prefix(4, draw(st.integers(0, 15)) >> shift << shift, length)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    peers = []
    for prefix in draw(st.lists(prefixes(), min_size=1, max_size=2)):
        cuts = draw(st.lists(prefixes(), max_size=2))
        peers.append(Block(prefix, tuple(c for c in cuts if prefix.covers(c) and c != prefix)))
    first = draw(st.integers(1, 4))
    ports = Ports(spans=((6, first, draw(st.integers(first, 5))),))
    return Rule(Action.ALLOW, tuple(peers), ports, ORIGIN)


def points(rule: Rule) -> set[tuple[int, int]]:
    found = set()
    for peer in rule.peers:
        assert isinstance(peer, Block)
        for address in range(16):
            one = Prefix(4, address, 32)
            if peer.prefix.covers(one) and not any(cut.covers(one) for cut in peer.excepts):
                found |= {(address, port) for _, low, high in rule.ports.spans for port in range(low, high + 1)}
    return found


@given(rules(), st.lists(rules(), max_size=4))
def test_blocks_and_ports_are_exact(rule: Rule, others: list[Rule]) -> None:
    everything = set[tuple[int, int]]().union(*map(points, others))
    assert is_covered(rule, others, Direction.INGRESS, {}) is (points(rule) <= everything)


@given(rules(), rules())
def test_rules_that_do_not_meet_have_nothing_in_common(one: Rule, two: Rule) -> None:
    if not meet(extent(one), extent(two)):
        assert not points(one) & points(two)


requirements = st.builds(
    lambda key, operator, values: Requirement(key, operator, tuple(sorted(values)) if "In" in operator else ()),
    st.sampled_from("ab"),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    st.sets(st.sampled_from("xyz"), min_size=1),
)
selectors = st.builds(lambda some: Selector(tuple(some)), st.lists(requirements, max_size=3))


@given(selectors, selectors, st.dictionaries(st.sampled_from("ab"), st.sampled_from("xyzw")))
def test_what_one_implies_holds(one: Selector, two: Selector, labels: dict[str, str]) -> None:
    if implies(one, two) and one.matches(labels):
        assert two.matches(labels)


def test_distance() -> None:
    assert [distance(*pair) for pair in (("", "ab"), ("abc", "abc"), ("kitten", "sitting"), ("ab", "ba"))] == [
        2,
        0,
        3,
        2,
    ]
