"""Matches, effects and verdicts as options of iptables and ip6tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product

from compiler.backends import ipset
from compiler.backends.text import Once, interface, log_prefix, refuse
from compiler.ir.effects import ClampMss, Effect, Log, Native, NoTrack, SetDscp, SetMark, SetMss, Ttl
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
from compiler.ir.ruleset import Accept, Answer, Continue, Drop, Goto, Jump, Reject, Return, Rule, Verdict
from compiler.net import EVERY_PORT, PROTOCOL_NAMES, Family, address_text

BACKEND = "iptables"
PREFIX = "NETPOLC-"
#: Characters of a prefix in the kernel's log (xt_LOG).
_LONGEST_PREFIX = 29

_DIRECTION = {Field.SOURCE: "-s", Field.DESTINATION: "-d"}
_PROTOCOLS = {**PROTOCOL_NAMES, 1: "icmp", 58: "ipv6-icmp"}
_ICMP = {Family.IPV4: "-p icmp -m icmp --icmp-type", Family.IPV6: "-p ipv6-icmp -m icmp6 --icmpv6-type"}
_HOPS = {Family.IPV4: ("ttl", "TTL"), Family.IPV6: ("hl", "HL")}
#: An MSS: what is left of 65535 beside the header of IP (libxt_TCPMSS).
_LARGEST = {Family.IPV4: 65515, Family.IPV6: 65495}
_SYN = "-p tcp -m tcp --tcp-flags SYN,RST SYN"
_ANSWERS = {
    Answer.PORT_UNREACHABLE: ("icmp-port-unreachable", "icmp6-port-unreachable"),
    Answer.HOST_UNREACHABLE: ("icmp-host-unreachable", "icmp6-addr-unreachable"),
    Answer.NET_UNREACHABLE: ("icmp-net-unreachable", "icmp6-no-route"),
    Answer.ADMIN_PROHIBITED: ("icmp-admin-prohibited", "icmp6-adm-prohibited"),
    Answer.TCP_RESET: ("tcp-reset", "tcp-reset"),
    Answer.PROTO_UNREACHABLE: ("icmp-proto-unreachable", ""),
    Answer.NET_PROHIBITED: ("icmp-net-prohibited", ""),
    Answer.HOST_PROHIBITED: ("icmp-host-prohibited", ""),
    Answer.POLICY_FAIL: ("", "icmp6-policy-fail"),
    Answer.REJECT_ROUTE: ("", "icmp6-reject-route"),
}
#: xt_limit counts in 10,000ths of a second (XT_LIMIT_SCALE), and with 32,000 credits a second in 32 bits.
_SCALE, _CREDITS, _MOST = 10_000, 32_000, 1 << 32
#: Matches whose option may be said once.
_SAID_ONCE = (InPrefix, HasBit)
_AGAIN = re.compile(r"(?<!\S)-p (\S+)( .*)? -p \1(?= |$)")


class Words:
    """Rules as options, without `-A CHAIN `. `sets` gives the kernel's names of the ruleset's sets."""

    def __init__(self, sets: Mapping[str, str]) -> None:
        self._matches = Once[Match, list[str]](lambda match, family: _match(match, _known(family), sets))
        self._verdicts = Once[Verdict, str](lambda verdict, family: _verdict(verdict, _known(family)))

    def texts(self, rule: Rule, family: Family | None) -> list[str]:
        """The rule for packets of the family; several texts when a match has several. It has one effect or a verdict
        (`passes.split_effects`)."""
        options = self._matches(rule.matches, family)
        asked: list[Field] = []
        for n, match in enumerate(rule.matches):
            if isinstance(match, _SAID_ONCE):
                if match.field in asked:
                    options[n] = _again(match)
                asked.append(match.field)
        if rule.effects:
            assert isinstance(rule.verdict, Continue), "one effect or a verdict"
            ((asks, does),) = [_effect(effect, _known(family)) for effect in rule.effects]
            options += ([asks],) if asks else ()
        else:
            (does,) = self._verdicts((rule.verdict,), family)
        return [f"{_once(' '.join(said))} {does}".lstrip() for said in product(*options)]


def _known(family: Family | None) -> Family:
    assert family is not None, "iptables has a text for each family"
    return family


def _once(text: str) -> str:
    """`-p` may be said once: every match that needs the protocol names it."""
    while text.count("-p ") > 1 and (short := _AGAIN.sub(r"-p \1\2", text)) != text:
        text = short
    return text


def _again(match: InPrefix | HasBit) -> list[str]:
    """`-s` and `-d` may be said once, too: one more question about the same address."""
    if isinstance(match, HasBit):
        raise refuse("a bit of an address that the rule asks already", BACKEND)
    prefix = match.prefix
    last = prefix.base + (1 << prefix.family.bits - prefix.length) - 1
    ends = f"{address_text(prefix.family, prefix.base)}-{address_text(prefix.family, last)}"
    return [f"-m iprange --{'src' if match.field is Field.SOURCE else 'dst'}-range {ends}"]


def _match(match: Match, family: Family, sets: Mapping[str, str]) -> list[str]:
    """The match's options; several texts mean several rules."""
    match match:
        case Replies():
            return ["-m conntrack --ctstate ESTABLISHED,RELATED"]
        case InState(states):
            return ["-m conntrack --ctstate " + ",".join(state.name for state in states)]
        case NeighbourDiscovery():
            return [f"-p ipv6-icmp -m icmp6 --icmpv6-type {number} -m hl --hl-eq 255" for number in (133, 135, 136)]
        case LocalSource():
            return ["-m addrtype --src-type LOCAL"]
        case LocalDestination():
            return ["-m addrtype --dst-type LOCAL"]
        case RoutedAs(field, kind):
            return [f"-m addrtype --{'src' if field is Field.SOURCE else 'dst'}-type {kind.name}"]
        case NoWayBack():
            return ["-m rpfilter --invert"]
        case InPrefix(field, prefix):
            return [f"{_DIRECTION[field]} {address_text(family, prefix.base)}/{prefix.length}"]
        case HasBit(field, bit, one):
            mask = address_text(family, 1 << bit)
            return [f"{_DIRECTION[field]} {mask if one else address_text(family, 0)}/{mask}"]
        case InSet(fields, name):
            return [f"-m set --match-set {sets[name]} {ipset.directions(fields)}"]
        case InNets():
            raise refuse("a set that is asked for the beginning of an address", BACKEND)
        case ToPorts(protocol, first, last):
            return [_ports(protocol, "dport", first, last)]
        case FromPorts(protocol, first, last):
            return [_ports(protocol, "sport", first, last)]
        case ToAnyPort(protocol, spans):
            listed = ",".join(_span(low, high) for low, high in spans)
            return [f"-p {_protocol(protocol)} -m multiport --dports {listed}"]
        case IsProtocol(protocol):
            return [f"-p {_protocol(protocol)}"]
        case IcmpType(icmp, number, code):
            return [f"{_ICMP[icmp]} {number}" + (f"/{code}" if code is not None else "")]
        case Inbound(name, prefix):
            return [f"-i {interface(name, prefix, '+', BACKEND)}"]
        case Outbound(name, prefix):
            return [f"-o {interface(name, prefix, '+', BACKEND)}"]
        case HasMark(value, mask):
            return [f"-m mark --mark {value:#x}/{mask:#x}"]
        case Hops(first, last):
            name = _HOPS[family][0]
            if first == last:
                return [f"-m {name} --{name}-eq {first}"]
            above = f"-m {name} --{name}-gt {first - 1}" if first else ""
            below = f"-m {name} --{name}-lt {last + 1}" if last < 255 else ""
            return [" ".join(filter(None, [above, below]))]
        case WithinRate(rate):
            return [_limit(rate)]
        case OneIn(of):
            return [f"-m statistic --mode random --probability {1 / of:.10f}"]


