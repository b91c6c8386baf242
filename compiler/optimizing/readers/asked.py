"""A rule of iptables as what an order needs to know: which packets it may match, what it asks, whether it ends.

Packets are boxes that hold all that the rule matches, and maybe more: an option that no dimension stands for, or that
is negated, does not narrow the box. Two rules whose boxes do not meet match no packet together, so their order does not
matter, unless asking itself does something. A match that keeps state, or that is not listed here, is asked of packets
that the rule's header options let through (iptables asks these first), so of such a rule only they narrow the box. An
option that is not understood narrows nothing. A target that is not listed may do anything, to the addresses and the
state too, so that later rules see another packet: such a rule is a *barrier*, its box everything, and so is one that
leads to a chain with a barrier.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from compiler.optimizing.chains import Asked
from compiler.ordering.dimensions import (
    DESTINATION,
    EVERYTHING,
    FROM,
    IN,
    OUT,
    PROTOCOL,
    PROTOCOLS,
    SOURCE,
    STATE,
    STATES,
    TO,
    Narrowing,
    block,
    interfaces,
)
from compiler.ordering.prices import Kind
from compiler.profiles.words import OPTIONS
from grammar.iptables import Command, Option

#: Long and old names of options.
NAMES_OF = {**OPTIONS, "--state": "--ctstate"}
#: What iptables asks first of every rule, in this order.
_HEADER = {"-s": Kind.ADDRESS, "-d": Kind.ADDRESS, "-i": Kind.INTERFACE, "-o": Kind.INTERFACE, "-p": Kind.PROTOCOL}
#: Matches that neither keep state nor do anything, and what they cost.
MATCHES = {
    "addrtype": Kind.ADDRESS_TYPE,
    "comment": None,
    "conntrack": Kind.STATE,
    "connmark": Kind.STATE,
    "dscp": Kind.MARK,
    "hl": Kind.MARK,
    "icmp": Kind.PORT,
    "icmp6": Kind.PORT,
    "iprange": Kind.PREFIX,
    "length": Kind.MARK,
    "mac": Kind.MARK,
    "mark": Kind.MARK,
    "multiport": Kind.PORT_LIST,
    "physdev": Kind.INTERFACE,
    "pkttype": Kind.MARK,
    "sctp": Kind.PORT,
    "set": Kind.SET,
    "state": Kind.STATE,
    "tcp": Kind.PORT,
    "tos": Kind.MARK,
    "ttl": Kind.MARK,
    "udp": Kind.PORT,
}
#: Options of `-m set` that change its sets, or ask what others change.
STATEFUL = re.compile(r"--(update|return|packets|bytes)")
#: Targets that end a packet's way through the chain.
_ENDS = frozenset({"ACCEPT", "DROP", "REJECT", "RETURN", "DNAT", "SNAT", "MASQUERADE", "REDIRECT"})
#: Targets that do not, and change nothing that a box speaks of. Those that put the packet into a list, or its mark into
#: its connection or back (SET, CONNMARK, CONNSECMARK), have no place here: what they do hangs on what was done to the
#: packet by then, and what others ask on what they did.
_PASSES = frozenset({"LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "TEE", "RATEEST", "IDLETIMER", "LED"}) | {
    *("MARK", "SECMARK", "CLASSIFY", "DSCP", "ECN", "TOS", "TTL", "HL", "TCPMSS", "TCPOPTSTRIP", "CHECKSUM"),
}


def asked(command: Command, known: Collection[str] = ()) -> Asked:
    """What a rule that is appended asks and does; `known` are chains that it may lead to."""
    options = [option._replace(name=NAMES_OF.get(option.name, option.name)) for option in command.options]
    matches = [word(one) for one in options if one.name == "-m"]
    names = {option.name for option in options}
    kinds = [kind for name, kind in _HEADER.items() if name in names]
    kinds += [kind for kind in map(MATCHES.get, matches) if kind]
    target = next((one for one in options if one.name in ("-j", "-g")), None)
    does = word(target) if target else ""
    to = (does,) if does in known else ()
    ends = does in _ENDS or (target is not None and target.name == "-g")
    quiet = all(match in MATCHES for match in matches) and not any(STATEFUL.match(one.name) for one in options)
    if does and not to and does not in _ENDS | _PASSES:
        return Asked(EVERYTHING, tuple(kinds), ends, to, barrier=True)
    narrowing = _narrowing([one for one in options if not one.negated and (quiet or one.name in _HEADER)])
    box = narrowing.box()
    return Asked(box or EVERYTHING, tuple(kinds), ends, to, parts=narrowing.parts() if box else ())


def _narrowing(options: Iterable[Option]) -> Narrowing:
    """What all of these let through; an option that is not understood does not narrow it."""
    found = Narrowing()
    for option in options:
        with suppress(ValueError, KeyError):
            for dimension, spans in _narrow(option):
                found.take(dimension, spans)
    return found


def word(option: Option) -> str:
    """Its first value, or nothing."""
    return option.values[0].text if option.values else ""


def _narrow(option: Option) -> Iterator[tuple[int, Sequence[tuple[int, int]]]]:
    """The dimensions that an option narrows, and to which intervals. ValueError, KeyError: not understood."""
    text = word(option)
    match option.name:
        case "-s" | "-d":
            yield (SOURCE if option.name == "-s" else DESTINATION), (block(text),)
        case "-p" if text not in ("all", "0"):
            number = int(text) if text.isdecimal() else PROTOCOLS[text]
            yield PROTOCOL, ((number, number),)
        case "--dport" | "--sport":
            yield (TO if option.name == "--dport" else FROM), (ports(text),)
        case "--dports" | "--sports":
            yield (TO if option.name == "--dports" else FROM), [ports(part) for part in text.split(",")]
        case "-i" | "-o":
            names = interfaces(text.removesuffix("+"), begins=text.endswith("+"))
            yield (IN if option.name == "-i" else OUT), (names,)
        case "--ctstate":
            states = [STATES[word.lower()] for word in text.split(",")]
            if max(states) < STATES["snat"]:
                yield STATE, [(state, state) for state in states]


def ports(text: str) -> tuple[int, int]:
    """Of `80` or `80:90`, either end of which may be left out. ValueError, also where the first is above the last."""
    low, colon, high = text.partition(":")
    found = int(low or 0), int(high or 65535) if colon else int(low)
    if found[0] > found[1]:
        raise ValueError(text)
    return found
