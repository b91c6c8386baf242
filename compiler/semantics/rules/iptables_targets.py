"""Targets of iptables that are no chains -> statements."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.semantics.rules import same_words
from compiler.semantics.rules.netfilter import (
    Accept,
    Drop,
    End,
    Field,
    Interval,
    Notice,
    NoTrack,
    Return,
    Rewrite,
    SetHops,
    SetMark,
    Statement,
    Translate,
    Unmodelled,
)
from compiler.semantics.rules.numbers import dscp, number, span, translation
from grammar.iptables import Option

_VERDICTS: Mapping[str, Statement] = {"ACCEPT": Accept(), "DROP": Drop(), "RETURN": Return()}
#: They tell somebody, or send a copy somewhere.
_NOTICES = frozenset({"LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "TEE", "LED", "RATEEST", "IDLETIMER"})
#: They change what no field is for.
_REWRITES = {
    "TCPMSS": "MSS",
    "TCPOPTSTRIP": "TCP options",
    "DSCP": "DSCP",
    "TOS": "DSCP",
    "ECN": "ECN",
    "CHECKSUM": "checksum",
    "CLASSIFY": "priority",
    "SECMARK": "security mark",
}
#: Options of CT that give the connection something and leave the packet alone.
_OF_CONNECTIONS = frozenset({"--helper", "--ctevents", "--expevents", "--timeout"})
_ALL = Field.MARK.top
#: How NAT chooses among several.
_CHOICE = frozenset({"--random", "--random-fully", "--persistent"})
_PORT_UNREACHABLE = "port unreachable"
#: What REJECT answers; the names that both families share in nft's icmpx are the same for both here.
_KINDS = {
    4: {
        "icmp-net-unreachable": "net unreachable",
        "net-unreach": "net unreachable",
        "icmp-host-unreachable": "host unreachable",
        "host-unreach": "host unreachable",
        "icmp-proto-unreachable": "icmp 3/2",
        "proto-unreach": "icmp 3/2",
        "icmp-port-unreachable": _PORT_UNREACHABLE,
        "port-unreach": _PORT_UNREACHABLE,
        "icmp-net-prohibited": "icmp 3/9",
        "net-prohib": "icmp 3/9",
        "icmp-host-prohibited": "icmp 3/10",
        "host-prohib": "icmp 3/10",
        "icmp-admin-prohibited": "admin prohibited",
        "admin-prohib": "admin prohibited",
    },
    6: {
        "icmp6-no-route": "net unreachable",
        "no-route": "net unreachable",
        "icmp6-adm-prohibited": "admin prohibited",
        "adm-prohibited": "admin prohibited",
        "icmp6-addr-unreachable": "host unreachable",
        "addr-unreach": "host unreachable",
        "icmp6-port-unreachable": _PORT_UNREACHABLE,
        "port-unreach": _PORT_UNREACHABLE,
        "icmp6-policy-fail": "icmp 1/5",
        "policy-fail": "icmp 1/5",
        "icmp6-reject-route": "icmp 1/6",
        "reject-route": "icmp 1/6",
    },
}


def target(option: Option, name: str, own: tuple[Option, ...], family: int) -> tuple[Statement, ...]:
    """What `-j NAME` does, `own` being the target's options. Raises Refused for values that are wrong."""
    if name in _VERDICTS:
        if own:
            raise own[0].place.refused(f"{own[0].name} is not understood here", "unsupported")
        return (_VERDICTS[name],)
    text = _text(name, own)
    if name == "DSCP" and len(own) == 1 and len(own[0].values) == 1:
        text = _dscp(own[0])
    if name in _NOTICES:
        return (Notice(same_words.notice(name, own) or text),)
    if name in _REWRITES and name != "TCPMSS":
        return (Rewrite(_REWRITES[name], text),)
    if name == "NOTRACK" or (name == "CT" and [(o.name, o.values) for o in own] == [("--notrack", ())]):
        return (NoTrack(),)
    if name == "CT" and own and all(o.name in _OF_CONNECTIONS for o in own):
        return (Rewrite("connection", text),)
    try:
        if name == "TCPMSS":
            return (Rewrite(_REWRITES[name], same_words.segment_size(own) or text),)
        if name == "REJECT":
            return (_reject(own, family),)
        if name == "MARK" and len(own) == 1 and len(own[0].values) == 1 and not own[0].negated:
            return (_mark(own[0].name, own[0].values[0].text),)
        if name in ("TTL", "HL") and len(own) == 1 and len(own[0].values) == 1:
            return (_hops(own[0].name.removeprefix(f"--{name.lower()}-"), own[0].values[0].text),)
        if name in ("DNAT", "SNAT", "MASQUERADE", "REDIRECT"):
            return (_translate(name, own, family),)
    except ValueError as error:
        raise (own[0] if own else option).place.refused(str(error)) from None
    return (Unmodelled(text),)


