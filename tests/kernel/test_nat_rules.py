"""Every verdict of the nat table, by what the two ends of a real connection see of each other."""

from __future__ import annotations

from collections import Counter

import pytest

from compiler.ir.match import Inbound, Match, OneIn, Outbound, ToPorts
from compiler.ir.nat import Dnat, Masquerade, Redirect, Snat
from compiler.ir.ruleset import Accept, Chain, Hook, Rule, Table, Verdict
from compiler.net import TCP, Family, parse_address
from compiler.semantics.packet import Packet
from tests.kernel.packets import encode
from tests.kernel.rig import Rig
from tests.kernel.router import CLIENT, INNER, OUTER, SECOND, SERVER, VIRTUAL, Routed, meets, outcome
from tests.kernel.sniff import header
from tests.kernel.texts import base, texts

pytestmark = pytest.mark.kernel

V4, V6 = Family.IPV4, Family.IPV6
BOTH = tuple(enumerate(Family))


def to(port: int) -> ToPorts:
    return ToPorts(TCP, port, port)


def number(address: str) -> int:
    return parse_address(address)[1]


def nat(hook: Hook, *rules: Rule) -> Chain:
    return base(Table.NAT, hook, *rules)


def dnat(ends: tuple[str, str], port: int | None, *matches: Match) -> tuple[Rule, ...]:
    """One rule for each family."""
    return tuple(Rule(matches, Dnat(number(ends[n]), port), family) for n, family in BOTH)


def unreached(net: Routed, port: int) -> None:
    """Nobody answers for the virtual address: whoever gets there was translated."""
    assert [outcome(net.client, VIRTUAL[n], port) for n, _ in BOTH] == [None, None]


def test_dnat(net: Routed, flavour: str) -> None:
    unreached(net, 8443)
    rules = (*dnat(SERVER, 443, Inbound("in0"), to(8443)), *dnat(SERVER, None, Inbound("in", prefix=True), to(22)))
    net.load(texts(flavour, nat(Hook.PREROUTING, *rules)), flavour)
    web, shell = net.server.listen(443), net.server.listen(22)
    for n, _ in BOTH:
        assert meets(net.client, web, VIRTUAL[n], 8443)[0] == CLIENT[n], "the source stays"
        assert meets(net.client, shell, VIRTUAL[n], 22)[0] == CLIENT[n], "and so does the port"
    unreached(net, 443)


def test_dnat_of_the_router_itself(net: Routed, flavour: str) -> None:
    net.load(texts(flavour, nat(Hook.OUTPUT, *dnat(SERVER, 443, Outbound("out0"), to(8443)))), flavour)
    web = net.server.listen(443)
    for n, _ in BOTH:
        assert meets(net.router, web, VIRTUAL[n], 8443)[0] == OUTER[n]
    unreached(net, 8443)


def test_dnat_to_one_of_several(rig: Rig, flavour: str) -> None:
    """By chance for each connection, which then stays there; evenly when each rule takes its share of the rest."""
    ends = {V4: ("198.18.0.1", "198.18.9.9"), V6: ("2001:db8::1", "2001:db8:9::9")}
    servers = {V4: [f"198.18.1.{n}" for n in (1, 2, 3)], V6: [f"2001:db8:1::{n}" for n in (1, 2, 3)]}
    rules = [
        Rule((to(80), OneIn(3 - n)), Dnat(number(server), 8080), family)
        for family, several in servers.items()
        for n, server in enumerate(several)
    ]
    rig.load(texts(flavour, nat(Hook.PREROUTING, *rules)), flavour)
    for family, (client, virtual) in ends.items():
        found = Counter[str]()
        for n in range(900):
            first, again = (
                rig.changed(encode(Packet(client, virtual, TCP, 2000 + n, 80), serial)) for serial in (2 * n, 2 * n + 1)
            )
            assert first is not None
            assert again is not None
            seen = header(first)
            assert seen.ports == (2000 + n, 8080)
            assert header(again).destination == seen.destination
            found[seen.destination] += 1
        assert sorted(found) == servers[family]
        assert all(220 < count < 380 for count in found.values()), found  # 300 each, give or take 5.6 deviations


