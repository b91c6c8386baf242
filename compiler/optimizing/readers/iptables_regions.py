"""A rule of iptables -> the packets that it matches, exactly where its options say nothing else."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import dropwhile
from typing import NamedTuple

from compiler.net import Family, Intervals, intersect, parse_address, parse_prefix, subtract, union
from compiler.optimizing.readers.asked import MATCHES, NAMES_OF, STATEFUL, ports, word
from compiler.optimizing.regions import FRAGMENT, UNIVERSE, Region, boxes
from compiler.ordering.dimensions import (
    DESTINATION,
    FROM,
    IN,
    OUT,
    PROTOCOL,
    PROTOCOLS,
    SOURCE,
    STATE,
    STATES,
    TO,
    interfaces,
)
from compiler.ordering.overlap import Box
from grammar.iptables import Command, Option

_HEADER = ("-s", "-d", "-p", "-i", "-o", "-f", "--fragment")
_TARGETS = ("-j", "-g")
#: They ask nothing of a packet; the first four make a rule one of a family.
_BESIDES = ("-4", "-6", "--ipv4", "--ipv6", "-c", "--set-counters")
#: The match that an option belongs to where the rule names none: of the protocol.
_OF_PROTOCOL = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
#: Matches that ask what a later fragment does not have, and of which protocols they can be asked.
_WITH_HEADER = {
    "tcp": (6,),
    "udp": (17,),
    "sctp": (132,),
    "multiport": (6, 17, 33, 132, 136),
    "icmp": (1,),
    "icmp6": (58,),
}
_ANY_TYPE = 255  # of icmp, linux/netfilter_ipv4/ip_tables.h
_SIDES = {"--sport": FROM, "--dport": TO, "--sports": FROM, "--dports": TO}
_TYPES = ("--icmp-type", "--icmpv6-type")
_RANGES = {"--src-range": SOURCE, "--dst-range": DESTINATION}


def _universe(version: int) -> Box:
    addresses = 0, (1 << Family(version).bits) - 1
    narrow = {SOURCE: addresses, DESTINATION: addresses, STATE: (0, STATES["untracked"])}
    return tuple(narrow.get(dimension, side) for dimension, side in enumerate(UNIVERSE))


#: What there is, by the version of IP.
_UNIVERSES = {version: _universe(version) for version in (4, 6)}


class Asking(NamedTuple):
    """A match with its options: `named` is its `-m`, None where the protocol of the rule brings it."""

    name: str
    named: Option | None
    options: tuple[Option, ...]


def parts(command: Command) -> tuple[tuple[Option, ...], tuple[Asking, ...]]:
    """What a rule asks of every packet, and its matches in their order; names of options as they are short."""
    header: list[Option] = []
    matches: list[Asking] = []
    for option in _asking(command):
        if option.name in _HEADER:
            header.append(option)
        elif option.name == "-m":
            matches.append(Asking(word(option), option, ()))
        elif option.name not in _BESIDES:
            last = matches.pop() if matches else Asking(_OF_PROTOCOL.get(protocol(header), ""), None, ())
            matches.append(last._replace(options=(*last.options, option)))
    return tuple(header), tuple(matches)


def _asking(command: Command) -> Iterator[Option]:
    """All but the target and its options, which end at the next match."""
    options = iter([one._replace(name=NAMES_OF[one.name]) if one.name in NAMES_OF else one for one in command.options])
    for option in options:
        if option.name in _TARGETS:
            yield from dropwhile(lambda one: one.name != "-m", options)
            return
        yield option


def version(commands: Iterator[Command]) -> int:
    """4 or 6: of the addresses in a table's rules; 4 without any."""
    for command in commands:
        for option in command.options:
            if NAMES_OF.get(option.name, option.name) in ("-s", "-d") and ":" in word(option):
                return 6
    return 4


def region(command: Command, version: int) -> Region:
    """What a rule of a table for this version of IP matches."""
    return _Reading(command, version).region(exact=not asks_a_family(command))


def asks_a_family(command: Command) -> bool:
    """Whether the rule may be one of the other family, which is not loaded."""
    return any(option.name in _BESIDES for option in command.options)


def port_spans(text: str) -> Intervals:
    """The ports of `80`, `80:90` or `80,8000:8010`. ValueError."""
    return union(*((ports(one),) for one in text.split(",")))


