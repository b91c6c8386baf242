"""What nft texts mean: what a question presupposes, statements, and names for what is not understood."""

from __future__ import annotations

import pytest

from compiler.semantics.rules.netfilter import (
    Accept,
    Barrier,
    Base,
    Continue,
    Drop,
    End,
    Field,
    Goto,
    Hook,
    In,
    InSet,
    Jump,
    Key,
    Lookup,
    Notice,
    NoTrack,
    Opaque,
    Return,
    Rewrite,
    SetHops,
    SetMark,
    Translate,
    Unmodelled,
)
from compiler.semantics.rules.reads_nftables import read
from grammar.ruletext import Refused
from grammar.source import Source
from tests.compiler.semantics.ruletexts import nft, nft_parts, nft_rule

V4, V6 = In(Field.FAMILY, ((4, 4),)), In(Field.FAMILY, ((6, 6),))
TCP_ONLY = In(Field.PROTOCOL, ((6, 6),))
HOST = 0x0A000001
ALL = (1 << 32) - 1
ETH = int.from_bytes(b"eth".ljust(16, b"\0"), "big"), int.from_bytes(b"eth".ljust(16, b"\xff"), "big")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("ip saddr 10.0.0.1", (V4, In(Field.SOURCE, ((HOST, HOST),)))),
        ("ip daddr != 128.0.0.0/1", (V4, In(Field.DESTINATION, ((0, (1 << 31) - 1),)))),
        ("ip saddr & 255.0.0.0 == 10.0.0.0", (V4, In(Field.SOURCE, ((10 << 24, (11 << 24) - 1),)))),
        ("ip saddr & 0.0.0.255 == 0.0.0.1", (V4, In(Field.SOURCE, ((1, 1),), 255))),
        ("ip6 saddr ::1", (V6, In(Field.SOURCE, ((1, 1),)))),
        ("tcp dport 80", (TCP_ONLY, In(Field.DESTINATION_PORT, ((80, 80),)))),
        ("tcp dport { 80, 81, 90-99 }", (TCP_ONLY, In(Field.DESTINATION_PORT, ((80, 81), (90, 99))))),
        ("tcp dport != 80 tcp sport >= 1024", (
            TCP_ONLY, In(Field.DESTINATION_PORT, ((0, 79), (81, 65535))), In(Field.SOURCE_PORT, ((1024, 65535),)),
        )),
        ("meta l4proto { tcp, 17 } th dport 53", (
            In(Field.PROTOCOL, ((6, 6), (17, 17))), In(Field.DESTINATION_PORT, ((53, 53),)),
        )),
        ("icmp type echo-request", (V4, In(Field.PROTOCOL, ((1, 1),)), In(Field.ICMP_TYPE, ((8, 8),)))),
        ("icmpv6 type { 133, nd-neighbor-solicit } ip6 hoplimit 255", (
            V6, In(Field.PROTOCOL, ((58, 58),)), In(Field.ICMP_TYPE, ((133, 133), (135, 135))),
            In(Field.HOPS, ((255, 255),)),
        )),
        ("ct state established,related", (In(Field.STATE, ((1, 2),)),)),
        ("ct state != { new, untracked }", (In(Field.STATE, ((1, 3),)),)),
        ("meta mark & 0xff != 0x5", (In(Field.MARK, ((0, 4), (6, ALL)), 0xFF),)),
        ("meta nfproto ipv6", (V6,)),
        ("meta protocol ip", (V4,)),
        ("ip protocol tcp", (V4, TCP_ONLY)),
        ('iifname "eth*"', (In(Field.INPUT, (ETH,)),)),
        ("fib saddr type local", (In(Field.SOURCE_TYPE, ((2, 2),)),)),
        ("ip ttl < 5", (V4, In(Field.HOPS, ((0, 4),)))),
        ("ip saddr @s4", (V4, InSet((Key(Field.SOURCE),), "s4"))),
        ("ip daddr & 255.255.255.0 @s4", (V4, InSet((Key(Field.DESTINATION, 0xFFFFFF00),), "s4"))),
        ("ip saddr . meta l4proto . th dport != @cells", (
            V4, InSet((Key(Field.SOURCE), Key(Field.PROTOCOL), Key(Field.DESTINATION_PORT)), "cells", negated=True),
        )),
        ("limit rate 5/second", (Barrier("limit rate 5/second burst 5 packets"),)),
        ("ip dscp != cs1", (Opaque("ip dscp cs1", negated=True),)),
        ("tcp flags syn / syn,ack", (TCP_ONLY, Opaque("tcp flags syn / syn,ack"))),
        ("numgen random mod 3 0", (Barrier("numgen random mod 3 0"),)),
        ("ct mark 5", (Opaque("ct mark 5"),)),
        ("meta mark set 5 meta mark 5", (SetMark(0, 5), In(Field.MARK, ((5, 5),)))),
    ],
)  # fmt: skip
def test_conditions(rule: str, expected: tuple[object, ...]) -> None:
    assert nft_parts(f"{rule} drop") == (*expected, Drop())