@pytest.mark.parametrize("hook", [Hook.PREROUTING, Hook.OUTPUT])
def test_redirect(net: Routed, flavour: str, hook: Hook) -> None:
    net.load(texts(flavour, nat(hook, Rule((to(80),), Redirect(8080)))), flavour)
    proxy, web = net.router.listen(8080), net.server.listen(80)
    for n, _ in BOTH:
        if hook is Hook.PREROUTING:
            assert meets(net.client, proxy, SERVER[n], 80)[0] == CLIENT[n]
        else:
            meets(net.router, proxy, SERVER[n], 80)
            assert meets(net.client, web, SERVER[n], 80)[0] == CLIENT[n], "what others send goes its way"


def seen(net: Routed, port: int) -> list[str]:
    """The client as the server sees it, in each family."""
    server = net.server.listen(port)
    found = [meets(net.client, server, SERVER[n], port)[0] for n, _ in BOTH]
    server.close()
    return found


def test_masquerade_and_who_keeps_its_source(net: Routed, flavour: str) -> None:
    assert seen(net, 80) == [*CLIENT]
    rules = Rule((to(81),), Accept()), Rule((Outbound("out0"),), Masquerade())
    net.load(texts(flavour, nat(Hook.POSTROUTING, *rules)), flavour)
    assert seen(net, 80) == [*OUTER]
    assert seen(net, 81) == [*CLIENT]


def test_masquerade_asks_for_the_way_out(net: Routed, flavour: str) -> None:
    net.load(texts(flavour, nat(Hook.POSTROUTING, Rule((Outbound("in0"),), Masquerade()))), flavour)
    assert seen(net, 80) == [*CLIENT]
    net.load(texts(flavour, nat(Hook.POSTROUTING, Rule((Outbound("ou", prefix=True),), Masquerade()))), flavour)
    net.router.namespace.forget_connections()
    assert seen(net, 82) == [*OUTER]


def test_snat(net: Routed, flavour: str) -> None:
    rules = tuple(Rule((to(80),), Snat(number(SECOND[n])), family) for n, family in BOTH)
    net.load(texts(flavour, nat(Hook.POSTROUTING, *rules)), flavour)
    assert seen(net, 80) == [*SECOND]
    assert seen(net, 81) == [*CLIENT]


def test_snat_of_what_is_delivered(net: Routed, flavour: str) -> None:
    borrowed = ("10.7.1.77", "fd07:1::77")
    rules = tuple(Rule((to(80),), Snat(number(borrowed[n])), family) for n, family in BOTH)
    net.load(texts(flavour, nat(Hook.INPUT, *rules)), flavour)
    web = net.router.listen(80)
    assert [meets(net.client, web, INNER[n], 80)[0] for n, _ in BOTH] == [*borrowed]


@pytest.mark.parametrize("family", list(Family))
def test_a_rule_of_one_family_leaves_the_other_alone(net: Routed, flavour: str, family: Family) -> None:
    verdicts: list[Verdict] = [Masquerade(), Accept()]
    rules = tuple(Rule((), verdict, family) for verdict in verdicts)
    net.load(texts(flavour, nat(Hook.POSTROUTING, *rules)), flavour)
    assert seen(net, 80) == [OUTER[n] if family is one else CLIENT[n] for n, one in BOTH]


def test_a_chain_without_rules_takes_back_what_was_there(net: Routed, flavour: str) -> None:
    net.load(texts(flavour, nat(Hook.POSTROUTING, Rule((), Masquerade()))), flavour)
    assert seen(net, 80) == [*OUTER]
    net.load(texts(flavour, nat(Hook.POSTROUTING)), flavour)
    net.router.namespace.forget_connections()
    assert seen(net, 81) == [*CLIENT]
