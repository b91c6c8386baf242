"""The end of every denied packet: dropped, but for a pod's way to itself and neighbour discovery."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.analysis.layout import longest_paths
from compiler.backends.target import CAPABILITIES, Backend, Capabilities
from compiler.ir.check import check
from compiler.ir.ruleset import Answer, Chain, Goto, Hook, Reject, Rule, Ruleset, Set
from compiler.lower.deny import DENY, Denials, Deny, answering
from compiler.net import Family, address_text
from compiler.policy import Direction
from compiler.resolve.classes import PodClass
from tests.compiler.ir_walk import ICMPV6, Seen, Walker
from tests.compiler.models import pod

BOTH = (Family.IPV4, Family.IPV6)
NFTABLES, IPTABLES = CAPABILITIES[Backend.NFTABLES], CAPABILITIES[Backend.IPTABLES]


def of(addresses: list[tuple[Family, int]]) -> PodClass:
    """A class whose pods have these addresses."""
    found = tuple(pod(f"p{n}", "", address_text(*address)) for n, address in enumerate(addresses))
    return PodClass(Direction.INGRESS, (), (), True, found)


def ruleset_of(deny: Deny, end: str = DENY) -> Ruleset:
    found = Ruleset((Chain("forward", (Rule((), Goto(end)),), Hook.FORWARD), *deny.chains), tuple(deny.sets))
    check(found)
    return found


def addresses(family: Family) -> st.SearchStrategy[set[int]]:
    """In clusters, as pods' addresses are, and a few far away."""
    far = st.integers(0, (1 << family.bits) - 1)
    near = st.integers(0, 60).map(lambda n: (10 << family.bits - 8) + n)
    return st.sets(near, max_size=40) | st.sets(near | far, max_size=40)


@pytest.mark.parametrize("capabilities", [NFTABLES, IPTABLES], ids=["nftables", "iptables"])
@settings(deadline=None, max_examples=60)
@given(data=st.data(), family=st.sampled_from(BOTH))
def test_a_pod_reaches_itself_and_nobody_else(capabilities: Capabilities, data: st.DataObject, family: Family) -> None:
    own = data.draw(addresses(family))
    strangers = data.draw(addresses(family))
    walker = Walker(ruleset_of(Deny([of([(family, a) for a in own])], BOTH, capabilities)))
    for one in (*own, *strangers):
        assert walker.accepts(Seen(family, one, one, 6, 80)) is (one in own)
    for one, other in zip(sorted(own), sorted(own)[1:], strict=False):
        assert not walker.accepts(Seen(family, one, other, 6, 80))
        assert not walker.accepts(Seen(family, other, one, 6, 80))


#: What IPv4 and IPv6 have no message for, and the nearest (RFC 7915, 4.2).
NEAREST = {
    (Answer.PROTO_UNREACHABLE, Family.IPV6): Answer.PORT_UNREACHABLE,
    (Answer.NET_PROHIBITED, Family.IPV6): Answer.ADMIN_PROHIBITED,
    (Answer.HOST_PROHIBITED, Family.IPV6): Answer.ADMIN_PROHIBITED,
    (Answer.POLICY_FAIL, Family.IPV4): Answer.PORT_UNREACHABLE,
    (Answer.REJECT_ROUTE, Family.IPV4): Answer.PORT_UNREACHABLE,
}


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("capabilities", [NFTABLES, IPTABLES], ids=["nftables", "iptables"])
@pytest.mark.parametrize("answer", list(Answer))
def test_an_answer(answer: Answer, capabilities: Capabilities, by_hand: bool, count: int) -> None:
    """A chain of its own, which lets go the same packets; its trees are not those of `deny`."""
    own = {family: [(10 << family.bits - 8) + n for n in range(count)] for family in BOTH}
    denials = Denials(list(dict.fromkeys((Answer.HOST_UNREACHABLE, answer))), {} if by_hand else own)
    walker = Walker(ruleset_of(Deny((), BOTH, capabilities, by_hand, denials), answering(answer)))
    for family, (one, other, *_) in own.items():
        found = walker.walk(Seen(family, one, other, 6, 80), Hook.FORWARD)
        assert found.last == Reject(NEAREST.get((answer, family), answer))
        plain = walker.walk(Seen(family, one, other, 17, 80), Hook.FORWARD).last
        assert plain == (Reject() if answer is Answer.TCP_RESET else found.last)
        assert walker.accepts(Seen(family, one, one, 6, 80)) is not (by_hand and capabilities is NFTABLES)
    assert walker.accepts(Seen(Family.IPV6, 1, 2, ICMPV6, icmp_type=135, hop_limit=255))


