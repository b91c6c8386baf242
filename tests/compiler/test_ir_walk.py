"""The walker itself: what it takes for granted about chains, by rulesets small enough to read."""

from __future__ import annotations

import pytest

from compiler.ir import ruleset as ir
from compiler.ir.match import Field, InPrefix, InSet, Replies, ToPorts
from compiler.net import TCP, UDP, Family, parse_prefix
from tests.compiler.ir_walk import Seen, Walked, Walker

TEN = Seen(Family.IPV4, 0x0A000001, 0x0A000002, TCP, 80)  # 10.0.0.1 -> 10.0.0.2
DENY = ir.Chain("deny", (ir.Rule((), ir.Drop()),))


def walk(*rules: ir.Rule | ir.Lookup, packet: Seen = TEN, more: tuple[ir.Chain, ...] = (), **parts: object) -> Walked:
    ruleset = ir.Ruleset((ir.Chain("forward", rules, ir.Hook.FORWARD), DENY, *more), **parts)  # type: ignore[arg-type]
    return Walker(ruleset).walk(packet)


def test_the_end_of_a_base_chain_accepts() -> None:
    assert walk() == Walked(True, 0)
    assert walk(ir.Rule((ToPorts(UDP, 80, 80),), ir.Drop())) == Walked(True, 1)


def test_a_jump_comes_back_and_a_goto_does_not() -> None:
    back = ir.Chain("back", (ir.Rule((), ir.Return()),))
    assert not walk(ir.Rule((), ir.Jump("back")), ir.Rule((), ir.Drop()), more=(back,)).accepted
    assert walk(ir.Rule((), ir.Goto("back")), ir.Rule((), ir.Drop()), more=(back,)).accepted
    inner = ir.Chain("inner", (ir.Rule((), ir.Goto("back")),))
    assert not walk(ir.Rule((), ir.Jump("inner")), ir.Rule((), ir.Drop()), more=(back, inner)).accepted


def test_accept_ends_the_hook_from_any_depth() -> None:
    deep = ir.Chain("deep", (ir.Rule((), ir.Accept()),))
    assert walk(ir.Rule((), ir.Jump("deep")), ir.Rule((), ir.Drop()), more=(deep,)).accepted


def test_rules_of_the_other_family_are_not_passed() -> None:
    assert walk(ir.Rule((), ir.Drop(), Family.IPV6)) == Walked(True, 0)
    assert walk(ir.Rule((), ir.Drop(), Family.IPV4)) == Walked(False, 1)


def test_the_longest_prefix_of_a_map_decides_and_none_falls_through() -> None:
    wide, narrow = parse_prefix("10.0.0.0/8"), parse_prefix("10.0.0.2/32")
    found = ir.PrefixMap("m", Family.IPV4, ((wide, ir.Goto("deny")), (narrow, ir.Return())))
    by_source = ir.Lookup(Field.SOURCE, "m", Family.IPV4)
    by_destination = ir.Lookup(Field.DESTINATION, "m", Family.IPV4)
    assert not walk(by_source, maps=(found,)).accepted
    assert walk(by_destination, maps=(found,)) == Walked(True, 1)
    elsewhere = Seen(Family.IPV4, 1, 2, TCP, 80)
    assert not walk(by_source, ir.Rule((), ir.Drop()), packet=elsewhere, maps=(found,)).accepted


@pytest.mark.parametrize(("source", "member"), [(0x0A000001, True), (0x0A000002, False), (0x0B000000, False)])
def test_the_longest_prefix_of_a_set_says_who_is_a_member(source: int, member: bool) -> None:
    elements = ((parse_prefix("10.0.0.0/8"), True), (parse_prefix("10.0.0.2/32"), False))
    found = ir.PrefixSet("s", Family.IPV4, elements)
    rule = ir.Rule((InSet((Field.SOURCE,), "s"),), ir.Drop(), Family.IPV4)
    assert walk(rule, packet=Seen(Family.IPV4, source, 0, TCP), sets=(found,)).accepted is not member


def test_the_fields_of_a_rule_say_what_a_set_is_asked() -> None:
    found = ir.Set("s", Family.IPV4, (Field.SOURCE,), ((0x0A000002,),))
    asked = {
        field: ir.Rule((InSet((field,), "s"),), ir.Drop(), Family.IPV4) for field in (Field.SOURCE, Field.DESTINATION)
    }
    assert walk(asked[Field.SOURCE], sets=(found,)).accepted
    assert not walk(asked[Field.DESTINATION], sets=(found,)).accepted


def test_all_matches_of_a_rule_must_hold() -> None:
    ten, eleven = (InPrefix(Field.SOURCE, parse_prefix(text)) for text in ("10.0.0.0/8", "11.0.0.0/8"))
    assert not walk(ir.Rule((ten, ToPorts(TCP, 80, 80)), ir.Drop(), Family.IPV4)).accepted
    assert walk(ir.Rule((eleven, ToPorts(TCP, 80, 80)), ir.Drop(), Family.IPV4)).accepted
    assert walk(ir.Rule((ten, Replies()), ir.Drop(), Family.IPV4)).accepted


def test_a_hook_without_a_base_chain_accepts() -> None:
    ruleset = ir.Ruleset((ir.Chain("forward", (ir.Rule((), ir.Drop()),), ir.Hook.FORWARD),))
    assert Walker(ruleset).accepts(TEN, ir.Hook.INPUT)
    assert not Walker(ruleset).accepts(TEN, ir.Hook.FORWARD)
