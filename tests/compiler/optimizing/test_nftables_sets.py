"""Neighbouring rules of nft become sets and maps to verdicts where that pays and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compiler.analysis.same import differences
from compiler.optimizing.chains import Listing
from compiler.optimizing.passes.simplify import Change, Pass, simplify
from compiler.optimizing.readers.nftables_rules import listing
from compiler.ordering.prices import Tool
from grammar.source import Source

HEAD = "table inet t {\n\tchain own {\n\t}\n\tchain c {\n\t\ttype filter hook forward priority 0; policy drop;\n"
TAIL = "\t}\n}\n"


def text_of(*rules: str) -> str:
    return HEAD + "".join(f"\t\t{rule}\n" for rule in rules) + TAIL


def merged(rules: Listing, counters: bool = False) -> tuple[Listing, tuple[Change, ...]]:
    found = simplify(rules, (Pass.SETS,), counters)
    return found.listing, found.changes


def became(*rules: str, counters: bool = False) -> list[str]:
    """The rules that come of these, which mean the same."""
    old = text_of(*rules)
    new, changes = merged(listing(Source("old.nft", old)), counters)
    text = new.written()
    assert not differences([("old", old)], [("new", text)], (4, 6), ("old", "new"))
    assert (text != old) is bool(changes)
    assert merged(listing(Source("new.nft", text)), counters)[0].written() == text
    return [line.strip() for line in text.removeprefix(HEAD).removesuffix(TAIL).splitlines()]


def hosts(count: int, rest: str = "drop") -> list[str]:
    return [f"ip saddr 10.0.0.{number} {rest}" for number in range(count)]


@pytest.mark.parametrize(
    ("rules", "one"),
    [
        (["tcp dport 22 accept", "tcp dport 80 accept"], "tcp dport { 22, 80 } accept"),
        (["tcp dport 22 accept", "tcp dport { 80, 443 } accept", "tcp dport 7 accept"],
         "tcp dport { 22, 80, 443, 7 } accept"),
        (['iifname "a" tcp dport 1-5 drop', 'iifname "a" tcp dport 7 drop'], 'iifname "a" tcp dport { 1-5, 7 } drop'),
        (['iifname "a" ip saddr 10.0.0.0/24 jump own', 'iifname "a" ip saddr 10.0.1.0/24 jump own'],
         'iifname "a" ip saddr { 10.0.0.0/24, 10.0.1.0/24 } jump own'),
        (['iifname "a" ct state established,related accept', 'iifname "a" ct state new accept'],
         'iifname "a" ct state { established, related, new } accept'),
        (['iifname "a" meta mark 0x1 log prefix "m" drop', 'iifname "a" meta mark 0x2 log prefix "m" drop'],
         'iifname "a" meta mark { 0x1, 0x2 } log prefix "m" drop'),
        (['tcp dport 1 drop comment "x"', 'tcp dport 2 drop comment "x"'], 'tcp dport { 1, 2 } drop comment "x"'),
        (["tcp dport 1 meta mark set 0x2", "tcp dport 2 meta mark set 0x2"], "tcp dport { 1, 2 } meta mark set 0x2"),
        (['iifname "a" tcp dport 1 drop', 'iifname "a" tcp dport 2 accept', 'iifname "a" tcp dport 3-5 jump own'],
         'iifname "a" tcp dport vmap { 1 : drop, 2 : accept, 3-5 : jump own }'),
        (['tcp dport 1 iifname "a" drop', 'tcp dport 2 iifname "a" accept', 'tcp dport 3 iifname "a" accept',
          'tcp dport 4 iifname "a" drop', 'tcp dport 5 iifname "a" drop'],
         'iifname "a" tcp dport vmap { 1 : drop, 4 : drop, 5 : drop, 2 : accept, 3 : accept }'),
        (['iifname "a" ip saddr 10.0.0.1 tcp dport 1 drop', 'iifname "a" ip saddr 10.0.0.2 tcp dport 2 drop'],
         'iifname "a" ip saddr . tcp dport { 10.0.0.1 . 1, 10.0.0.2 . 2 } drop'),
        (['iifname "a" ip saddr 10.0.0.1 tcp dport { 1, 2 } drop', 'iifname "a" ip saddr 10.0.0.2 tcp dport 2 accept'],
         'iifname "a" ip saddr . tcp dport vmap '
         '{ 10.0.0.1 . 1 : drop, 10.0.0.1 . 2 : drop, 10.0.0.2 . 2 : accept }'),
    ],
)  # fmt: skip
def test_rules_become_one(rules: list[str], one: str) -> None:
    assert became("ip daddr 10.9.9.9 accept", *rules, "reject") == ["ip daddr 10.9.9.9 accept", one, "reject"]


@pytest.mark.parametrize(
    "rules",
    [
        # They do not do the same, or not a verdict alone.
        ["tcp dport 1 log prefix \"a\" drop", "tcp dport 2 log prefix \"b\" drop"],
        ["tcp dport 1 drop", "tcp dport 2 reject"],
        ["tcp dport 1 log prefix \"a\" drop", "tcp dport 2 accept"],
        # Somebody remarks on each.
        ["tcp dport 1 drop comment \"a\"", "tcp dport 2 drop comment \"b\""],
        ["tcp dport 1 drop comment \"a\"", "tcp dport 2 drop"],
        ["tcp dport 1 drop # the first", "tcp dport 2 drop"],
        # One packet may match both.
        ['iifname "a" tcp dport 1-5 drop', 'iifname "a" tcp dport 5-9 accept'],
        ['iifname "a" tcp dport 1-5 jump own', 'iifname "a" tcp dport 5 jump own'],
        ['iifname "a" tcp dport 1 drop', 'iifname "a" tcp sport 1 drop'],
        # What is asked has no values of its own.
        ["tcp dport != 1 drop", "tcp dport != 2 drop"],
        ['iifname "a*" drop', 'iifname "b*" drop'],
        ["tcp dport @one drop", "tcp dport @two drop"],
        # They remember something, one may set what the next asks for, or nobody knows what it does.
        ["tcp dport 1 limit rate 1/second drop", "tcp dport 2 limit rate 1/second drop"],
        ["numgen inc mod 2 0 tcp dport 1 drop", "numgen inc mod 2 0 tcp dport 2 drop"],
        [f'iifname "a" meta mark {mark} meta mark set meta mark ^ 0x3' for mark in (1, 2)],
        ["tcp dport 1 queue num 1", "tcp dport 2 queue num 1"],
        ["tcp dport 1 log prefix \"a\" tcp sport 1 drop", "tcp dport 2 log prefix \"a\" tcp sport 1 drop"],
        # They count.
        ["tcp dport 1 counter packets 1 bytes 2 drop", "tcp dport 2 counter packets 3 bytes 4 drop"],
        # Two comparisons cost less than a look-up.
        ["ip saddr 10.0.0.1 drop", "ip saddr 10.0.0.2 drop"],
        ["ip saddr 10.0.0.0/24 drop", "ip saddr 10.0.1.0/24 accept"],
    ],
)  # fmt: skip
def test_rules_that_stay_apart(rules: list[str]) -> None:
    old = text_of(*rules)
    new, changes = merged(listing(Source("old.nft", old)))
    assert (new.written(), changes) == (old, ())


def test_later_rules_move_up_past_what_none_of_their_packets_matches() -> None:
    apart = ["udp dport 5 accept", 'tcp sport 7 iifname "a" drop', "ip saddr 10.0.0.1 udp dport 9 drop"]
    rules = ["tcp dport 1 accept", apart[0], "tcp dport 2 accept", apart[2], "tcp dport 3 accept"]
    assert became(*rules) == ["tcp dport { 1, 2, 3 } accept", apart[0], apart[2]]
    between = "tcp dport { 1, 9 } drop"  # 5 is not among them
    assert became(between, "tcp dport 4 accept", between.replace("1", "2"), "tcp dport 5 accept")[1] == (
        "tcp dport { 4, 5 } accept"
    )
    assert became(rules[0], apart[1], rules[2]) == [rules[0], apart[1], rules[2]]  # some packet may match both
    assert became(*rules[:3], apart[1], rules[4]) == ["tcp dport { 1, 2 } accept", apart[0], apart[1], rules[4]]


def test_a_look_up_pays_from_fifteen_addresses_on() -> None:
    assert became(*hosts(14)) == hosts(14)
    listed = ", ".join(f"10.0.0.{number}" for number in range(15))
    assert became(*hosts(15)) == [f"ip saddr {{ {listed} }} drop"]


def test_what_is_asked_first_is_paid_for() -> None:
    """The port is seldom asked for: two rules cost two comparisons of addresses, one costs one."""
    rules = ["ip saddr 10.0.0.1 tcp dport 1 drop", "ip saddr 10.0.0.1 tcp dport 2 drop"]
    assert became(*rules) == ["ip saddr 10.0.0.1 tcp dport { 1, 2 } drop"]


def test_rules_that_match_most_stay_in_front() -> None:
    """By what they counted: most packets are through after one comparison."""
    rules = [f"ip saddr 10.0.0.{number} counter packets {packets} bytes 1 drop"
             for number, packets in enumerate([900, *[1] * 29])]  # fmt: skip
    first, rest = became(*rules, counters=True)
    assert first == rules[0]
    assert rest.endswith(", 10.0.0.29 } counter packets 29 bytes 29 drop")
    even = [f"ip saddr 10.0.0.{number} counter packets 5 bytes 1 drop" for number in range(40)]
    assert len(became(*even, counters=True)) == 1


def test_counters_are_added_where_that_is_asked_for() -> None:
    rules = ["tcp dport 1 counter packets 1 bytes 2 drop", "tcp dport 2 counter packets 3 bytes 40 drop"]
    assert became(*rules) == rules
    assert became(*rules, counters=True) == ["tcp dport { 1, 2 } counter packets 4 bytes 42 drop"]
    differ = [rules[0], rules[1].replace("drop", "accept")]
    assert became(*differ, counters=True) == differ  # a map counts nothing


def test_weights_of_profiles_are_added() -> None:
    found = listing(Source("old.nft", text_of("tcp dport 1 drop", "tcp dport 2 drop", "tcp dport 3 accept")))
    (chain,) = (chain for chain in found.chains if chain.name == "c")
    weighed = replace(chain, rules=tuple(replace(rule, weight=n + 1) for n, rule in enumerate(chain.rules)))
    new, _ = merged(replace(found, chains=(weighed,)))
    assert [(rule.matched, rule.packets) for rule in new.chains[0].rules] == [(3, 0), (3, 0)]


def test_places_and_text_of_what_became_one_are_told() -> None:
    old = text_of("tcp dport 1 accept # handle 4", "tcp dport 2 accept # handle 5", "drop # handle 6")
    new, (change,) = merged(listing(Source("old.nft", old)))
    assert [place.text for place in change.places] == ["tcp dport 1 accept # handle 4", "tcp dport 2 accept # handle 5"]
    assert change.text == "tcp dport { 1, 2 } accept"
    assert new.written() == text_of("tcp dport { 1, 2 } accept", "drop # handle 6")


def test_keys_are_no_longer_than_the_kernels() -> None:
    """Two names and two addresses of IPv6 are 64 bytes, a port more is too much."""
    rule = 'iifname "a{0}" oifname "b{0}" ip6 saddr fd00::{0} ip6 daddr fd01::{0}'
    rules = [rule.format(number) + " drop" for number in range(1, 9)]
    assert len(became(*rules)) == 1
    longer = [f"{rule.format(number)} tcp dport {number} drop" for number in range(1, 9)]
    assert became(*longer) == longer


def test_other_tools_have_neither() -> None:
    found = replace(listing(Source("old.nft", text_of(*hosts(20)))), tool=Tool.IPTABLES_NFT)
    assert merged(found) == (found, ())
