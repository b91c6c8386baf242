"""What iptables texts mean: one meaning for every spelling, and names for what is not understood."""

from __future__ import annotations

from itertools import product

import pytest

from compiler.semantics.rules.netfilter import (
    Accept,
    Barrier,
    Drop,
    End,
    Field,
    Goto,
    Hook,
    In,
    InSet,
    Jump,
    Key,
    Notice,
    NoTrack,
    Opaque,
    Return,
    Rewrite,
    SetHops,
    SetMark,
    State,
    Translate,
    Unmodelled,
)
from grammar.ruletext import Refused
from tests.compiler.semantics.ruletexts import iptables, iptables_parts

V4 = In(Field.FAMILY, ((4, 4),))
V6 = In(Field.FAMILY, ((6, 6),))
TCP_ONLY = In(Field.PROTOCOL, ((6, 6),))
HOST = 0x0A000001
ALL = (1 << 32) - 1


@pytest.mark.parametrize(
    "spellings",
    [
        ("-s 10.0.0.1", "--source 10.0.0.1/32", "--src 10.0.0.1/255.255.255.255"),
        ("-d 10.0.0.0/8", "-d 10.1.2.3/8", "--dst 10.0.0.0/255.0.0.0"),
        ("! -s 10.0.0.1", "-s ! 10.0.0.1"),
        (
            "-p tcp --dport 80",
            "-p 6 -m tcp --destination-port 80:80",
            "-p TCP --dport 80 -m comment --comment x",
        ),
        ("-p tcp -m tcp ! --dport :79", "-p tcp -m tcp --dport 80:", "-p tcp -m multiport --dports 80:65535"),
        ("-m conntrack --ctstate NEW,RELATED", "-m state --state RELATED,NEW", "-m conntrack --ctstate related,new"),
        ("-m mark --mark 0x10", "-m mark --mark 16/0xffffffff"),
        ("-p icmp -m icmp --icmp-type 8", "-p icmp --icmp-type echo-request"),
        ("-p all", "", "-p 0"),
        ("-i eth0", "--in-interface eth0"),
    ],
)
def test_spellings_mean_the_same(spellings: tuple[str, ...]) -> None:
    meanings = [iptables_parts(f"{text} -j DROP") for text in spellings]
    assert all(meaning == meanings[0] for meaning in meanings)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-s 10.0.0.1", (V4, In(Field.SOURCE, ((HOST, HOST),)))),
        ("! -d 0.0.0.0/1", (V4, In(Field.DESTINATION, ((1 << 31, ALL),)))),
        ("-s 10.0.0.1/255.0.0.255", (V4, In(Field.SOURCE, ((HOST, HOST),), 0xFF0000FF))),
        ("-s 1.0.0.0,10.0.0.1", (V4, In(Field.SOURCE, ((1 << 24, 1 << 24), (HOST, HOST))))),
        ("! -p tcp", (In(Field.PROTOCOL, ((0, 5), (7, 255))),)),
        ("-p tcp -m tcp --sport 5:", (TCP_ONLY, In(Field.SOURCE_PORT, ((5, 65535),)))),
        ("-p tcp -m multiport --dports 1,2,9:10", (TCP_ONLY, In(Field.DESTINATION_PORT, ((1, 2), (9, 10))))),
        ("-m conntrack ! --ctstate ESTABLISHED,RELATED", (In(Field.STATE, ((0, 0), (3, 4))),)),
        ("-m mark --mark 1/3", (In(Field.MARK, ((1, 1),), 3),)),
        ("-m mark ! --mark 1/3", (In(Field.MARK, ((0, 0), (2, ALL)), 3),)),
        ("-m iprange --src-range 0.0.0.1-0.0.0.9", (V4, In(Field.SOURCE, ((1, 9),)))),
        ("-m addrtype --src-type LOCAL", (In(Field.SOURCE_TYPE, ((2, 2),)),)),
        ("-m ttl --ttl-lt 5", (V4, In(Field.HOPS, ((0, 4),)))),
        ("-m ttl --ttl-gt 255", (V4, In(Field.HOPS, ()))),
        ("-m limit --limit 5/sec", (Barrier("limit rate 5/second burst 5 packets"),)),
        ("-m recent --name x --rcheck", (Barrier("-m recent --name x --rcheck"),)),
        ("-m connlimit ! --connlimit-upto 5", (Barrier("-m connlimit ! --connlimit-upto 5"),)),
        ("-m nobody-knows --it x", (Barrier("-m nobody-knows --it x"),)),
        ("-m owner ! --uid-owner 0", (Opaque("-m owner --uid-owner 0", negated=True),)),
        ("-m socket", (Opaque("-m socket"),)),
        ("-p tcp -m tcp ! --syn", (TCP_ONLY, Opaque("tcp flags syn / fin,syn,rst,ack", negated=True))),
        ("-m conntrack --ctstate DNAT", (Opaque("-m conntrack --ctstate DNAT"),)),
        ("-f", (Opaque("-f"),)),
        ("-m mark --mark 1 -m connmark --mark 2", (In(Field.MARK, ((1, 1),)), Opaque("-m connmark --mark 2"))),
        ("-m policy --dir in --pol ipsec --proto esp", (Opaque("-m policy --dir in --pol ipsec --proto esp"),)),
    ],
)
def test_conditions(options: str, expected: tuple[object, ...]) -> None:
    assert iptables_parts(f"{options} -j DROP") == [(*expected, Drop())]


