"""Rules are found again by their words, however a tool spells them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.profiles.words import of_iptables_text, of_nftables


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-p tcp -m tcp --dport 80 -s 10.0.0.1 -j DROP", "-s 10.0.0.1/32 -p tcp -m tcp --dport 80 -j DROP"),
        ("--source 10.0.0.0/255.255.0.0 --jump DROP", "-s 10.0.0.0/16 -j DROP"),
        ("-d 8000::/8000:: -j DROP", "-d 8000::/1 -j DROP"),
        ("-s 0.0.0.1/0.0.0.3 -j DROP", "-s 0.0.0.1/0.0.0.3 -j DROP"),
        ("-p 47 -j DROP", "-p gre -j DROP"),
        ("-m conntrack --ctstate RELATED,ESTABLISHED -j X", "-m conntrack --ctstate ESTABLISHED,RELATED -j X"),
        ("-m mark --mark 0x1/0xffffffff -j X", "-m mark --mark 0x01 -j X"),
        ("-m mark --mark 0x1/0x0F000000 -j X", "-m mark --mark 0x1/0xf000000 -j X"),
        ("-m limit --limit 5/minute --limit-burst 5 -j X", "-m limit --limit 5/min -j X"),
        ('-j NFLOG --nflog-prefix "a b" --nflog-group 0', '-j NFLOG --nflog-prefix "a b"'),
        ("-m statistic --mode random --probability 0.3333333333 -j X",
         "-m statistic --mode random --probability 0.33333333349 -j X"),
        ("-m set --match-set netpolc-web-0123456789 src -j X", "-m set --match-set netpolc-web-abcdefabcd src -j X"),
        ("-m comment --comment x -j DROP", '-j DROP -m comment --comment "x"'),
    ],
)  # fmt: skip
def test_spellings_of_iptables(one: str, other: str) -> None:
    assert of_iptables_text(one) == of_iptables_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-s 10.0.0.1 -j DROP", "-d 10.0.0.1 -j DROP"),
        ("-s 10.0.0.1 -j DROP", "! -s 10.0.0.1 -j DROP"),
        ("-s 10.0.0.1 -j DROP", "-s 10.0.0.1 -g DROP"),
        ("-s 0.0.0.1/0.0.0.3 -j DROP", "-s 0.0.0.1/30 -j DROP"),
        ("-m set --match-set netpolc-web-0123456789 src", "-m set --match-set netpolc-web-0123456789 dst"),
        ('-m comment --comment "a b" -j X', "-m comment --comment a -j X"),
        ("-j NFLOG --nflog-group 1", "-j NFLOG"),
    ],
)
def test_other_rules_have_other_words(one: str, other: str) -> None:
    assert of_iptables_text(one) != of_iptables_text(other)


@given(st.text("a \"'\\-!", min_size=1))
def test_words_of_iptables_are_a_rule_with_these_words(comment: str) -> None:
    escaped = comment.replace("\\", "\\\\").replace('"', '\\"')
    words = of_iptables_text(f'-s 10.0.0.1 ! -p tcp -m comment --comment "{escaped}" -j DROP')
    assert of_iptables_text(words) == words


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("ip saddr 10.0.0.1 counter packets 3 bytes 180 drop # handle 7", "ip saddr 10.0.0.1 drop"),
        ("ip saddr 10.0.0.1 counter drop", "ip saddr 10.0.0.1 drop"),
        ('iifname "eth0" meta mark & 0x000000ff == 0x00000012 accept', "iifname eth0 meta mark & 255 == 18 accept"),
        ('log prefix "a # b" counter packets 1 bytes 2', 'log prefix "a # b"'),
        ("counter packets 0 bytes 0 reject with icmpx port-unreachable", "reject"),
        (
            'tcp dport 80 counter packets 0 bytes 0 drop comment "netpolc 0123456789ab"',
            'comment "netpolc 0123456789ab"',
        ),
        ('tcp dport 80 drop comment "netpolc of mine"', 'tcp dport 80 drop comment "netpolc of mine"'),
    ],
)
def test_words_of_nft(printed: str, words: str) -> None:
    assert of_nftables(printed) == words
