"""Port sets as chains: the same verdict for every point, in as few rules as the target's limits allow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.backends.target import CAPABILITIES, Backend, Capabilities
from compiler.ir.check import check
from compiler.ir.match import InSet, ToAnyPort, ToPorts
from compiler.ir.names import Namer
from compiler.ir.ruleset import Chain, Goto, Hook, Return, Rule, Ruleset
from compiler.lower.deny import Deny
from compiler.lower.ports import PortChains
from compiler.net import ALL_PORTS, EVERY_PORT, NO_PORTS, Family, PortSet, port_set, union
from tests.compiler.ir_walk import Seen, Walker
from tests.compiler.models import origin

NFTABLES, IPTABLES = CAPABILITIES[Backend.NFTABLES], CAPABILITIES[Backend.IPTABLES]
TCP, UDP, SCTP, ICMP = 6, 17, 132, 1
ORIGINS = (origin("p"),)

spans = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from((0, 0, 0, 1, 2, 65535))).map(
        lambda pair: (pair[0], min(pair[0] + pair[1], 65535))
    ),
    max_size=24,
).map(lambda found: union(tuple(found)))
port_sets = st.builds(PortSet, spans, spans, st.just(()) | st.just(EVERY_PORT), st.booleans())


def ruleset_for(ports: PortSet, capabilities: Capabilities) -> Ruleset:
    """A ruleset that asks for nothing but these ports."""
    chains = PortChains(Namer(), capabilities)
    verdict = chains.verdict(ports, "in4-web", ORIGINS)
    deny = Deny((), (Family.IPV4,), capabilities)
    base = Chain("forward", (Rule((), verdict),), Hook.FORWARD)
    found = Ruleset((base, *chains.chains, *deny.chains), tuple(chains.sets))
    check(found)
    return found


@pytest.mark.parametrize("capabilities", [NFTABLES, IPTABLES], ids=["nftables", "iptables"])
@settings(deadline=None)
@given(ports=port_sets)
def test_a_chain_allows_exactly_its_ports(capabilities: Capabilities, ports: PortSet) -> None:
    walker = Walker(ruleset_for(ports, capabilities))
    points = [(protocol, port) for protocol in (TCP, UDP, SCTP) for port in (*range(45), 65534, 65535)]
    for protocol, port in [*points, (ICMP, 0), (47, 0), (58, 0)]:
        packet = Seen(Family.IPV4, 1, 2, protocol, port)
        assert walker.accepts(packet) is ports.has(protocol, port), (protocol, port)


@pytest.mark.parametrize("capabilities", [NFTABLES, IPTABLES], ids=["nftables", "iptables"])
@settings(deadline=None)
@given(data=st.data(), other=st.booleans())
def test_protocols_that_programs_name(capabilities: Capabilities, data: st.DataObject, other: bool) -> None:
    """Types of ICMP, ports of UDP-Lite, all of GRE, each with the rest of the protocol or without."""
    ports = PortSet(((7, 9),), other=other)
    for kind in data.draw(st.lists(st.sampled_from((0, 8, 58, 136, 47)), max_size=6)):
        parts = {47: (47, 0, 65535), 136: (136, 3, 5), 58: (58, 0, 65535)}
        part = port_set([parts.get(kind, (1, kind, kind))])
        ports = ports | part if data.draw(st.booleans()) else ports - part
    walker = Walker(ruleset_for(ports, capabilities))
    points = [(136, port) for port in range(8)] + [(number, 0) for number in (47, 50, 58)] + [(TCP, 8), (TCP, 10)]
    for protocol, port in points:
        assert walker.accepts(Seen(Family.IPV4, 1, 2, protocol, port)) is ports.has(protocol, port), (protocol, port)
    for kind in (0, 3, 8):
        seen = Seen(Family.IPV4, 1, 2, ICMP, icmp_type=kind)
        assert walker.accepts(seen) is ports.has(ICMP, kind), kind
    odd = Seen(Family.IPV6, 1, 2, ICMP, icmp_type=8)
    assert walker.accepts(odd) is ports.has(ICMP, 65535), "IPv6 knows no types of IPv4's ICMP"


class TestVerdict:
    def test_nothing_and_everything_need_no_chain(self) -> None:
        chains = PortChains(Namer(), NFTABLES)
        assert chains.verdict(NO_PORTS, "in4-web", ORIGINS) == Goto("deny")
        assert chains.verdict(ALL_PORTS, "in4-web", ORIGINS) == Return()
        assert chains.chains == ()

    def test_equal_sets_share_a_chain_and_others_do_not(self) -> None:
        chains = PortChains(Namer(), NFTABLES)
        one = chains.verdict(port_set([(TCP, 80, 80)]), "in4-web", ORIGINS)
        assert chains.verdict(port_set([(TCP, 80, 80)]), "in4-web", ORIGINS) == one
        assert chains.verdict(port_set([(UDP, 80, 80)]), "in4-web", ORIGINS) != one
        assert chains.verdict(ALL_PORTS - port_set([(TCP, 80, 80)]), "in4-web", ORIGINS) != one
        assert len(chains.chains) == 3
        assert isinstance(one, Goto)
        assert chains.chains[0].name == one.chain

    def test_notes_say_what_is_allowed_and_who_asks(self) -> None:
        chains = PortChains(Namer(), NFTABLES)
        chains.verdict(port_set([(TCP, 80, 80), (UDP, 5, 9)]), "in4-web", ORIGINS)
        chains.verdict(port_set([(TCP, 80, 80), (UDP, 5, 9)]), "eg4-api", (origin("q"),))
        chains.verdict(port_set([(TCP, 80, 80), (UDP, 5, 9)]), "in4-web", ORIGINS)
        assert chains.chains[0].notes == ("allows tcp 80; udp 5-9", "asked by in4-web, eg4-api")
        assert all(rule.origins == (*ORIGINS, origin("q")) for rule in chains.chains[0].rules)


class TestRules:
    def rules(self, ports: PortSet, capabilities: Capabilities) -> list[Rule]:
        found = ruleset_for(ports, capabilities).chains[1].rules
        assert all(isinstance(rule, Rule) for rule in found)
        return [rule for rule in found if isinstance(rule, Rule)]

    def test_few_single_ports_are_rules_and_many_a_set(self) -> None:
        """`Capabilities.inline_ports` is 4 for nftables."""
        four = port_set((TCP, 2 * n, 2 * n) for n in range(4))
        assert len(self.rules(four, NFTABLES)) == 5
        five = four | port_set([(UDP, 9, 9)])
        rules = self.rules(five, NFTABLES)
        assert [type(rule.matches[0]) for rule in rules[:-1]] == [InSet]
        (found,) = ruleset_for(five, NFTABLES).sets
        assert found.elements == ((TCP, 0), (TCP, 2), (TCP, 4), (TCP, 6), (UDP, 9))

    def test_ranges_stay_rules_beside_the_set(self) -> None:
        rules = self.rules(port_set([*((TCP, 2 * n, 2 * n) for n in range(5)), (TCP, 100, 200)]), NFTABLES)
        assert [rule.matches for rule in rules[1:]] == [(ToPorts(TCP, 100, 200),), ()]

    def test_where_all_other_protocols_pass_the_denied_ones_are_listed(self) -> None:
        rules = self.rules(ALL_PORTS - port_set([(TCP, 80, 80)]), NFTABLES)
        assert [(rule.matches, rule.verdict) for rule in rules] == [
            ((ToPorts(TCP, 80, 80),), Goto("deny")),
            ((), Return()),
        ]
        nothing_but_others = self.rules(PortSet(other=True), NFTABLES)
        assert [rule.matches for rule in nothing_but_others] == [
            *((ToPorts(protocol, 0, 65535),) for protocol in (TCP, UDP, SCTP)),
            (),
        ]

    @settings(deadline=None)
    @given(port_sets.filter(lambda p: p not in (NO_PORTS, ALL_PORTS)))
    def test_multiport_takes_fifteen_ports_and_a_range_for_two(self, ports: PortSet) -> None:
        """xt_multiport: "Up to 15 ports can be specified. A port range (port:port) counts as two ports." """
        needed: dict[int, int] = {}
        used: dict[int, list[int]] = {}
        for rule in self.rules(ports, IPTABLES)[:-1]:
            (match,) = rule.matches
            if isinstance(match, ToAnyPort):
                assert len(match.spans) > 1
                used.setdefault(match.protocol, []).append(sum(1 + (low != high) for low, high in match.spans))
            else:
                assert isinstance(match, ToPorts)
                used.setdefault(match.protocol, []).append(1 + (match.first != match.last))
        for protocol, counts in used.items():
            assert max(counts) <= 15
            needed[protocol] = sum(counts)
            # At most one port is wasted a rule, where a range did not fit any more.
            assert len(counts) <= -(-needed[protocol] // 14)

    def test_multiport_limits_by_example(self) -> None:
        sixteen = port_set((TCP, 2 * n, 2 * n) for n in range(16))
        first, second = (m for r in self.rules(sixteen, IPTABLES) for m in r.matches)
        assert first == ToAnyPort(TCP, tuple((2 * n, 2 * n) for n in range(15)))
        assert second == ToPorts(TCP, 30, 30)
        eight_ranges = port_set((TCP, 4 * n, 4 * n + 1) for n in range(8))
        found = [m for r in self.rules(eight_ranges, IPTABLES) for m in r.matches]
        assert [len(m.spans) if isinstance(m, ToAnyPort) else 1 for m in found] == [7, 1]