class TestNeighbourDiscovery:
    """RFC 4861: types 133, 135 and 136, with the hop limit 255 that no router leaves."""

    @pytest.mark.parametrize("icmp_type", range(130, 140))
    @pytest.mark.parametrize("capabilities", [NFTABLES, IPTABLES], ids=["nftables", "iptables"])
    def test_is_never_denied(self, capabilities: Capabilities, icmp_type: int) -> None:
        walker = Walker(ruleset_of(Deny((), BOTH, capabilities)))
        packet = Seen(Family.IPV6, 1, 2, ICMPV6, icmp_type=icmp_type, hop_limit=255)
        assert walker.accepts(packet) is (icmp_type in (133, 135, 136))
        forwarded = Seen(Family.IPV6, 1, 2, ICMPV6, icmp_type=icmp_type, hop_limit=254)
        assert not walker.accepts(forwarded)

    def test_is_asked_where_there_is_ipv6(self) -> None:
        (only,) = Deny((), (Family.IPV4,), NFTABLES).chains
        assert len(only.rules) == 1


class TestLayout:
    def test_pairs_where_sets_can_hold_them(self) -> None:
        deny = Deny([of([(Family.IPV4, 1), (Family.IPV6, 2)])], BOTH, NFTABLES)
        assert [(s.name, s.elements) for s in deny.sets] == [("self4", ((1, 1),)), ("self6", ((2, 2),))]
        assert len(deny.chains) == 1

    def test_classes_may_share_pods(self) -> None:
        """A pod is in a class of each direction."""
        deny = Deny([of([(Family.IPV4, 1)]), of([(Family.IPV4, 1)])], BOTH, NFTABLES)
        assert [s.elements for s in deny.sets] == [((1, 1),)]

    def test_a_tree_where_they_cannot(self) -> None:
        sixteen = Deny([of([(Family.IPV4, n) for n in range(16)])], (Family.IPV4,), IPTABLES)
        assert len(sixteen.chains) == 1
        assert not sixteen.sets
        more = Deny([of([(Family.IPV4, n) for n in range(17)])], (Family.IPV4,), IPTABLES)
        assert len(more.chains) == 1 + 9, "0.0.0.0/31 to 0.0.0.16/31: four bits below what all have in common"
        assert all(chain.notes for chain in more.chains)

    def test_a_tree_is_flat(self) -> None:
        """Sixteen rules a level, four bits each: 20 levels of them are never needed for pods of one node."""
        for count, most in ((110, 40), (1000, 60), (5000, 75)):
            deny = Deny([of([(Family.IPV4, (10 << 24) + n) for n in range(count)])], (Family.IPV4,), IPTABLES)
            assert longest_paths(ruleset_of(deny), Family.IPV4)["forward"] <= most

    @pytest.mark.parametrize("capabilities", [NFTABLES, IPTABLES], ids=["nftables", "iptables"])
    def test_says_what_is_let_go(self, capabilities: Capabilities) -> None:
        known = Deny([of([(Family.IPV4, 1)])], BOTH, capabilities)
        assert known.chains[0].notes == ("what no policy allows; a pod always reaches itself",)
        assert [s.notes for s in known.sets] == [("a pod always reaches itself",)] * len(known.sets)

    def test_by_hand(self) -> None:
        with_pairs = Deny((), BOTH, NFTABLES, by_hand=True)
        assert [(s.name, s.by_hand, s.elements) for s in with_pairs.sets if isinstance(s, Set)] == [
            ("self4", True, ()),
            ("self6", True, ()),
        ]
        assert "to be filled" in with_pairs.sets[0].notes[0]
        assert with_pairs.chains[0].notes == ("what no policy allows; a pod always reaches itself",)
        without = Deny((), BOTH, IPTABLES, by_hand=True)
        assert not without.sets
        assert without.chains[0].notes == with_pairs.chains[0].notes

    @pytest.mark.parametrize("family", BOTH)
    def test_by_hand_without_sets_of_pairs(self, family: Family) -> None:
        """Two addresses are one when no bit differs."""
        walker = Walker(ruleset_of(Deny((), BOTH, IPTABLES, by_hand=True)))
        ends = [0, 1, 2, 0x0A000001, (1 << family.bits) - 1, *(0x0A000001 ^ 1 << bit for bit in range(family.bits))]
        for source, destination in product(ends, ends[:5]):
            packet = Seen(family, source, destination, 6, 80)
            assert walker.accepts(packet, Hook.FORWARD) is (source == destination)
