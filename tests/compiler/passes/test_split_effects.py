"""Effects get rules of their own; no packet notices, whichever way its chain goes on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.target import CAPABILITIES, Backend, Capabilities
from compiler.ir.check import check
from compiler.ir.effects import ClampMss, Effect, Log, SetDscp, SetMark, Step, Ttl
from compiler.ir.match import HasMark, Hops, IsProtocol, Match, Per, Rate, ToPorts
from compiler.ir.nat import Dnat
from compiler.ir.ruleset import (
    Accept,
    Answer,
    Chain,
    Continue,
    Drop,
    Goto,
    Hook,
    Jump,
    Reject,
    Return,
    Rule,
    Ruleset,
    Table,
    Verdict,
)
from compiler.net import Family
from compiler.passes.count_hops import count_hops
from compiler.passes.split_effects import split_effects
from tests.compiler.ir_walk import Seen, Walker
from tests.compiler.models import origin

V4, V6 = Family.IPV4, Family.IPV6
BACKENDS = [pytest.param(CAPABILITIES[backend], id=backend.value) for backend in Backend]
SLOW = Log("slow", 1, Rate(1, Per.DAY, 1))


def prepared(ruleset: Ruleset, capabilities: Capabilities) -> Ruleset:
    for step in (split_effects, count_hops):
        check(ruleset)
        ruleset = step(ruleset, capabilities)
    check(ruleset)
    return ruleset


def mangle(*rules: Rule, more: tuple[Chain, ...] = ()) -> Ruleset:
    return Ruleset((Chain("mangle-forward", rules, Hook.FORWARD, Table.MANGLE), *more))


def of(ruleset: Ruleset, name: str = "mangle-forward") -> list[Rule]:
    return [rule for rule in ruleset.chain(name).rules if isinstance(rule, Rule)]


effects: st.SearchStrategy[Effect] = st.one_of(
    st.sampled_from([Log("a"), Log("b", 1, Rate(1, Per.DAY)), SetDscp(8), ClampMss()]),
    st.builds(SetMark, st.integers(0, 3)),
    st.sampled_from([SetMark(1, 1), SetMark(0, 2)]),
    st.builds(Ttl, st.sampled_from(Step), st.integers(1, 255)),
)
matches: st.SearchStrategy[Match] = st.one_of(
    st.just(ToPorts(6, 80, 81)),
    st.just(IsProtocol(6)),
    st.builds(HasMark, st.integers(0, 3)),
    st.sampled_from([HasMark(1, 1), HasMark(0, 2)]),
)


@st.composite
def rulesets(draw: st.DrawFn) -> Ruleset:
    """A base chain and two others, the last of which ends."""

    def rule(verdicts: list[Verdict], family: Family | None) -> Rule:
        own = draw(st.sampled_from([family] if family else [None, V4, V6]))
        asked = list(draw(st.lists(matches, max_size=2, unique=True)))
        if own:
            asked += draw(st.lists(st.sampled_from([Hops(0, 64), Hops(1, 1), Hops(60, 255)]), max_size=1))
        done = tuple(draw(st.lists(effects, max_size=4)))
        verdict = draw(st.sampled_from(verdicts if done else [v for v in verdicts if v != Continue()]))
        return Rule(tuple(asked), verdict, own, effects=done)

    def chain(name: str, verdicts: list[Verdict], hook: Hook | None = None) -> Chain:
        family = draw(st.sampled_from([None, V4])) if hook is None and name == "last" else None
        rules = tuple(rule(verdicts, family) for _ in range(draw(st.integers(0, 4))))
        return Chain(name, rules, hook, Table.MANGLE, family)

    ending: list[Verdict] = [Drop(), Return(), Continue()]
    last = chain("last", ending)
    there: list[Verdict] = [] if last.family else [Jump("last"), Goto("last")]
    middle = chain("middle", [*ending, *there])
    first = chain("first", [*ending, *there, Accept(), Jump("middle"), Goto("middle")], Hook.FORWARD)
    return Ruleset((first, middle, last))


@settings(deadline=None, max_examples=300)
@given(rulesets(), st.sampled_from(list(Backend)))
def test_no_packet_notices(ruleset: Ruleset, backend: Backend) -> None:
    """Its verdict, everything done to it in its order, its mark and its TTL."""
    before, after = Walker(ruleset), Walker(prepared(ruleset, CAPABILITIES[backend]))
    for family in Family:
        for protocol, port, mark, hops in ((6, 80, 0, 64), (6, 82, 1, 1), (17, 80, 3, 255), (6, 81, 2, 0)):
            packet = Seen(family, 1, 2, protocol, port, mark=mark, hop_limit=hops)
            one, two = before.walk(packet), after.walk(packet)
            # A TTL that is already what counting would make it is not set again.
            kept = [[e for e in walked.effects if not isinstance(e, Ttl)] for walked in (one, two)]
            assert (one.accepted, one.packet, kept[0]) == (two.accepted, two.packet, kept[1])


@settings(deadline=None, max_examples=200)
@given(rulesets(), st.sampled_from(list(Backend)))
def test_what_comes_out_can_be_printed(ruleset: Ruleset, backend: Backend) -> None:
    capabilities = CAPABILITIES[backend]
    for chain in prepared(ruleset, capabilities).chains:
        for rule in chain.rules:
            assert isinstance(rule, Rule)
            statements = len(rule.effects) + (rule.verdict != Continue())
            assert statements == 1 or capabilities.statements
            for effect in rule.effects:
                alone = isinstance(effect, ClampMss) or (isinstance(effect, Log) and effect.limit)
                assert statements == 1 or not alone
                if isinstance(effect, Ttl | SetDscp):
                    assert rule.family or chain.family
                    assert capabilities.hop_arithmetic or not isinstance(effect, Ttl) or effect.step is Step.SET


@pytest.mark.parametrize("capabilities", BACKENDS)
class TestChains:
    def test_nothing_to_split(self, capabilities: Capabilities) -> None:
        ruleset = mangle(Rule((ToPorts(6, 1, 1),), Drop()), Rule((), Continue(), effects=(SetMark(1),)))
        assert prepared(ruleset, capabilities) == ruleset

    def test_a_rule_for_every_packet_needs_no_chain(self, capabilities: Capabilities) -> None:
        found = prepared(mangle(Rule((), Drop(), effects=(SLOW,))), capabilities)
        assert of(found) == [Rule((), Continue(), effects=(SLOW,)), Rule((), Drop())]
        assert len(found.chains) == 1

    def test_matches_are_asked_once(self, capabilities: Capabilities) -> None:
        found = prepared(mangle(Rule((HasMark(0),), Drop(), effects=(SLOW, SetMark(1)))), capabilities)
        (rule,) = of(found)
        assert isinstance(rule.verdict, Goto)
        inner = of(found, rule.verdict.chain)
        assert all(one.matches == () for one in inner)
        assert [effect for one in inner for effect in one.effects] == [SLOW, SetMark(1)]
        assert inner[-1].verdict == Drop()

    def test_what_comes_back_is_jumped_to(self, capabilities: Capabilities) -> None:
        """And Accept, Return and the rest are not to come back."""
        more = (Chain("there", (Rule((), Drop()),), table=Table.MANGLE),)
        for verdict, comes_back in (
            (Continue(), True),
            (Jump("there"), True),
            (Goto("there"), False),
            (Return(), False),
            (Accept(), False),
            (Drop(), False),
        ):
            rule = Rule((HasMark(0),), verdict, effects=(SLOW, SetMark(1)))
            (found,) = of(prepared(mangle(rule, more=more), capabilities))
            assert isinstance(found.verdict, Jump if comes_back else Goto)

    def test_rules_of_one_statement_share_a_chain_and_others_do_not(self, capabilities: Capabilities) -> None:
        one, two = (origin("one"),), (origin("two"),)
        parts = [(80, one, SLOW), (81, one, SLOW), (80, two, SLOW), (80, one, Log("other", 1, SLOW.limit))]
        rules = [Rule((ToPorts(6, port, port),), Drop(), None, who, effects=(log,)) for port, who, log in parts]
        targets = [rule.verdict for rule in of(prepared(mangle(*rules), capabilities))]
        assert targets[0] == targets[1]
        assert len(set(targets)) == 3

    def test_what_needs_its_protocol_keeps_it(self, capabilities: Capabilities) -> None:
        reset = Rule((ToPorts(6, 80, 80),), Reject(Answer.TCP_RESET), effects=(SLOW,))
        plain = Rule((ToPorts(6, 80, 80),), Reject(), effects=(SLOW,))
        found = prepared(Ruleset((Chain("forward", (reset, plain), Hook.FORWARD),)), capabilities)
        ends = [of(found, rule.verdict.chain)[-1] for rule in of(found, "forward") if isinstance(rule.verdict, Goto)]
        assert [end.matches for end in ends] == [(IsProtocol(6),), ()]
        to = Rule((ToPorts(17, 53, 53),), Dnat(1, 54), V4, effects=(SLOW,))
        found = prepared(Ruleset((Chain("p", (to,), Hook.PREROUTING, Table.NAT),)), capabilities)
        (added,) = (chain for chain in found.chains if chain.name != "p")
        assert of(found, added.name)[-1].matches == (IsProtocol(17),)
        both = (to, Rule((ToPorts(6, 53, 53),), Dnat(1, 54), V4, effects=(SLOW,)))
        found = prepared(Ruleset((Chain("p", both, Hook.PREROUTING, Table.NAT),)), capabilities)
        assert len(found.chains) == 3, "of each protocol its own"

    def test_the_chain_is_of_the_rule_s_table_and_family(self, capabilities: Capabilities) -> None:
        rule = Rule((HasMark(0),), Continue(), V6, (origin("edge"),), effects=(SLOW, SetDscp(1)))
        found = prepared(mangle(rule), capabilities)
        (added,) = found.chains[1:]
        assert (added.table, added.family) == (Table.MANGLE, V6)
        assert added.notes == (str(origin("edge")),)


def test_a_header_of_ip_is_written_for_each_family() -> None:
    found = prepared(mangle(Rule((HasMark(0),), Continue(), effects=(SetDscp(1),))), CAPABILITIES[Backend.NFTABLES])
    assert of(found) == [Rule((HasMark(0),), Continue(), family, effects=(SetDscp(1),)) for family in Family]


def test_counting_shares_a_tree() -> None:
    less = Ttl(Step.DECREASE, 1)
    rules = [Rule((ToPorts(6, port, port),), Continue(), effects=(less,)) for port in (80, 81)]
    found = prepared(mangle(*rules), CAPABILITIES[Backend.NFTABLES])
    assert len({rule.verdict for rule in of(found)}) == 2, "one for each family"
    assert len(found.chains) == 1 + 2 * 17
    assert prepared(mangle(*rules), CAPABILITIES[Backend.IPTABLES]).chain("mangle-forward").rules[0].family is V4
