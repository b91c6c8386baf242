"""Targets of iptables that are no verdicts -> statements."""

from __future__ import annotations

from compiler.semantics.netfilter import (
    End,
    Field,
    Interval,
    NoTrack,
    SetMark,
    Statement,
    Translate,
    Unmodelled,
)
from compiler.semantics.numbers import number, span, translation
from grammar.iptables import Option

#: They tell somebody or change what no rule asks; the packet goes on.
_SILENT = frozenset({"LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "TCPMSS", "CHECKSUM", "CLASSIFY", "RATEEST", "LED"})
_ALL = Field.MARK.top
#: How NAT chooses among several; not modelled, any of the range may be chosen.
_CHOICE = frozenset({"--random", "--random-fully", "--persistent"})


def target(option: Option, name: str, own: tuple[Option, ...], family: int) -> tuple[Statement, ...]:
    """What `-j NAME` does, `own` being the target's options. Raises Refused for values that are wrong."""
    if name in _SILENT:
        return ()
    if name == "NOTRACK" or (name == "CT" and [(o.name, o.values) for o in own] == [("--notrack", ())]):
        return (NoTrack(),)
    try:
        if name == "MARK" and len(own) == 1 and len(own[0].values) == 1 and not own[0].negated:
            return (_mark(own[0].name, own[0].values[0].text),)
        if name in ("DNAT", "SNAT", "MASQUERADE", "REDIRECT"):
            return (_translate(name, own, family),)
    except ValueError as error:
        raise (own[0] if own else option).place.refused(str(error)) from None
    return (Unmodelled(" ".join([f"-j {name}", *(o.place.text for o in own)])),)


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
    return Translate(end, addresses, ports, own=wanted == "--to-ports")