def test_concatenation_of_anonymous_elements() -> None:
    rule, table = nft_rule("ip saddr . tcp dport { 10.0.0.1 . 80-90 } accept")
    V4_, protocol, asked, _ = rule.parts
    assert (V4_, protocol) == (V4, TCP_ONLY)
    assert isinstance(asked, InSet)
    assert [element.box for element in table.sets[asked.set].elements] == [((HOST, HOST), (80, 90))]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("accept", (Accept(),)),
        ("counter drop", (Drop(),)),
        ("return", (Return(),)),
        ("continue", (Continue(),)),
        ("jump mine", (Jump("mine"),)),
        ("goto mine", (Goto("mine"),)),
        ("ip saddr vmap @m4", (V4, Lookup((Key(Field.SOURCE),), "m4"))),
        ('log prefix "x" counter packets 5 bytes 6 comment "y"', (Notice('log prefix "x"'),)),
        ("meta priority set 1:1", (Rewrite("priority", "meta priority set 1:1"),)),
        ("ip dscp set af41", (V4, Rewrite("DSCP", "34"))),
        ("ip6 hoplimit set 9", (V6, SetHops(0, 9, 9))),
        (
            "counter tcp option maxseg size set rt mtu counter",
            (TCP_ONLY, Rewrite("MSS", "tcp option maxseg size set rt mtu")),
        ),
        ("reject", (Drop(rejected=True, kind="port unreachable"),)),
        ("reject with tcp reset", (TCP_ONLY, Drop(rejected=True, kind="tcp reset"))),
        ("reject with icmp port-unreachable", (V4, Drop(rejected=True, kind="port unreachable"))),
        ("reject with icmp type host-prohibited", (V4, Drop(rejected=True, kind="icmp 3/10"))),
        ("reject with icmpx type admin-prohibited", (Drop(rejected=True, kind="admin prohibited"),)),
        ("notrack", (NoTrack(),)),
        ("meta mark set 0x5", (SetMark(0, 5),)),
        ("meta mark set meta mark & 0xf0 | 0x1", (SetMark(0xF0, 1),)),
        ("meta mark set mark xor 0x1", (SetMark(ALL, 1),)),
        ("meta mark set meta mark | 0xf", (SetMark(ALL ^ 0xF, 0xF),)),
        ("meta mark set ct mark", (Unmodelled("meta mark set ct mark"),)),
        ("ct mark set 5", (Unmodelled("ct mark set 5"),)),
        ("meta mark set meta mark | 1 & 2", (Unmodelled("meta mark set meta mark | 1 & 2"),)),
        ("queue", (Unmodelled("queue"),)),
        ("dnat ip to 10.0.0.1:80", (V4, Translate(End.DESTINATION, (HOST, HOST), (80, 80)))),
        ("tcp dport 1 redirect to :5", (
            TCP_ONLY, In(Field.DESTINATION_PORT, ((1, 1),)), Translate(End.DESTINATION, None, (5, 5), own=True),
        )),
        ("masquerade random", (Translate(End.SOURCE, own=True, how="random"),)),
    ],
)  # fmt: skip
def test_statements(rule: str, expected: tuple[object, ...]) -> None:
    assert nft_parts(rule) == expected


