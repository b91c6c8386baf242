"""The estimate of what matches how often: shares add up, broader is more, what is taken in front is taken off."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest

from compiler.optimizing.estimate import PACKETS, estimated, share
from compiler.optimizing.passes.simplify import Pass
from compiler.optimizing.readers import iptables_rules
from compiler.optimizing.readers.nftables_rules import listing
from compiler.optimizing.whole import optimize
from compiler.ordering.prices import Tool
from grammar.source import Source
from tests.kernel.pools import Pools
from tests.kernel.random_runs import RandomRuns


def weights(*rules: str, chains: str = "") -> list[int | Fraction]:
    """Of rules with the name of their chain."""
    text = "\n".join(["*filter", ":IN ACCEPT [0:0]", chains, *(f"-A {rule}" for rule in rules), "COMMIT", ""])
    found = estimated(iptables_rules.listing(Source("rules", text), Tool.IPTABLES_LEGACY))
    known = {rule.place.start: rule.matched for chain in found.chains for rule in chain.rules}
    return [known[at] for at in sorted(known)]


def alone(rule: str) -> int | Fraction:
    return weights(f"IN {rule} -j DROP")[0]


@pytest.mark.parametrize(
    "rules",
    [
        ("", "-s 10.0.0.0/8", "-s 10.0.0.0/16", "-s 10.0.0.0/24", "-s 10.0.0.1"),
        ("", "-s 2000::/3", "-s fd00::/64", "-s fd00::1"),
        ("", "-p tcp", "-p udp", "-p icmp", "-p 47"),
        ("-p tcp", "-p tcp --dport 443", "-p tcp --dport 80", "-p tcp --dport 22", "-p tcp --dport 9999"),
        ("-p tcp --dport 1:65535", "-p tcp --dport 5000:9000", "-p tcp --dport 5000"),
        ("-m conntrack --ctstate ESTABLISHED", "-m conntrack --ctstate NEW", "-m conntrack --ctstate INVALID"),
        ("-m conntrack --ctstate RELATED,ESTABLISHED", "-m conntrack --ctstate ESTABLISHED"),
        ("-s 10.0.0.0/8", "-s 10.0.0.0/8 -d 10.1.0.0/16"),
        ("", "-i eth0", "-i eth0 -o eth1"),
        ("-s 10.0.0.1", "-s 10.0.0.1 -m set --match-set x dst"),
    ],
)
def test_broader_is_more(rules: tuple[str, ...]) -> None:
    found = [alone(rule) for rule in rules]
    assert all(one > other for one, other in pairwise(found)), found


def test_a_host_and_a_host_of_ipv6_get_the_same() -> None:
    assert alone("-s 10.0.0.1") == alone("-s fd00::1") == round(PACKETS / 256)


def test_everything_matches_everything() -> None:
    assert alone("") == alone("-s 0.0.0.0/0") == alone("-p all") == PACKETS
    assert alone("-m conntrack --ctstate INVALID,NEW,RELATED,ESTABLISHED") == PACKETS


def test_what_is_taken_in_front_is_taken_off() -> None:
    found = weights("IN -m conntrack --ctstate ESTABLISHED -j ACCEPT", "IN -p tcp -j DROP", "IN -j DROP")
    assert found == [round(PACKETS * 0.9), round(PACKETS * 0.1 * 0.8), round(PACKETS * 0.1 * 0.2)]
    assert weights("IN -s 10.0.0.0/8 -j DROP", "IN -s 10.1.0.0/16 -j DROP")[1] == 0
    assert weights("IN -s 10.0.0.0/8 -j DROP", "IN -s 11.1.0.0/16 -j DROP")[1] == alone("-s 11.1.0.0/16")
    assert weights("IN -j LOG", "IN -j DROP") == [PACKETS, PACKETS]


def test_what_enters_a_chain_is_what_jumps_lead_there() -> None:
    found = weights("IN -p tcp -j own", "IN -p udp -j own", "own -j DROP", chains=":own - [0:0]")
    assert found == [round(PACKETS * 0.8), round(PACKETS * 0.15), round(PACKETS * 0.95)]
    assert weights("own -p tcp -j DROP", chains=":own - [0:0]") == [round(PACKETS * 0.8)]


def test_circles_end() -> None:
    found = weights("a -p tcp -j b", "b -p tcp -j a", chains=":a - [0:0]\n:b - [0:0]")
    assert found[0] == round(PACKETS * 0.8)


def test_every_share_is_one() -> None:
    rules = ["-s 1.2.3.4 ! -p tcp -i x+ -m mark --mark 1", "-p tcp -m multiport --dports 1,443", "-p sctp"]
    text = "\n".join(["*filter", ":IN ACCEPT [0:0]", *(f"-A IN {rule} -j DROP" for rule in rules), "COMMIT", ""])
    for chain in iptables_rules.listing(Source("rules", text), Tool.IPTABLES_LEGACY).chains:
        assert all(0 < share(rule.asked) <= 1 for rule in chain.rules)


def test_an_order_is_estimated_until_it_stays() -> None:
    """A rule's part is less what rules in front of it take, so another order has other weights."""
    for seed in (2, 52, 108):
        text = RandomRuns(Pools(Random(seed))).text
        once = optimize(listing(Source("x.nft", text)), tuple(Pass), Fraction(1, 100), estimated).listing.written()
        again = optimize(listing(Source("x.nft", once)), tuple(Pass), Fraction(1, 100), estimated).listing.written()
        assert again == once
