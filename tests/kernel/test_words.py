"""Rules are found again in what the tools print of them: by their words, and nft's JSON by those of its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from compiler.backends import nftables
from compiler.backends.target import Backend, Target
from compiler.ir.ruleset import Chain, Goto, Rule, Ruleset
from compiler.optimizing import weights
from compiler.pipeline import emit, prepared
from compiler.profiles.words import of_iptables
from grammar.iptables import tables
from grammar.source import Flaw, Source
from tests.compiler.backends.small import FOR_IPTABLES
from tests.compiler.backends.statements import ROWS
from tests.kernel.namespace import Namespace
from tests.kernel.rig import load
from tests.kernel.texts import base, texts

pytestmark = pytest.mark.kernel

VARIANTS = ("iptables-legacy", "iptables-nft")
FILES = ("iptables", "ip6tables")


def words(text: str) -> Counter[tuple[str, str, str]]:
    return Counter(
        (table.name.text, command.chain.text, of_iptables(command))
        for table in tables(Source("rules", text))
        for command in table.commands
        if command.verb in ("-A", "-I")
    )


def loaded(files: Mapping[str, str], flavour: str) -> dict[str, str]:
    """What iptables-save prints of files of ours."""
    namespace = Namespace()
    try:
        load(namespace, files, flavour)
        variant = flavour.removeprefix("iptables-")
        return {f"{tool}.save": namespace.run(f"{tool}-{variant}-save", "-c") for tool in FILES}
    finally:
        namespace.close()


@pytest.mark.parametrize("flavour", VARIANTS)
def test_every_statement_of_ours(flavour: str) -> None:
    for name, row in ROWS.items():
        files = texts(flavour, base(row.table, row.hook, row.rule))
        for file, printed in loaded(files, flavour).items():
            assert words(printed) == words(files[file]), name


@pytest.mark.parametrize("flavour", VARIANTS)
def test_a_whole_layout(flavour: str) -> None:
    """With sets, whose names end in digests."""
    files = emit(prepared(FOR_IPTABLES, Target(Backend.IPTABLES)), Target(Backend.IPTABLES))
    for file, printed in loaded(files, flavour).items():
        assert words(printed) == words(files[file])
        assert len(words(printed)) > 5


def test_rules_of_nft_are_known_by_their_comments() -> None:
    """Every statement of ours with a counter and a comment, in a chain of its own, is loaded and found again."""
    target = Target(Backend.NFTABLES, counters=True)
    for name, row in ROWS.items():
        own = Chain("own", (row.rule,), table=row.table)
        ruleset = Ruleset((base(row.table, row.hook, Rule((), Goto("own"))), own))
        ruleset = replace(prepared(ruleset, target), counted=True)
        namespace, flaws = Namespace(), list[Flaw]()
        try:
            load(namespace, emit(ruleset, target), "nftables")
            (profile,) = weights.read(Source("dump", namespace.run("nft", "list", "ruleset")), flaws.append)
        finally:
            namespace.close()
        wanted = {(one.chain, one.text) for one in nftables.rules(ruleset)}
        assert {(key.chain, key.words) for key in profile.counts} == wanted, name
        assert any(chain == "own" for chain, _ in wanted)


#: What rules may hold that nft prints, one for each form of an expression.
NFT = """
table inet t {
	map m { type ipv4_addr : verdict; elements = { 1.1.1.1 : drop } }
	set s { type ipv4_addr; elements = { 1.1.1.1, 2.2.2.2 } }
	chain o { }
	chain c {
		ct state established,related counter accept
		ct state != established counter
		ip saddr 10.0.0.0/8 tcp dport 80 counter accept comment "two words"
		ip saddr != 10.0.0.1 tcp dport != 22 counter drop
		tcp dport { 80, 443, 1000-2000 } counter jump o
		ip saddr . tcp dport { 1.1.1.1 . 80, 2.2.2.2 . 81 } counter drop
		ip saddr @s counter drop comment "netpolc 0123456789ab"
		counter ip saddr vmap @m
		counter tcp dport vmap { 80 : accept, 81 : goto o }
		iifname "eth0" oifname "eth1*" counter return
		iif "lo" counter accept
		meta mark 0x12 counter
		meta mark & 0xff == 0x12 counter
		meta mark set meta mark & 0xff00 | 0x12 counter
		meta l4proto { tcp, udp } th dport 53 counter
		meta nfproto ipv6 counter
		icmp type echo-request counter accept
		icmpv6 type { nd-router-solicit, nd-neighbor-solicit } ip6 hoplimit 255 counter accept
		fib saddr type local counter
		fib saddr . iif oif missing counter
		numgen random mod 3 0 counter
		limit rate 5/minute burst 7 packets counter
		limit rate over 5/second counter drop
		log prefix "x y" group 2 counter
		log prefix "a" flags all counter
		counter reject
		counter reject with icmpx admin-prohibited
		meta l4proto tcp counter reject with tcp reset
		ip6 daddr fd00::/8 udp sport 1-1024 counter
		ip dscp cs1 counter
		counter ip dscp set af11
		counter tcp flags syn / syn,rst tcp option maxseg size set rt mtu
		tcp flags syn counter
		ip protocol gre counter
		ether saddr 00:11:22:33:44:55 counter
		ct mark set meta mark counter
		ct direction original counter
		ct status dnat counter
		ip frag-off & 0x1fff != 0 counter
		ip daddr & 255.0.0.255 == 10.0.0.1 counter
		ip saddr 10.0.0.1-10.0.0.5 counter
		tcp dport > 1024 counter
		ct count over 5 counter drop
	}
	chain n {
		type nat hook postrouting priority 100;
		oifname "e" counter masquerade
		counter ip saddr 1.1.1.1 snat ip to 2.2.2.2
		counter ip6 saddr ::1 tcp dport 1 snat ip6 to [fd00::1]:80
	}
	chain p {
		type nat hook prerouting priority -100;
		counter tcp dport 80 dnat ip to 2.2.2.2:8080
		counter tcp dport 81 redirect to :82
		counter tcp dport 82 dnat ip to 10.0.0.1-10.0.0.3
	}
}
"""


def test_json_and_text_of_nft_have_the_same_words() -> None:
    namespace = Namespace()
    try:
        namespace.run("nft", "-f", "-", stdin=NFT)
        text, json = (namespace.run("nft", *options, "list", "ruleset") for options in ((), ("-j",)))
    finally:
        namespace.close()
    flaws: list[Flaw] = []
    profiles = [weights.read(Source("dump", one), flaws.append)[0] for one in (text, json)]
    assert not flaws
    assert len(profiles[0].counts) == NFT.count(" counter") + NFT.count("\tcounter")
    assert profiles[0].counts == profiles[1].counts
    assert list(profiles[0].counts) == list(profiles[1].counts)
