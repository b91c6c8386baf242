"""Rules of iptables in the language's words, and which have none."""

from __future__ import annotations

import pytest

from tests.compiler.importing.ruletexts import iptables, read, statements

MATCHES = [
    ("-s 10.0.0.0/8", "deny 10.0.0.0/8 -> any"),
    ("-s 10.0.0.1/32 -d 10.0.0.2", "deny 10.0.0.1 -> 10.0.0.2"),
    ("-d 10.0.0.1,10.0.0.9", "deny any -> { 10.0.0.1, 10.0.0.9 }"),
    ("-s 192.0.2.0/255.255.255.0", "deny 192.0.2.0/24 -> any"),
    ("! -s 10.0.0.0/8", "deny any except 10.0.0.0/8 -> any"),
    ("-s ! 10.0.0.0/8", "deny any except 10.0.0.0/8 -> any"),
    ("-i eth0", "deny eth0 -> any"),
    ("! -i eth0 -s 10.0.0.0/8", "deny 10.0.0.0/8 except eth0 -> any"),
    ("-i eth0 ! -s 10.0.0.0/8", "deny eth0 except 10.0.0.0/8 -> any"),
    ("-o ppp+", "deny any -> ppp-any"),
    ("-i eth0 -s 10.0.0.0/8 -o eth1", "deny eth0 and 10.0.0.0/8 -> eth1"),
    ("-p tcp", "deny any -> any : tcp"),
    ("-p all", "deny any -> any"),
    ("-p 47", "deny any -> any : gre"),
    ("-p 4", "deny any -> any : proto/4"),
    ("-p tcp -m tcp --dport 22", "deny any -> any : tcp/22"),
    ("-p tcp -m tcp ! --dport 22", "deny any -> any : tcp/0-21,23-65535"),
    ("-p udp --dport 1000:", "deny any -> any : udp/1000-65535"),
    ("-p tcp -m tcp --sport 1024:65535 --dport 22", "deny any -> any : tcp/22 source port 1024-65535"),
    ("-p tcp -m multiport --dports 80,443,8000:8010", "deny any -> any : tcp/80,443,8000-8010"),
    ("-p tcp -m multiport ! --dports 80", "deny any -> any : tcp/0-79,81-65535"),
    ("-p udp -m multiport --sports 53,123", "deny any -> any : udp source port 53,123"),
    ("-p sctp -m sctp --dport 9", "deny any -> any : sctp/9"),
    ("-p icmp -m icmp --icmp-type 8", "deny any -> any : icmp/echo-request"),
    ("-p icmp -m icmp --icmp-type echo-request", "deny any -> any : icmp/echo-request"),
    ("-p icmp -m icmp --icmp-type any", "deny any -> any : icmp"),
    ("-p icmp -m icmp --icmp-type 13", "deny any -> any : icmp/13"),
    ("-m conntrack --ctstate NEW", "deny any -> any state new"),
    ("-m conntrack ! --ctstate NEW,RELATED", "deny any -> any state established,invalid,untracked"),
    ("-m state --state INVALID,UNTRACKED", "deny any -> any state invalid,untracked"),
    ("-m mark --mark 0x1/0xff", "deny any -> any marked 0x1/0xff"),
    ("-m mark --mark 7", "deny any -> any marked 0x7"),
    ("-m mark ! --mark 0x4000/0x4000", "deny any -> any marked 0x0/0x4000"),
    ("-m iprange --src-range 10.0.0.5-10.0.0.9", "deny 10.0.0.5-10.0.0.9 -> any"),
    ("-m iprange ! --dst-range 10.0.0.5-10.0.0.9", "deny any -> any except 10.0.0.5-10.0.0.9"),
    ("-s 10.0.0.0/8 -m iprange --src-range 10.255.255.0-11.0.0.9", "deny 10.255.255.0/24 -> any"),
    ("-m addrtype --dst-type LOCAL", "deny any -> local"),
    ("-m addrtype --dst-type BROADCAST,MULTICAST", "deny any -> { broadcast, multicast }"),
    ("-m addrtype ! --src-type LOCAL", "deny any except local -> any"),
    ("-m statistic --mode random --probability 0.33333333349", "deny any -> any chance 1/3"),
    ('-m comment --comment "two words"', 'deny any -> any "two words"'),
]
OPAQUE = [
    ("-p tcp -m tcp --tcp-flags SYN,RST SYN", "--tcp-flags of tcp"),
    ("-p icmp -m icmp --icmp-type 3/4", "codes of ICMP (3/4)"),
    ("-m conntrack --ctstate DNAT", "the states dnat"),
    ("-m conntrack --ctstate NEW --ctdir ORIGINAL", "--ctdir of conntrack"),
    ("-m limit --limit 1/s", "-m limit"),
    ("-m recent --name x --rcheck", "-m recent"),
    ("-m owner --uid-owner 0", "-m owner"),
    ("-m addrtype --src-type UNICAST", "the type of address UNICAST"),
    ("-m statistic --mode nth --every 3 --packet 0", "statistic that does not throw dice"),
    ("-m statistic --mode random --probability 0.4", "a chance of 0.4, which is not one of a number"),
    ("-m limit --limit 1/s -m conntrack --ctstate NEW", "a match that counts before others are asked"),
    ("-s 10.0.0.1/255.0.255.0", "10.0.0.1/255.0.255.0 has a mask that is none of a prefix"),
    ("-f", "-f"),
    ("! -p tcp", "every protocol but some"),
]
TARGETS = [
    ("filter", "FORWARD", "-j REJECT", "reject any -> any"),
    ("filter", "FORWARD", "-p tcp -j REJECT --reject-with tcp-reset", "reject any -> any : tcp with tcp-reset"),
    (
        "filter",
        "FORWARD",
        "-j REJECT --reject-with icmp-host-unreachable",
        "reject any -> any with icmp-host-unreachable",
    ),
    ("filter", "FORWARD", '-j LOG --log-prefix "x: "', 'log any -> any "x: " to kernel'),
    ("filter", "FORWARD", "-m limit --limit 5/min -j LOG", "log any -> any limit 5/min to kernel"),
    (
        "filter",
        "FORWARD",
        "-m limit --limit 3/hour --limit-burst 9 -j NFLOG --nflog-prefix x",
        'log any -> any "x" limit 3/hour burst 9',
    ),
    ("filter", "INPUT", "-s 10.0.0.1 -j DROP", "deny 10.0.0.1 -> self"),
    ("filter", "INPUT", "-d 224.0.0.251 -j DROP", "deny any -> self and 224.0.0.251"),
    ("filter", "INPUT", "! -d 10.0.0.1 -j DROP", "deny any -> self except 10.0.0.1"),
    ("filter", "OUTPUT", "-s 10.0.0.1 -o eth0 -j DROP", "deny self and 10.0.0.1 -> eth0"),
    (
        "nat",
        "PREROUTING",
        "-d 1.2.3.4 -p tcp -j DNAT --to-destination 10.0.0.9",
        "dnat everywhere to 1.2.3.4 : tcp -> 10.0.0.9",
    ),
    (
        "nat",
        "PREROUTING",
        "-i eth0 -p tcp --dport 80 -j DNAT --to-destination 10.0.0.9:8080",
        "dnat eth0 to any : tcp/80 -> 10.0.0.9 : 8080",
    ),
    ("nat", "OUTPUT", "-p udp --dport 53 -j REDIRECT --to-ports 5353", "redirect self -> any : udp/53 to 5353"),
    ("nat", "POSTROUTING", "-s 10.0.0.0/8 -o eth0 -j MASQUERADE", "masquerade 10.0.0.0/8 -> world"),
    ("nat", "POSTROUTING", "-j MASQUERADE --random-fully", "masquerade any -> any"),
    ("nat", "POSTROUTING", "-o eth0 -j SNAT --to-source 192.0.2.1", "snat any -> world as 192.0.2.1"),
    ("mangle", "PREROUTING", "-i eth0 -j MARK --set-xmark 0x1/0xff", "mark eth0 -> any 0x1/0xff"),
    ("mangle", "PREROUTING", "-j MARK --set-mark 5", "mark everywhere -> any 0x5"),
    ("mangle", "OUTPUT", "-j MARK --or-mark 0x8", "mark self -> any 0x8/0x8"),
    ("mangle", "FORWARD", "-j MARK --and-mark 0xfffffff0", "mark everywhere -> everywhere 0x0/0xf"),
    ("mangle", "FORWARD", "-i eth0 -j TTL --ttl-dec 1", "ttl dec 1 for eth0 -> everywhere"),
    ("mangle", "OUTPUT", "-j DSCP --set-dscp-class AF41", "dscp self -> any 34"),
    ("mangle", "POSTROUTING", "-o eth0 -j DSCP --set-dscp 0x2e", "dscp any -> eth0 46"),
    (
        "mangle",
        "FORWARD",
        "-o ppp0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
        "mss clamp pmtu for everywhere -> ppp0 : tcp",
    ),
    ("raw", "PREROUTING", "-p udp --dport 53 -j CT --notrack", "notrack everywhere -> any : udp/53"),
    ("raw", "PREROUTING", "-i eth0 -s 10.0.0.0/8 -j DROP", "drop eth0 and 10.0.0.0/8 -> any"),
]


