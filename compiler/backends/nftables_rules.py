"""Matches, effects and verdicts in nft's words, for a table of the family inet."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.backends.text import interface, log_prefix, refuse
from compiler.ir.effects import ClampMss, Effect, Log, Native, NoTrack, SetDscp, SetMark, SetMss, Step, Ttl
from compiler.ir.match import (
    Field,
    FromPorts,
    HasBit,
    HasMark,
    Hops,
    IcmpType,
    Inbound,
    InNets,
    InPrefix,
    InSet,
    InState,
    IsProtocol,
    LocalDestination,
    LocalSource,
    Match,
    NeighbourDiscovery,
    NoWayBack,
    OneIn,
    Outbound,
    Rate,
    Replies,
    RoutedAs,
    ToAnyPort,
    ToPorts,
    WithinRate,
)
from compiler.ir.nat import Dnat, Masquerade, Redirect, Snat
from compiler.ir.ruleset import (
    Accept,
    Answer,
    Continue,
    Drop,
    Goto,
    Jump,
    Reject,
    Return,
    Verdict,
)
from compiler.net import EVERY_PORT, PROTOCOL_NAMES, Family, address_text
from compiler.net import mask as netmask

BACKEND = "nftables"
FAMILY = {Family.IPV4: "ip", Family.IPV6: "ip6"}
ADDRESS = {Field.SOURCE: "saddr", Field.DESTINATION: "daddr"}

_EXPRESSION = {Field.PROTOCOL: "meta l4proto", Field.PORT: "th dport"}
_PROTOCOLS = {**PROTOCOL_NAMES, 33: "dccp", 136: "udplite"}
_HOPS = {Family.IPV4: "ip ttl", Family.IPV6: "ip6 hoplimit"}
_ICMP = {Family.IPV4: "icmp", Family.IPV6: "icmpv6"}
_ALL_BITS = 0xFFFFFFFF
_SYN = "tcp flags syn / syn,rst"
#: icmpx: a message that both families have, of the packet's own.
_ANSWERS = {
    Answer.PORT_UNREACHABLE: "icmpx port-unreachable",
    Answer.HOST_UNREACHABLE: "icmpx host-unreachable",
    Answer.NET_UNREACHABLE: "icmpx no-route",
    Answer.ADMIN_PROHIBITED: "icmpx admin-prohibited",
    Answer.TCP_RESET: "tcp reset",
    Answer.PROTO_UNREACHABLE: "icmp prot-unreachable",
    Answer.NET_PROHIBITED: "icmp net-prohibited",
    Answer.HOST_PROHIBITED: "icmp host-prohibited",
    Answer.POLICY_FAIL: "icmpv6 policy-fail",
    Answer.REJECT_ROUTE: "icmpv6 reject-route",
}


def match_text(match: Match, family: Family | None, sets: Mapping[str, str]) -> str:
    """`family` is the rule's; `sets` gives the kernel's names of the ruleset's sets."""
    match match:
        case Replies():
            return "ct state established,related"
        case InState(states):
            return "ct state " + ",".join(state.value for state in states)
        case NeighbourDiscovery():
            return "icmpv6 type { 133, 135, 136 } ip6 hoplimit 255"
        case LocalSource():
            return "fib saddr type local"
        case LocalDestination():
            return "fib daddr type local"
        case RoutedAs(field, kind):
            return f"fib {ADDRESS[field]} type {kind.value}"
        case NoWayBack():
            return "fib saddr . iif oif missing"
        case InPrefix(field, prefix):
            return f"{FAMILY[prefix.family]} {ADDRESS[field]} {prefix}"
        case HasBit(field, bit, one):
            alone = address_text(_known(family), 1 << bit)
            return f"{FAMILY[_known(family)]} {ADDRESS[field]} & {alone} {'==' if one else '!='} {alone}"
        case InSet(fields, name):
            return " . ".join(_field(field, family) for field in fields) + f" @{sets[name]}"
        case InNets(field, length, name, negated):
            known = _known(family)
            bits = "" if length == known.bits else f"& {address_text(known, netmask(known, length))} "
            return f"{FAMILY[known]} {ADDRESS[field]} {bits}{'!= ' * negated}@{sets[name]}"
        case ToPorts(protocol, first, last) | FromPorts(protocol, first, last) if (first, last) == EVERY_PORT[0]:
            return f"meta l4proto {_PROTOCOLS[protocol]}"
        case ToPorts(protocol, first, last):
            return f"{_PROTOCOLS[protocol]} dport {_span(first, last)}"
        case FromPorts(protocol, first, last):
            return f"{_PROTOCOLS[protocol]} sport {_span(first, last)}"
        case ToAnyPort():
            raise refuse("a list of ports in a rule without a set", BACKEND)
        case IsProtocol(protocol):
            return f"meta l4proto {_PROTOCOLS.get(protocol, protocol)}"
        case IcmpType(icmp, number, code):
            return f"{_ICMP[icmp]} type {number}" + (f" {_ICMP[icmp]} code {code}" if code is not None else "")
        case Inbound("", True):  # nft takes no empty name
            return "iif != 0"
        case Inbound(name, prefix):
            return f'iifname "{interface(name, prefix, "*", BACKEND)}"'
        case Outbound(name, prefix):
            return f'oifname "{interface(name, prefix, "*", BACKEND)}"'
        case HasMark(value, mask):
            return f"meta mark {value:#x}" if mask == _ALL_BITS else f"meta mark & {mask:#x} == {value:#x}"
        case Hops(first, last):
            return f"{_HOPS[_known(family)]} {_span(first, last)}"
        case WithinRate(rate):
            return _limit(rate)
        case OneIn(of):
            return f"numgen random mod {of} 0"


