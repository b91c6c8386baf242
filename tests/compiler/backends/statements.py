"""Every match, effect and verdict beyond those of the layout, as both tools say it and as our readers take that."""

from __future__ import annotations

from typing import NamedTuple

from compiler.ir.effects import ClampMss, Log, NoTrack, SetDscp, SetMark, SetMss, Step, Ttl
from compiler.ir.match import (
    Field,
    FromPorts,
    HasMark,
    Hops,
    IcmpType,
    Inbound,
    InPrefix,
    InState,
    IsProtocol,
    LocalDestination,
    NoWayBack,
    OneIn,
    Outbound,
    Per,
    Rate,
    RoutedAs,
    RouteKind,
    State,
    ToPorts,
    WithinRate,
)
from compiler.ir.nat import Dnat, Masquerade, Redirect, Snat
from compiler.ir.ruleset import Answer, Continue, Drop, Hook, Reject, Rule, Table
from compiler.net import Family, parse_address, parse_prefix
from compiler.semantics.rules import netfilter as read

V4, V6 = Family.IPV4, Family.IPV6
FILTER, MANGLE, NAT, RAW = Table.FILTER, Table.MANGLE, Table.NAT, Table.RAW
FORWARD, BEFORE, BEHIND = Hook.FORWARD, Hook.PREROUTING, Hook.POSTROUTING
RATE = Rate(5, Per.MINUTE, 7)


def number(address: str) -> int:
    return parse_address(address)[1]


class Row(NamedTuple):
    """`iptables` has one text for both families, or that of iptables and that of ip6tables. `statements`: what reading
    gives beside conditions; a match has none of its own."""

    rule: Rule
    table: Table
    hook: Hook
    nft: str
    iptables: tuple[str, ...]
    statements: tuple[read.Statement, ...]


Texts = str | tuple[str, str]


def does(rule: Rule, table: Table, hook: Hook, nft: str, iptables: Texts, *parts: read.Statement) -> Row:
    """A row about effects or a verdict."""
    return Row(rule, table, hook, nft, (iptables,) if isinstance(iptables, str) else iptables, parts)


def notes(rule: Rule, table: Table, what: str, nft: str, iptables: str) -> Row:
    """A row about an effect of FORWARD that reading gives in the tool's own words: what it changes, or nothing."""
    return Row(rule, table, Hook.FORWARD, nft, (iptables,), (read.Rewrite(what, "") if what else read.Notice(""),))


def asks(rule: Rule, table: Table, hook: Hook, nft: str, iptables: Texts) -> Row:
    """A row about matches, of a rule that drops."""
    texts = (iptables,) if isinstance(iptables, str) else iptables
    return Row(rule, table, hook, f"{nft} counter drop", tuple(f"{t} -j DROP" for t in texts), (read.Drop(),))


def _effect(*effects: object, family: Family | None = None) -> Rule:
    return Rule((), Continue(), family, effects=effects)  # type: ignore[arg-type]


def _match(*matches: object, family: Family | None = None) -> Rule:
    return Rule(matches, Drop(), family)  # type: ignore[arg-type]


def _rejects(answer: Answer, nft: str, iptables: str | tuple[str, str], kind: str) -> Row:
    return does(
        Rule((), Reject(answer), answer.family),
        FILTER,
        FORWARD,
        f"counter reject with {nft}",
        f"-j REJECT --reject-with {iptables}"
        if isinstance(iptables, str)
        else (f"-j REJECT --reject-with {iptables[0]}", f"-j REJECT --reject-with {iptables[1]}"),
        read.Drop(rejected=True, kind=kind),
    )