@pytest.mark.parametrize(("match", "said"), MATCHES)
def test_matches_in_words(match: str, said: str) -> None:
    found = read(iptables(f"-A FORWARD {match} -j DROP"))
    assert statements(found) == [said]
    assert not found.opaque
    assert not found.lost


@pytest.mark.parametrize(("match", "why"), OPAQUE)
def test_matches_without_words(match: str, why: str) -> None:
    found = read(iptables(f"-A FORWARD {match} -j DROP"))
    assert statements(found) == [f'opaque r-2 iptables ipv4 "{" ".join(match.split())} -j DROP"']
    assert [reason for _, reason in found.opaque] == [why]


@pytest.mark.parametrize(("table", "chain", "rule", "said"), TARGETS)
def test_targets_in_words(table: str, chain: str, rule: str, said: str) -> None:
    found = read(iptables(f"-A {chain} {rule}", table=table))
    assert statements(found)[:1] == [said]
    assert not found.opaque


@pytest.mark.parametrize(
    ("table", "chain", "rule"),
    [
        ("filter", "FORWARD", "-j LOG --log-level 6"),
        ("filter", "FORWARD", "-j NFLOG --nflog-group 7"),
        ("filter", "FORWARD", "-j REJECT --reject-with icmp6-policy-fail"),
        ("nat", "PREROUTING", "-j DNAT --to-destination 10.0.0.1-10.0.0.9"),
        ("nat", "PREROUTING", "-d 1.2.3.4 -j DNAT --to-destination 10.0.0.9"),
        ("nat", "POSTROUTING", "-p tcp -j MASQUERADE --to-ports 1024-65535"),
        ("nat", "POSTROUTING", "-j MARK --set-mark 1"),
        ("mangle", "PREROUTING", "-j CONNMARK --restore-mark"),
        ("mangle", "PREROUTING", "-j MARK --xor-mark 1"),
        ("mangle", "INPUT", "-j MARK --set-mark 1"),
        ("mangle", "FORWARD", "-j DROP"),
        ("mangle", "POSTROUTING", "-j CHECKSUM --checksum-fill"),
        ("raw", "PREROUTING", "-p tcp --dport 21 -j CT --helper ftp"),
        ("raw", "OUTPUT", "-p udp --sport 53 -j NOTRACK"),
    ],
)
def test_targets_without_words(table: str, chain: str, rule: str) -> None:
    found = read(iptables(f"-A {chain} {rule}", table=table))
    hook = "" if table == "filter" else f" {chain.lower()}"
    assert statements(found) == [f'opaque r-2 iptables ipv4{hook} "{rule}"']


def test_ipv6() -> None:
    found = read(
        iptables(
            "-A FORWARD -s 2001:db8::/32 -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j DROP",
            "-A FORWARD -d ::1 -j REJECT --reject-with icmp6-adm-prohibited",
            six=True,
        )
    )
    assert statements(found) == [
        "deny 2001:db8::/32 -> any : icmpv6/nd-neighbor-solicit",
        "reject any -> ::1 with icmp-admin-prohibited",
    ]
    assert found.versions == (6,)