def _effect(effect: Effect, family: Family) -> tuple[str, str]:
    """What it asks of its own, and the target."""
    match effect:
        case Log(prefix, None, limit):
            said = f" --log-prefix {log_prefix(prefix, BACKEND, _LONGEST_PREFIX)}" if prefix else ""
            return _limit(limit) if limit else "", f"-j LOG{said}"
        case Log(prefix, group, limit):
            said = f"--nflog-prefix {log_prefix(prefix, BACKEND)} " if prefix else ""
            return _limit(limit) if limit else "", f"-j NFLOG {said}--nflog-group {group}"
        case SetMark(value, mask):
            return "", f"-j MARK --set-xmark {value:#x}/{mask:#x}"
        case SetDscp(value):
            return "", f"-j DSCP --set-dscp {value:#04x}"
        case Ttl(step, value):
            name, target = _HOPS[family]
            return "", f"-j {target} --{name}-{step.value} {value}"
        case ClampMss():
            return _SYN, "-j TCPMSS --clamp-mss-to-pmtu"
        case SetMss(size):
            if size > _LARGEST[family]:
                raise refuse(f"segments of {size}: at most {_LARGEST[family]} beside the header", BACKEND)
            return _SYN, f"-j TCPMSS --set-mss {size}"
        case NoTrack():
            return "", "-j CT --notrack"
        case Native(tool, text, name):
            if tool != BACKEND:
                raise refuse(f"the rule {name}, which is one of {tool}", BACKEND)
            return "", text