class _Reading:
    """One rule: `spans` are what it narrows, `asks` what no dimension can say."""

    def __init__(self, command: Command, version: int) -> None:
        self._version = version
        self._universe = _UNIVERSES[version]
        self._spans: dict[int, Intervals] = {}
        self._asks: set[Hashable] = set()
        self._exact = True
        self._header, self._matches = parts(command)

    def region(self, *, exact: bool) -> Region:
        for option in self._header:
            self._take("", option)
        calm = all(name in MATCHES and not any(STATEFUL.match(o.name) for o in own) for name, _, own in self._matches)
        for name, _, options in self._matches if calm else ():
            self._match(name, options)
        found, whole = boxes(self._spans, self._universe)
        return Region(found, frozenset(self._asks), exact and whole and calm and self._exact, calm)

    def _match(self, name: str, options: tuple[Option, ...]) -> None:
        if name in _WITH_HEADER:
            self._narrow(FRAGMENT, ((0, 0),), negated=False)
            if self._spans.get(PROTOCOL) not in [((one, one),) for one in _WITH_HEADER[name]]:
                self._exact = False  # iptables loads no such rule
                return
        left = [option for option in options if not self._take(name, option)]
        if left:
            self._asks.add((name, *((one.name, one.negated, *(word.text for word in one.values)) for one in left)))

    def _take(self, match: str, option: Option) -> bool:
        """Whether an option is narrowed to; one of the header that cannot be is not exact."""
        try:
            found = _narrowed(match, option, self._version)
        except (ValueError, KeyError):
            found = None
        if found is None:
            self._exact &= bool(match)
            return False
        if found == () and option.negated:  # nobody: iptables loads no such rule
            self._exact = False
        if found:
            self._narrow(*found, negated=option.negated)
        return True

    def _narrow(self, dimension: int, spans: Intervals, *, negated: bool) -> None:
        whole = (self._universe[dimension],)
        spans = subtract(whole, spans) if negated else spans
        self._spans[dimension] = intersect(self._spans.get(dimension, whole), spans)


def _narrowed(match: str, option: Option, version: int) -> tuple[int, Intervals] | tuple[()] | None:
    """The dimension that an option speaks of, and the numbers it names there; () for all packets, None for what no
    dimension can say. ValueError, KeyError: not understood."""
    text = word(option)
    name = option.name
    if len(option.values) > 1:
        return None
    if not match:
        return _of_header(name, text, version)
    if name in _SIDES and match in _WITH_HEADER:
        return _SIDES[name], port_spans(text)
    if name in _TYPES:
        return _types(match, text, option.negated)
    if name == "--ctstate" and match in ("conntrack", "state"):
        states = [STATES[word.lower()] for word in text.split(",")]
        # Whether an address is translated is asked beside the state.
        return (STATE, union(*(((one, one),) for one in states))) if max(states) < STATES["snat"] else None
    if name in _RANGES and match == "iprange":
        low, _, high = text.partition("-")
        return _RANGES[name], ((_address(low, version), _address(high or low, version)),)
    return () if name == "--comment" and match == "comment" else None


def _of_header(name: str, text: str, version: int) -> tuple[int, Intervals] | tuple[()] | None:
    match name:
        case "-s" | "-d":
            prefix = parse_prefix(text if "/" in text else f"{text}/{Family(version).bits}")
            if prefix.version != version:
                return None
            last = prefix.base | (1 << prefix.family.bits - prefix.length) - 1
            return (SOURCE if name == "-s" else DESTINATION), ((prefix.base, last),)
        case "-p":
            number = int(text) if text.isdecimal() else 0 if text == "all" else PROTOCOLS[text]
            return (PROTOCOL, ((number, number),)) if number else ()
        case "-i" | "-o":
            begins = text.endswith("+")
            return (IN if name == "-i" else OUT), (interfaces(text.removesuffix("+"), begins=begins),)
    return FRAGMENT, ((1, 1),)


def _types(match: str, text: str, negated: bool) -> tuple[int, Intervals] | tuple[()] | None:
    kind, given, code = text.partition("/")
    number, last = int(kind), int(code) if given else 0
    if max(number, last) > 255:
        raise ValueError(text)
    if match == "icmp" and number == _ANY_TYPE:
        return None if negated else ()
    low = number << 8 | last
    return TO, ((low, low if given else low | 255),)


def _address(text: str, version: int) -> int:
    family, value = parse_address(text)
    if family.value != version:
        raise ValueError(text)
    return value


def protocol(header: Sequence[Option]) -> int:
    for option in header:
        if option.name == "-p" and not option.negated:
            text = word(option)
            return int(text) if text.isdecimal() else PROTOCOLS.get(text, 0)
    return 0