def test_ipv6() -> None:
    assert iptables_parts("-p ipv6-icmp --icmpv6-type 1/4 -j DROP", family=6) == [
        (In(Field.PROTOCOL, ((58, 58),)), In(Field.ICMP_TYPE, ((1, 1),)), In(Field.ICMP_CODE, ((4, 4),)), Drop())
    ]
    assert iptables_parts("-m hl --hl-eq 255 -j DROP", family=6) == [(V6, In(Field.HOPS, ((255, 255),)), Drop())]
    # xt_addrtype wants all of several types at once there.
    assert iptables_parts("-m addrtype --src-type UNICAST -j DROP", family=6)[0][0] == Opaque(
        "-m addrtype --src-type UNICAST"
    )
    assert iptables_parts("-4 -s 10.0.0.1 -j DROP", family=6) == []


def test_either_port_is_two_rules_of_which_one_holds() -> None:
    first, second = iptables_parts("-p tcp -m multiport --ports 80 -j DROP")
    others = ((0, 79), (81, 65535))
    assert first == (TCP_ONLY, In(Field.SOURCE_PORT, ((80, 80),)), Drop())
    assert second == (TCP_ONLY, In(Field.SOURCE_PORT, others), In(Field.DESTINATION_PORT, ((80, 80),)), Drop())
    (neither,) = iptables_parts("-p tcp -m multiport ! --ports 80 -j DROP")
    assert neither == (TCP_ONLY, In(Field.SOURCE_PORT, others), In(Field.DESTINATION_PORT, others), Drop())