def test_base_chains() -> None:
    found = nft(
        "chain a { type filter hook forward priority filter - 1; policy drop; }\n"
        "chain b { type nat hook postrouting priority srcnat; }\n"
        "chain c { type filter hook input priority -5; }\n"
    )
    assert [chain.base for chain in found.chains.values()] == [
        Base(Hook.FORWARD, -1, accepts=False),
        Base(Hook.POSTROUTING, 100, nat=True),
        Base(Hook.INPUT, -5),
    ]


def test_catch_all_is_asked_last() -> None:
    found = nft("map m { type ipv4_addr : verdict; elements = { * : drop, 10.0.0.1 : accept } }").sets["m"]
    assert [(element.box, element.verdict) for element in found.elements] == [
        (((HOST, HOST),), Accept()),
        (((0, ALL),), Drop()),
    ]


def test_flush_takes_rules_and_leaves_sets() -> None:
    text = (
        "add table ip t\nadd chain ip t c\nadd rule ip t c drop\nadd set ip t s { type ipv4_addr; }\n"
        "add element ip t s { 10.0.0.1 }\nflush table ip t\ninsert rule ip t c accept\ninsert rule ip t c return\n"
    )
    (table,) = read(Source("rules", text))
    assert [rule.parts for rule in table.chains["c"].rules] == [(Return(),), (Accept(),)]
    assert len(table.sets["s"].elements) == 1
    assert read(Source("rules", f"{text}flush ruleset\n")) == ()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("jump nowhere", "there is no chain nowhere"),
        ("ip saddr @nothing drop", "there is no set nothing"),
        ("ip saddr @s6 drop", "s6 has other keys: ipv6_addr"),
        ("ip saddr @m4 drop", "m4 has other keys: ipv4_addr : verdict"),
        ("ip saddr vmap @s4", "s4 has other keys: ipv4_addr"),
        ("ip saddr 2001:db8::1 drop", "2001:db8::1 is no address of IPv4"),
        ("ip saddr 10.0.0.1/8 drop", "10.0.0.1/8 has bits behind the prefix"),
        ("tcp dport http drop", "http is no port number"),
        ("th dport 53 drop", "`th` needs a protocol that has ports"),
        ("meta l4proto 1 th dport 53 drop", "`th` needs a protocol that has ports"),
        ("ip saddr . meta l4proto . th dport @wild drop", "`th` needs a protocol that has ports"),
        ("ct state != new,established drop", "several values are understood in braces"),
        ("ct state new | established drop", "ct state new | established is not understood"),
        ("tcp dport 80,81 drop", "several values are understood in braces"),
        ("meta mark & 0xf0-0xff == 1 drop", "0xf0-0xff is no mask"),
        ("iifname < lo drop", "< is not understood here"),
        # Behind a statement that goes on as long as nothing else begins.
        ("counter tproxy to :80", "tproxy is not understood here"),
        ("counter packets 1 bytes 2 dup to 10.0.0.9", "dup is not understood here"),
        ('log prefix "fwd" fwd to eth0', "fwd is not understood here"),
        ("limit rate 1/second burst 5 packets synproxy mss 1460", "synproxy is not understood here"),
        ("icmp type nonsense drop", "nonsense is no number"),
        ("fib saddr type odd drop", "odd is not one of"),
        ("ip dscp vmap { 5 : drop }", "ip dscp is not understood in a map"),
        ("ip saddr { 10.0.0.1 : drop } drop", "the elements are not of one part each"),
    ],
)
def test_what_is_refused(rule: str, message: str) -> None:
    with pytest.raises(Refused) as found:
        nft_parts(rule)
    assert found.value.flaw.message.startswith(message), found.value
    assert found.value.flaw.span.line > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("set s { type ether_addr; }", "rules:2:14: sets of type ether_addr are not understood"),
        ("set s { type ipv4_addr; elements = { 10.0.0.1 . 80 } }", "rules:2:38: 1 parts are expected: ipv4_addr"),
        ("set s { type ipv4_addr; elements = { 10.0.0.1 : drop } }", "rules:2:38: a set has no verdicts"),
        ("map s { type ipv4_addr : verdict; elements = { 10.0.0.1 } }", "rules:2:48: a verdict is expected"),
        ("chain c { type filter hook ingress priority 0; }", "rules:2:7: hook ingress is not understood"),
        ("chain c { type filter hook input priority odd; }", "rules:2:7: priority: odd is no number"),
        (
            "chain c { type filter hook input priority 0; policy odd; }",
            "rules:2:7: a chain of type filter with policy odd",
        ),
    ],
)
def test_what_tables_refuse(text: str, message: str) -> None:
    with pytest.raises(Refused) as found:
        nft(text)
    assert str(found.value).startswith(message)


