"""The estimate of what matches how often: shares add up, broader is more, what is taken in front is taken off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest

from compiler.optimizing.chains import Listing
from compiler.optimizing.estimate import PACKETS, estimated, share
from compiler.optimizing.passes.simplify import Pass
from compiler.optimizing.readers import iptables_rules
from compiler.optimizing.readers.nftables_rules import listing
from compiler.optimizing.whole import optimize, spent
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


def test_a_list_gets_what_its_members_get() -> None:
    both, one, two = (f"-p tcp -m multiport --dports {ports}" for ports in ("22,1024:65535", "22", "1024:65535"))
    assert alone(both) == pytest.approx(alone(one) + alone(two), abs=2)
    assert alone(both) < alone("-p tcp --dport 443")
    # What is asked for behind it is taken off by its members alone.
    of_443, of_22 = (weights(f"IN {both} -j DROP", f"IN -p tcp --dport {port} -j ACCEPT")[1] for port in ("443", "22"))
    assert (of_443, of_22) == (alone("-p tcp --dport 443"), 0)


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


def _listing(rules: Sequence[str]) -> Listing:
    text = "\n".join(["*filter", ":IN DROP [0:0]", *(f"-A IN {rule}" for rule in rules), "COMMIT", ""])
    return iptables_rules.listing(Source("rules", text), Tool.IPTABLES_LEGACY)


ASKED = ("-s 10.0.0.0/8", "-s 10.1.0.0/16", "-d 10.1.2.3/32", "-i lan0", "-m conntrack --ctstate RELATED,ESTABLISHED")
PORTS = ("22", "80", "443", "1024:65535", "53")


@pytest.mark.parametrize("passes", [(), tuple(Pass)])
def test_nothing_costs_more_by_the_estimate(passes: tuple[Pass, ...]) -> None:
    chosen = Random(11)
    changed = 0
    for _ in range(150):
        rules = []
        for _ in range(chosen.randint(2, 12)):
            asked = [one for one in ASKED if chosen.random() < 0.3]
            asked += [f"-p tcp -m tcp --dport {chosen.choice(PORTS)}"] * (chosen.random() < 0.6)
            rules.append(" ".join([*asked, f"-j {chosen.choice(('ACCEPT', 'DROP', 'LOG'))}"]))
        old = _listing(rules)
        new = optimize(old, passes, Fraction(0), estimated).listing
        assert spent(estimated(new)) <= spent(estimated(old)), rules
        changed += new.written() != old.written()
    assert changed > 50


def test_where_fewer_rules_cost_more_by_what_is_said_all_stay() -> None:
    def weigh(rules: Listing) -> Listing:
        """Lists of ports match everything, all else hardly anything."""
        chains = []
        for chain in rules.chains:
            own = [replace(rule, weight=10**6 * ("multiport" in rule.text) + n) for n, rule in enumerate(chain.rules)]
            chains.append(replace(chain, rules=tuple(own)))
        return replace(rules, chains=tuple(chains))

    old = _listing([f"-p tcp -m tcp --dport {port} -j ACCEPT" for port in (22, 99)])
    fewer = optimize(old, tuple(Pass), None).listing
    assert "multiport" in fewer.written()
    found = optimize(old, tuple(Pass), Fraction(0), weigh)
    assert spent(weigh(found.listing)) <= spent(weigh(old))
    assert not found.simplified.changes