def test_not_a_type_and_code_is_two_rules() -> None:
    assert [len(parts) for parts in iptables_parts("-p icmp -m icmp ! --icmp-type 3/1 -j DROP")] == [3, 4]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-j ACCEPT", (Accept(),)),
        ("-j RETURN", (Return(),)),
        ("-j REJECT", (Drop(rejected=True, kind="port unreachable"),)),
        ("-j REJECT --reject-with tcp-reset", (Drop(rejected=True, kind="tcp reset"),)),
        ("-j REJECT --reject-with icmp-admin-prohibited", (Drop(rejected=True, kind="admin prohibited"),)),
        ("-j REJECT --reject-with icmp-net-prohibited", (Drop(rejected=True, kind="icmp 3/9"),)),
        ("-j mine", (Jump("mine"),)),
        ("-g mine", (Goto("mine"),)),
        ("", ()),
        ('-j LOG --log-prefix "x "  --log-level 4', (Notice('log prefix "x "'),)),
        ("-j NFLOG --nflog-group 5", (Notice("log group 5"),)),
        ("-j TEE --gateway 10.0.0.9", (Notice("-j TEE --gateway 10.0.0.9"),)),
        ("-p tcp -j TCPMSS --clamp-mss-to-pmtu", (TCP_ONLY, Rewrite("MSS", "tcp option maxseg size set rt mtu"))),
        ("-j DSCP --set-dscp 0x2e", (Rewrite("DSCP", "46"),)),
        ("-j CLASSIFY --set-class 1:1", (Rewrite("priority", "-j CLASSIFY --set-class 1:1"),)),
        ("-j TTL --ttl-set 64", (SetHops(0, 64, 64),)),
        ("-j TTL --ttl-dec 1", (SetHops(-1),)),
        ("-j TTL --ttl-inc 2", (SetHops(2),)),
        ("-j CT --helper ftp", (Rewrite("connection", "-j CT --helper ftp"),)),
        ("-j MARK --set-mark 5", (SetMark(0, 5),)),
        ("-j MARK --set-mark 5/0xf", (SetMark(ALL ^ 0xF, 5),)),
        ("-j MARK --set-xmark 5/0x1", (SetMark(ALL ^ 1, 5),)),
        ("-j MARK --and-mark 0xf", (SetMark(0xF, 0),)),
        ("-j MARK --or-mark 0xf", (SetMark(ALL ^ 0xF, 0xF),)),
        ("-j MARK --xor-mark 0xf", (SetMark(ALL, 0xF),)),
        ("-j CT --notrack", (NoTrack(),)),
        ("-j CT --zone 5", (Unmodelled("-j CT --zone 5"),)),
        ("-j CONNMARK --restore-mark", (Unmodelled("-j CONNMARK --restore-mark"),)),
        ("-j NFQUEUE --queue-num 1", (Unmodelled("-j NFQUEUE --queue-num 1"),)),
    ],
)
def test_targets(options: str, expected: tuple[object, ...]) -> None:
    assert iptables_parts(options) == [expected]


def test_options_may_follow_the_target() -> None:
    assert iptables_parts("-j REJECT -p tcp --dport 80") == iptables_parts("-p tcp --dport 80 -j REJECT")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("DNAT --to-destination 10.0.0.1:80", Translate(End.DESTINATION, (HOST, HOST), (80, 80))),
        ("DNAT --to-destination :80-90", Translate(End.DESTINATION, None, (80, 90))),
        ("SNAT --to-source 0.0.0.1-0.0.0.9 --random", Translate(End.SOURCE, (1, 9), how="--random")),
        ("MASQUERADE", Translate(End.SOURCE, own=True)),
        ("REDIRECT --to-ports 5", Translate(End.DESTINATION, None, (5, 5), own=True)),
    ],
)
def test_nat(target: str, expected: Translate) -> None:
    (rule,) = iptables(f"-A PREROUTING -j {target}", table="nat").chains["PREROUTING"].rules
    assert rule.parts == (expected,)


def test_nat_of_ipv6_has_brackets() -> None:
    found = iptables("-A PREROUTING -j DNAT --to-destination [::1]:80", 6, table="nat").chains["PREROUTING"]
    assert found.rules[0].parts == (Translate(End.DESTINATION, (1, 1), (80, 80)),)


SETS = """\
create ips hash:ip
create cells hash:ip,port,ip
add cells 10.0.0.1,udp:53,10.0.0.2
create six hash:ip family inet6
"""


def test_sets() -> None:
    assert iptables_parts("-m set --match-set ips src -j DROP", sets=SETS) == [
        (V4, InSet((Key(Field.SOURCE),), "ips"), Drop())
    ]
    keys = (Key(Field.DESTINATION), Key(Field.PROTOCOL), Key(Field.SOURCE_PORT), Key(Field.SOURCE))
    assert iptables_parts("-m set ! --match-set cells dst,src,src -j DROP", sets=SETS) == [
        (V4, InSet(keys, "cells", negated=True), Drop())
    ]
    # ip_set_test: a set of more dimensions than are asked has no packet.
    assert iptables_parts("-m set --match-set cells src -j DROP", sets=SETS) == [(In(Field.FAMILY, ()), Drop())]
    assert iptables_parts("-m set ! --match-set cells src -j DROP", sets=SETS) == [(Drop(),)]