def test_what_is_not_declared() -> None:
    with pytest.raises(Refused, match="there is no table ip t"):
        read(Source("rules", "add chain ip t c"))
    with pytest.raises(Refused, match="there is no chain c"):
        read(Source("rules", "add table ip t\nadd rule ip t c drop"))
    with pytest.raises(Refused, match="there is no set s"):
        read(Source("rules", "add table ip t\nadd element ip t s { 10.0.0.1 }"))


PARTLY = """table inet t {
	counter web {
		packets 1 bytes 2
	}
	flowtable fast {
		hook ingress priority filter
		devices = { eth0 }
	}
	set seen {
		type ipv4_addr
		flags dynamic,timeout
		timeout 5m
		elements = { 10.0.0.1 timeout 5m expires 4m }
	}
	chain own {
	}
	chain c {
		RULE
	}
}
table bridge b {
	chain c {
		vlan id 5 drop
	}
}
"""


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        ("tcp dport 80 accept", (TCP_ONLY, In(Field.DESTINATION_PORT, ((80, 80),)), Accept())),
        ("ip protocol { tcp, udp } flow add @fast", (Unmodelled("ip protocol { tcp, udp } flow add @fast"),)),
        ("ct count over 20 counter packets 5 bytes 7 drop", (Barrier("ct count over 20 counter"), Drop())),
        ('vlan id 5 counter goto own comment "drop"', (Barrier("vlan id 5 counter"), Goto("own"))),
        (
            "ip saddr @seen tcp dport 80 accept",
            (V4, Opaque("ip saddr @seen"), TCP_ONLY, In(Field.DESTINATION_PORT, ((80, 80),)), Accept()),
        ),
        ("tcp dport != ssh drop", (TCP_ONLY, Opaque("tcp dport ssh", negated=True), Drop())),
        (
            "tcp dport 80 reject with icmp type 9",
            (TCP_ONLY, In(Field.DESTINATION_PORT, ((80, 80),)), Unmodelled("reject with icmp type 9")),
        ),
        ("update @seen { ip saddr timeout 1m }", (Unmodelled("update @seen { ip saddr timeout 1m }"),)),
    ],
)
def test_what_is_not_understood_stands_for_itself_where_that_is_asked_for(rule: str, parts: tuple[object, ...]) -> None:
    source = Source("x.nft", PARTLY.replace("RULE", rule))
    (table,) = read(source, partly=True)
    assert [one.parts for one in table.chains["c"].rules] == [parts]
    with pytest.raises(Refused):
        read(source)


@pytest.mark.parametrize(
    "rule",
    ["meta hour vmap { 1 : jump own }", "ip saddr vmap @seen", "vlan id 5 jump nowhere", "vlan id 5 jump own drop"],
)
def test_what_leads_to_chains_nobody_knows_when_is_refused_all_the_same(rule: str) -> None:
    with pytest.raises(Refused):
        read(Source("x.nft", PARTLY.replace("RULE", rule)), partly=True)
