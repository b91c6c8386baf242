"""The way in, carried by bits of a mark to where iptables does not know it."""

from __future__ import annotations

from itertools import product

import pytest

from compiler.backends.target import Backend, Target
from compiler.ir.check import check
from compiler.ir.effects import SetMark
from compiler.ir.match import HasMark, Inbound
from compiler.ir.nat import Masquerade, Snat
from compiler.ir.ruleset import Accept, Chain, Continue, Hook, Rule, Ruleset, Table
from compiler.net import Family
from compiler.passes.carry_inbound import asked_behind_routing, carry_inbound, room

IPTABLES = Target(Backend.IPTABLES).capabilities
MASK = 0x0F000000
NAMES = ("in0", "in1", "inner", "out0", "eth7")
ANY, IN, IN0 = Inbound("", True), Inbound("in", True), Inbound("in0")


def ruleset(*asked: Inbound, mangle: tuple[Chain, ...] = ()) -> Ruleset:
    """The rule for each snats to an address of its own."""
    rules = tuple(Rule((one,), Snat(n), Family.IPV4) for n, one in enumerate(asked))
    return Ruleset((Chain("nat-postrouting", rules, Hook.POSTROUTING, Table.NAT), *mangle))


def fits(one: Inbound, name: str | None) -> bool:
    return name is not None and (name.startswith(one.interface) if one.prefix else name == one.interface)


def carried(found: Ruleset, name: str | None, mark: int) -> int:
    """The mark of a packet that came in by that interface, or (None) from the node, behind routing."""
    hook = Hook.OUTPUT if name is None else Hook.FORWARD
    (chain,) = (chain for chain in found.chains if chain.hook is hook)
    for rule in chain.rules:
        assert isinstance(rule, Rule)
        if all(isinstance(match, Inbound) and fits(match, name) for match in rule.matches):
            for effect in rule.effects:
                assert isinstance(effect, SetMark)
                mark = mark & ~effect.mask | effect.value
    return mark


@pytest.mark.parametrize("asked", [(IN0,), (IN, IN0), (IN0, IN, ANY), (ANY,), (Inbound("in1"), IN, Inbound("inner"))])
def test_every_question_has_the_answer_that_it_had(asked: tuple[Inbound, ...]) -> None:
    """Whatever mark a packet has, whose other bits stay."""
    before = ruleset(*asked)
    after = carry_inbound(before, IPTABLES)
    check(after)
    assert not asked_behind_routing(after)
    rules = after.chain("nat-postrouting").rules
    for name, mark in product((*NAMES, None), (0, MASK, 0x01000000, 0xF2000001)):
        now = carried(after, name, mark)
        assert now & ~MASK == mark & ~MASK
        expected = next((n for n, one in enumerate(asked) if fits(one, name)), None)
        found = None
        for rule in rules:
            assert isinstance(rule, Rule)
            (match,) = rule.matches
            assert isinstance(match, HasMark)
            if now & match.mask == match.value:
                assert isinstance(rule.verdict, Snat)
                found = rule.verdict.address
                break
        assert found == expected, (name, mark)


def test_what_mangle_had_stays_behind() -> None:
    mark = Rule((), Continue(), effects=(SetMark(1, 1),))
    mangle = Chain("mangle-forward", (mark,), Hook.FORWARD, Table.MANGLE)
    after = carry_inbound(ruleset(IN0, mangle=(mangle,)), IPTABLES)
    assert after.chain("mangle-forward").rules[-1] == mark
    assert len(after.chain("mangle-forward").rules) == 3


def test_nothing_changes_where_nobody_asks() -> None:
    plain = Ruleset((Chain("nat-postrouting", (Rule((), Masquerade()),), Hook.POSTROUTING, Table.NAT),))
    early = Ruleset((Chain("nat-prerouting", (Rule((IN0,), Accept()),), Hook.PREROUTING, Table.NAT),))
    for one in (plain, early):
        assert carry_inbound(one, IPTABLES) is one
    asking = ruleset(IN0)
    assert carry_inbound(asking, Target(Backend.NFTABLES).capabilities) is asking


def test_room() -> None:
    assert [room(mask) for mask in (1, 0x0F000000, 0x30, 0xFFFFFFFF)] == [1, 15, 3, 0xFFFFFFFF]