def _dscp(option: Option) -> str:
    """The number, as all tools' texts of it have it here."""
    try:
        return str(dscp(option.values[0].text))
    except ValueError as error:
        raise option.place.refused(str(error)) from None


def _text(name: str, own: tuple[Option, ...]) -> str:
    """One for all spellings of blanks, quotes and order."""
    said = sorted(
        " ".join([*["!"] * option.negated, option.name, *(value.text for value in option.values)]) for option in own
    )
    return " ".join([f"-j {name}", *said])


def _reject(own: tuple[Option, ...], family: int) -> Drop:
    if not own:
        return Drop(rejected=True, kind=_PORT_UNREACHABLE)
    (option, *more) = own
    if more or option.name != "--reject-with" or len(option.values) != 1:
        raise ValueError(f"{(more or [option])[0].name} is not understood here")
    word = option.values[0].text
    if word in ("tcp-reset", "tcp-rst"):
        return Drop(rejected=True, kind="tcp reset")
    if word not in _KINDS[family]:
        raise ValueError(f"{word} is no answer that is known here: one of tcp-reset, {', '.join(_KINDS[family])}")
    return Drop(rejected=True, kind=_KINDS[family][word])


def _hops(operation: str, text: str) -> SetHops:
    """xt_HL: one more or less stays between 0 and 255."""
    value = number(text, 255)
    match operation:
        case "set":
            return SetHops(0, value, value)
        case "dec":
            return SetHops(-value)
        case "inc":
            return SetHops(value)
    raise ValueError(f"{operation} is not understood here")


def _mark(name: str, text: str) -> SetMark:
    """xt_mark: mark = (mark & ~mask) ^ value."""
    value, given, masked = text.partition("/")
    bits = number(value, _ALL)
    mask = number(masked, _ALL) if given else _ALL
    match name:
        case "--set-xmark":
            return SetMark(_ALL ^ mask, bits)
        case "--set-mark":
            return SetMark(_ALL ^ (mask | bits), bits)
        case "--and-mark" if not given:
            return SetMark(bits, 0)
        case "--or-mark" if not given:
            return SetMark(_ALL ^ bits, bits)
        case "--xor-mark" if not given:
            return SetMark(_ALL, bits)
    raise ValueError(f"{name} {text} is not understood")


def _translate(name: str, own: tuple[Option, ...], family: int) -> Translate:
    end = End.SOURCE if name in ("SNAT", "MASQUERADE") else End.DESTINATION
    wanted = {"DNAT": "--to-destination", "SNAT": "--to-source"}.get(name, "--to-ports")
    addresses: Interval | None = None
    ports: Interval | None = None
    how = " ".join(sorted(option.name for option in own if option.name in _CHOICE))
    for option in own:
        if option.name in _CHOICE:
            continue
        if option.name != wanted or len(option.values) != 1:
            raise ValueError(f"{option.name} is not understood here")
        text = option.values[0].text
        if wanted == "--to-ports":
            ports = span(text, "-", 65535)
        else:
            addresses, ports = translation(text, family)
    return Translate(end, addresses, ports, own=wanted == "--to-ports", how=how)