ROWS = {
    # Verdicts
    "port unreachable": _rejects(
        Answer.PORT_UNREACHABLE,
        "icmpx port-unreachable",
        ("icmp-port-unreachable", "icmp6-port-unreachable"),
        "port unreachable",
    ),
    "host unreachable": _rejects(
        Answer.HOST_UNREACHABLE,
        "icmpx host-unreachable",
        ("icmp-host-unreachable", "icmp6-addr-unreachable"),
        "host unreachable",
    ),
    "net unreachable": _rejects(
        Answer.NET_UNREACHABLE, "icmpx no-route", ("icmp-net-unreachable", "icmp6-no-route"), "net unreachable"
    ),
    "admin prohibited": _rejects(
        Answer.ADMIN_PROHIBITED,
        "icmpx admin-prohibited",
        ("icmp-admin-prohibited", "icmp6-adm-prohibited"),
        "admin prohibited",
    ),
    "protocol unreachable": _rejects(
        Answer.PROTO_UNREACHABLE, "icmp prot-unreachable", "icmp-proto-unreachable", "icmp 3/2"
    ),
    "net prohibited": _rejects(Answer.NET_PROHIBITED, "icmp net-prohibited", "icmp-net-prohibited", "icmp 3/9"),
    "host prohibited": _rejects(Answer.HOST_PROHIBITED, "icmp host-prohibited", "icmp-host-prohibited", "icmp 3/10"),
    "policy": _rejects(Answer.POLICY_FAIL, "icmpv6 policy-fail", "icmp6-policy-fail", "icmp 1/5"),
    "route": _rejects(Answer.REJECT_ROUTE, "icmpv6 reject-route", "icmp6-reject-route", "icmp 1/6"),
    "tcp reset": Row(
        Rule((IsProtocol(6),), Reject(Answer.TCP_RESET)),
        FILTER,
        FORWARD,
        "meta l4proto tcp counter reject with tcp reset",
        ("-p tcp -j REJECT --reject-with tcp-reset",),
        (read.Drop(rejected=True, kind="tcp reset"),),
    ),
    "dnat": does(
        Rule((), Dnat(number("10.0.0.1")), V4),
        NAT,
        BEFORE,
        "dnat ip to 10.0.0.1",
        "-j DNAT --to-destination 10.0.0.1",
        read.Translate(read.End.DESTINATION, (number("10.0.0.1"),) * 2),
    ),
    "dnat to a port": Row(
        Rule((ToPorts(6, 8443, 8443),), Dnat(number("fd00::1"), 443), V6),
        NAT,
        BEFORE,
        "tcp dport 8443 dnat ip6 to [fd00::1]:443",
        ("-p tcp -m tcp --dport 8443 -j DNAT --to-destination [fd00::1]:443",),
        (read.Translate(read.End.DESTINATION, (number("fd00::1"),) * 2, (443, 443)),),
    ),
    "snat": does(
        Rule((), Snat(number("fd00::1")), V6),
        NAT,
        BEHIND,
        "snat ip6 to fd00::1",
        "-j SNAT --to-source fd00::1",
        read.Translate(read.End.SOURCE, (number("fd00::1"),) * 2),
    ),
    "masquerade": does(
        Rule((), Masquerade()),
        NAT,
        BEHIND,
        "masquerade",
        "-j MASQUERADE",
        read.Translate(read.End.SOURCE, own=True),
    ),
    "redirect": Row(
        Rule((IsProtocol(17),), Redirect(53)),
        NAT,
        BEFORE,
        "meta l4proto udp redirect to :53",
        ("-p udp -j REDIRECT --to-ports 53",),
        (read.Translate(read.End.DESTINATION, None, (53, 53), own=True),),
    ),
    # Effects
    "mark": does(
        _effect(SetMark(5)),
        MANGLE,
        FORWARD,
        "meta mark set 0x5",
        "-j MARK --set-xmark 0x5/0xffffffff",
        read.SetMark(0, 5),
    ),
    "bits of the mark": does(
        _effect(SetMark(0x10, 0xFF)),
        MANGLE,
        FORWARD,
        "meta mark set meta mark & 0xffffff00 | 0x10",
        "-j MARK --set-xmark 0x10/0xff",
        read.SetMark(0xFFFFFF00, 0x10),
    ),
    "ttl": does(
        _effect(Ttl(Step.SET, 9), family=V4),
        MANGLE,
        FORWARD,
        "ip ttl set 9",
        "-j TTL --ttl-set 9",
        read.SetHops(0, 9, 9),
    ),
    "hop limit": does(
        _effect(Ttl(Step.SET, 9), family=V6),
        MANGLE,
        FORWARD,
        "ip6 hoplimit set 9",
        "-j HL --hl-set 9",
        read.SetHops(0, 9, 9),
    ),
    "notrack": does(_effect(NoTrack()), RAW, BEFORE, "notrack", "-j CT --notrack", read.NoTrack()),
    "dscp": notes(_effect(SetDscp(34), family=V4), MANGLE, "DSCP", "ip dscp set 34", "-j DSCP --set-dscp 0x22"),
    "dscp of IPv6": notes(_effect(SetDscp(8), family=V6), MANGLE, "DSCP", "ip6 dscp set 8", "-j DSCP --set-dscp 0x08"),
    "mss": notes(
        Rule((ToPorts(6, 80, 80),), Continue(), effects=(ClampMss(),)),
        MANGLE,
        "MSS",
        "tcp dport 80 tcp flags syn / syn,rst tcp option maxseg size set rt mtu",
        "-p tcp -m tcp --dport 80 -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    ),
    "size of an mss": notes(
        _effect(SetMss(1200)),
        MANGLE,
        "MSS",
        "tcp flags syn / syn,rst tcp option maxseg size set 1200",
        "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1200",
    ),
    "log": notes(
        _effect(Log("a -j DROP; } #'", 9)),
        FILTER,
        "",
        'log prefix "a -j DROP; } #\'" group 9',
        '-j NFLOG --nflog-prefix "a -j DROP; } #\'" --nflog-group 9',
    ),
    "log without words": notes(_effect(Log("")), FILTER, "", "log group 0", "-j NFLOG --nflog-group 0"),
    "log with a limit": notes(
        _effect(Log("x", 1, RATE)),
        FILTER,
        "",
        'limit rate 5/minute burst 7 packets log prefix "x" group 1',
        '-m limit --limit 5/minute --limit-burst 7 -j NFLOG --nflog-prefix "x" --nflog-group 1',
    ),
    "log of the kernel": notes(_effect(Log("x ", None)), FILTER, "", 'log prefix "x "', '-j LOG --log-prefix "x "'),
    "log of the kernel without words": notes(_effect(Log("", None)), FILTER, "", "log", "-j LOG"),
    "log of the kernel with a limit": notes(
        _effect(Log("x", None, RATE)),
        FILTER,
        "",
        'limit rate 5/minute burst 7 packets log prefix "x"',
        '-m limit --limit 5/minute --limit-burst 7 -j LOG --log-prefix "x"',
    ),
    # Matches
    "a rate": asks(
        _match(WithinRate(RATE)),
        FILTER,
        FORWARD,
        "limit rate 5/minute burst 7 packets",
        "-m limit --limit 5/minute --limit-burst 7",
    ),
    "chance": asks(
        _match(OneIn(3)),
        FILTER,
        FORWARD,
        "numgen random mod 3 0",
        "-m statistic --mode random --probability 0.3333333333",
    ),
    "no way back": asks(_match(NoWayBack()), RAW, BEFORE, "fib saddr . iif oif missing", "-m rpfilter --invert"),
    "interface": asks(_match(Inbound("eth0")), RAW, BEFORE, 'iifname "eth0"', "-i eth0"),
    "interfaces": asks(_match(Outbound("wg", prefix=True)), FILTER, FORWARD, 'oifname "wg*"', "-o wg+"),
    "blocks": asks(
        _match(*(InPrefix(Field.SOURCE, parse_prefix(block)) for block in ("10.0.0.0/8", "10.1.0.0/16")), family=V4),
        FILTER,
        FORWARD,
        "ip saddr 10.0.0.0/8 ip saddr 10.1.0.0/16",
        "-s 10.0.0.0/8 -m iprange --src-range 10.1.0.0-10.1.255.255",
    ),
    "a mark": asks(_match(HasMark(5)), FILTER, FORWARD, "meta mark 0x5", "-m mark --mark 0x5/0xffffffff"),
    "a mark's bits": asks(_match(HasMark(5, 0xF)), FILTER, FORWARD, "meta mark & 0xf == 0x5", "-m mark --mark 0x5/0xf"),
    "states": asks(
        _match(InState((State.NEW, State.UNTRACKED))),
        FILTER,
        FORWARD,
        "ct state new,untracked",
        "-m conntrack --ctstate NEW,UNTRACKED",
    ),
    "a protocol": asks(_match(IsProtocol(47)), FILTER, FORWARD, "meta l4proto 47", "-p 47"),
    "source ports": asks(_match(FromPorts(17, 5, 9)), FILTER, FORWARD, "udp sport 5-9", "-p udp -m udp --sport 5:9"),
    "ports of DCCP": asks(
        _match(FromPorts(33, 5, 5), ToPorts(33, 7, 9)),
        FILTER,
        FORWARD,
        "dccp sport 5 dccp dport 7-9",
        "-p 33 -m multiport --sports 5 -m multiport --dports 7:9",
    ),
    "icmp": asks(
        _match(IcmpType(V4, 3, 4), family=V4),
        FILTER,
        FORWARD,
        "icmp type 3 icmp code 4",
        "-p icmp -m icmp --icmp-type 3/4",
    ),
    "icmpv6": asks(
        _match(IcmpType(V6, 128), family=V6),
        FILTER,
        FORWARD,
        "icmpv6 type 128",
        "-p ipv6-icmp -m icmp6 --icmpv6-type 128",
    ),
    "local destinations": asks(
        _match(LocalDestination()), FILTER, FORWARD, "fib daddr type local", "-m addrtype --dst-type LOCAL"
    ),
    "broadcast": asks(
        _match(RoutedAs(Field.DESTINATION, RouteKind.BROADCAST), family=V4),
        FILTER,
        FORWARD,
        "fib daddr type broadcast",
        "-m addrtype --dst-type BROADCAST",
    ),
    "multicast": asks(
        _match(RoutedAs(Field.SOURCE, RouteKind.MULTICAST)),
        FILTER,
        FORWARD,
        "fib saddr type multicast",
        "-m addrtype --src-type MULTICAST",
    ),
    "hops": asks(_match(Hops(3, 9), family=V4), FILTER, FORWARD, "ip ttl 3-9", "-m ttl --ttl-gt 2 -m ttl --ttl-lt 10"),
    "a hop limit": asks(_match(Hops(9, 9), family=V6), FILTER, FORWARD, "ip6 hoplimit 9", "-m hl --hl-eq 9"),
}