def test_hooks_priorities_and_policies() -> None:
    found = iptables(":FORWARD DROP [0:0]\n-I INPUT -j ACCEPT\n-I INPUT -j DROP\n-I INPUT 2 -j RETURN")
    assert found.chains["FORWARD"].base is not None
    assert not found.chains["FORWARD"].base.accepts
    assert [rule.parts for rule in found.chains["INPUT"].rules] == [(Drop(),), (Return(),), (Accept(),)]
    bases = [
        iptables(f":{hook.value.upper()} ACCEPT", table=table).chains[hook.value.upper()].base
        for table, hook in product(("nat",), (Hook.PREROUTING, Hook.INPUT, Hook.OUTPUT, Hook.POSTROUTING))
    ]
    assert [base.priority for base in bases if base] == [-100, 100, -100, 100]


def test_states_are_those_of_conntrack() -> None:
    names = [state.name for state in State]
    assert [iptables_parts(f"-m conntrack --ctstate {name} -j DROP")[0][0] for name in names] == [
        In(Field.STATE, ((int(state), int(state)),)) for state in State
    ]


@pytest.mark.parametrize(
    ("options", "column", "message"),
    [
        ("-s example.org -j DROP", 12, "example.org is no address"),
        ("-s 2001:db8::1 -j DROP", 12, "2001:db8::1 is not of the table's family"),
        ("-s 10.0.0.1/33 -j DROP", 12, "33 is not between 0 and 32"),
        ("-p nonsense -j DROP", 12, "nonsense is no protocol that is known here; its number would do"),
        ("-p tcp --dport http -j DROP", 19, "http is no port number"),
        ("-p tcp --dport 9:1 -j DROP", 19, "9:1 ends before it begins"),
        ("--dport 80 -j DROP", 12, "--dport is not understood here"),
        ("-m tcp --dport 80 -j DROP", 19, "the rule does not ask for a protocol that has this"),
        ("-m multiport --dports 80 -j DROP", 25, "the rule does not ask for a protocol that has this"),
        ("-m set --match-set none src -j DROP", 19, "there is no set none"),
        ("-m set --match-set six src -j DROP", 19, "six is a set of the other family"),
        ("-m set --match-set ips here -j DROP", 19, "directions are up to six of src and dst"),
        ("-m set --match-set ips src --return-nomatch -j DROP", 39, "--return-nomatch is not understood here"),
        ("-m conntrack --ctstate ODD -j DROP", 25, "ODD has a state that is not known"),
        ("-g nowhere", 12, "the chain nowhere is not declared"),
        ("-j FORWARD", 12, "FORWARD is a chain of the hook, which nothing jumps to"),
        ("-j DROP -j ACCEPT", 20, "a second target"),
        ("-j REJECT --reject-with odd", 22, "odd is no answer that is known here: one of tcp-reset, icmp-net-unreac"),
        ("-j DROP --odd", 20, "--odd is not understood here"),
        ("-i an-interface-of-17 -j DROP", 12, "an-interface-of-17 is longer than the name of an interface can be"),
        ("-m -j DROP", 12, "-m takes one value"),
    ],
)
def test_what_is_refused(options: str, column: int, message: str) -> None:
    with pytest.raises(Refused) as found:
        iptables_parts(options, sets=SETS)
    assert str(found.value).startswith(f"rules:3:{column}: {message}"), found.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-A mine -j DROP", "rules:2:4: the chain mine is not declared"),
        (":mine - [0:0]\n:mine - [0:0]", "rules:3:2: the chain mine is declared twice"),
        (":FORWARD - [0:0]", "rules:2:2: FORWARD is a chain of the hook and has a policy"),
        (":FORWARD QUEUE [0:0]", "rules:2:1: a policy is ACCEPT or DROP"),
        ("-I FORWARD 2 -j DROP", "rules:2:1: the chain has only 0 rules"),
    ],
)
def test_what_tables_refuse(text: str, message: str) -> None:
    with pytest.raises(Refused) as found:
        iptables(text)
    assert str(found.value).startswith(message)


def test_unknown_table() -> None:
    with pytest.raises(Refused, match="there is no table odd"):
        iptables("", table="odd")