def _verdict(verdict: Verdict, family: Family) -> str:
    match verdict:
        case Accept() | Return():  # in a base chain: back to the hook, where the rules of others follow
            return "-j RETURN"
        case Drop():
            return "-j DROP"
        case Reject(answer):
            return f"-j REJECT --reject-with {_ANSWERS[answer][family is Family.IPV6]}"
        case Jump(chain):
            return f"-j {PREFIX}{chain}"
        case Goto(chain):
            return f"-g {PREFIX}{chain}"
        case Dnat(address, port):
            return f"-j DNAT --to-destination {_end(family, address, port)}"
        case Snat(address):
            return f"-j SNAT --to-source {_end(family, address, None)}"
        case Masquerade():
            return "-j MASQUERADE"
        case Redirect(port):
            return f"-j REDIRECT --to-ports {port}"
        case Continue():
            raise AssertionError("a rule that does nothing")


def _ports(protocol: int, option: str, first: int, last: int) -> str:
    """DCCP's and UDP-Lite's modules are missing from many kernels; multiport knows their ports."""
    name = _protocol(protocol)
    if (first, last) == EVERY_PORT[0]:
        return f"-p {name}"
    if protocol in PROTOCOL_NAMES:
        return f"-p {name} -m {name} --{option} {_span(first, last)}"
    return f"-p {name} -m multiport --{option}s {_span(first, last)}"


def _protocol(number: int) -> str:
    return _PROTOCOLS.get(number, str(number))


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}:{last}"


def _end(family: Family, address: int, port: int | None) -> str:
    text = address_text(family, address)
    if port is None:
        return text
    return f"[{text}]:{port}" if family is Family.IPV6 else f"{text}:{port}"


def _limit(rate: Rate) -> str:
    """Unsupported when xt_limit would count something else: it divides, and what does not fit wraps around."""
    said = f"{rate.count}/{rate.per.value}"
    cost = _SCALE * rate.per.seconds // rate.count
    if cost == 0 or _SCALE * rate.per.seconds * 100 > 101 * cost * rate.count:
        raise refuse(f"a rate of {said}: it is counted in whole ten thousandths of a second", BACKEND)
    if rate.burst > _SCALE or cost * rate.burst // _SCALE * _CREDITS >= _MOST:
        raise refuse(f"a burst of {rate.burst} at {said}: it must be saved up in 37 hours, and at most 10000", BACKEND)
    return f"-m limit --limit {said} --limit-burst {rate.burst}"