def asks_family(match: Match) -> bool:
    """Whether the text of the match holds for packets of one family alone."""
    match match:
        case InPrefix() | HasBit() | InNets() | NeighbourDiscovery() | IcmpType() | Hops():
            return True
        case InSet(fields):
            return any(field in ADDRESS for field in fields)
        case _:
            return False


def effect_text(effect: Effect, family: Family | None) -> str:
    """`family` is the rule's. What asks something of its own (a limit, the SYN flag) ends the rule when that does not
    hold (`passes.split_effects`)."""
    match effect:
        case Log(prefix, group, limit):
            often = f"{_limit(limit)} " if limit else ""
            said = f" prefix {log_prefix(prefix, BACKEND)}" if prefix else ""
            return f"{often}log{said}" + ("" if group is None else f" group {group}")
        case SetMark(value, mask):
            kept = "" if mask == _ALL_BITS else f"meta mark & {_ALL_BITS ^ mask:#x} | "
            return f"meta mark set {kept}{value:#x}"
        case SetDscp(value):
            return f"{FAMILY[_known(family)]} dscp set {value}"
        case Ttl(Step.SET, value):
            return f"{_HOPS[_known(family)]} set {value}"
        case Ttl():
            raise refuse("a TTL that is counted up or down", BACKEND)
        case ClampMss():
            return f"{_SYN} tcp option maxseg size set rt mtu"
        case SetMss(size):
            return f"{_SYN} tcp option maxseg size set {size}"
        case NoTrack():
            return "notrack"
        case Native(tool, text, name):
            if tool != "nft":
                raise refuse(f"the rule {name}, which is one of {tool}", BACKEND)
            return text


def verdict_text(verdict: Verdict, family: Family | None) -> str:
    """Of a rule; nothing for Continue."""
    match verdict:
        case Drop():
            return "counter drop"
        case Reject(answer):
            return f"counter reject with {_ANSWERS[answer]}"
        case Continue():
            return ""
        case Dnat(address, port):
            return f"dnat {FAMILY[_known(family)]} to {_end(_known(family), address, port)}"
        case Snat(address):
            return f"snat {FAMILY[_known(family)]} to {_end(_known(family), address, None)}"
        case Masquerade():
            return "masquerade"
        case Redirect(port):
            return f"redirect to :{port}"
        case _:
            return element_text(verdict)


def element_text(verdict: Verdict) -> str:
    """Of an element of a verdict map, which knows fewer."""
    match verdict:
        case Accept():
            return "accept"
        case Drop():
            return "drop"
        case Return():
            return "return"
        case Jump(chain):
            return f"jump {chain}"
        case Goto(chain):
            return f"goto {chain}"
        case _:
            raise AssertionError(f"{verdict} in a map")


def _field(field: Field, family: Family | None) -> str:
    return f"{FAMILY[_known(family)]} {ADDRESS[field]}" if field in ADDRESS else _EXPRESSION[field]


def _known(family: Family | None) -> Family:
    assert family is not None, "a rule on addresses and headers of IP has a family"
    return family


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _limit(rate: Rate) -> str:
    return f"limit rate {rate.count}/{rate.per.value} burst {rate.burst} packets"


def _end(family: Family, address: int, port: int | None) -> str:
    text = address_text(family, address)
    if port is None:
        return text
    return f"[{text}]:{port}" if family is Family.IPV6 else f"{text}:{port}"
