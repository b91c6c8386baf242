"""A rule of nftables as what an order needs to know: which packets it may match, what it asks, whether it ends.

nft does what a rule says from left to right. A packet may stop at any of its matches, so a rule's box is what the
matches in front of its first statement let through: a counter, a log or a limit behind that meets no other packets. A
match that is negated or that no dimension stands for narrows only by what it presupposes: `tcp dport != 22` asks TCP.
Named sets narrow nothing, since they are filled elsewhere; a match that is not listed here may keep state, and what
stands behind it narrows nothing either. A rule with a statement that may change addresses, ports, protocol or state, or
that is not understood, is a *barrier*, its box everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

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
    VERSION,
    Narrowing,
    block,
    interfaces,
)
from compiler.ordering.prices import Kind
from grammar.nftables_tree import (
    Anonymous,
    Atom,
    Element,
    Match,
    Named,
    Part,
    Rule,
    Selector,
    Statement,
    Values,
    Verdict,
    VerdictMap,
)

#: What a selector asks, where a dimension stands for it.
_DIMENSIONS = {
    "ip saddr": SOURCE,
    "ip6 saddr": SOURCE,
    "ip daddr": DESTINATION,
    "ip6 daddr": DESTINATION,
    "ip protocol": PROTOCOL,
    "meta l4proto": PROTOCOL,
    "iifname": IN,
    "oifname": OUT,
    "ct state": STATE,
    "meta nfproto": VERSION,
}
_PORTS = {"sport": FROM, "dport": TO}
#: What the words of a selector's header presuppose of a packet.
PRESUPPOSED = {
    "ip": (VERSION, 4),
    "ip6": (VERSION, 6),
    **{name: (PROTOCOL, PROTOCOLS[name]) for name in ("tcp", "udp", "sctp", "dccp", "udplite", "icmp", "icmpv6")},
}
#: Questions beside those: of the packet or its connection, the same however often they are asked.
_PLAIN = frozenset({"ct", "fib", "iif", "oif", "iiftype", "oiftype", "th", "ether", "rt"})
_PLAIN_META = frozenset({"meta protocol", "meta mark", "meta length", "meta priority", "meta pkttype", "meta skuid"})
_PLAIN_META |= {"meta skgid", "meta cgroup", "meta rtclassid", "meta iifgroup", "meta oifgroup", "meta sdifname"}
_KINDS = {
    PROTOCOL: Kind.PROTOCOL,
    VERSION: Kind.PROTOCOL,
    IN: Kind.INTERFACE,
    OUT: Kind.INTERFACE,
    STATE: Kind.STATE,
    FROM: Kind.PORT,
    TO: Kind.PORT,
}
#: Statements that leave alone what boxes speak of, or that end the packet's way.
_HARMLESS = frozenset(
    {"counter", "comment", "log", "limit", "quota", "reject", "snat", "dnat", "masquerade", "redirect"}
)
_ENDING = frozenset({"reject", "snat", "dnat", "masquerade", "redirect"})
#: What may be set without harm, by the words in front of `set`.
_SETS = frozenset({"meta mark", "mark", "meta priority", "meta nftrace", "ip dscp", "ip6 dscp", "ip ecn"})
_SETS |= {"ip6 ecn", "ip ttl", "ip6 hoplimit", "tcp option maxseg size"}
_VERSIONS = {"ipv4": 4, "ipv6": 6}
#: Elements of a map to verdicts, by its name.
Maps = Mapping[str, Sequence[Element]]


def asked(rule: Rule, family: str, own: Collection[str], maps: Maps) -> Asked:
    """What a rule of a table of the family asks and does; `own`: chains of the table that rules lead to."""
    kinds = tuple(kind for part in rule.parts if isinstance(part, Match | VerdictMap) for kind in kinds_of(part))
    verdicts = list(_verdicts(rule, maps))
    to = tuple(dict.fromkeys(one.chain for one in verdicts if one.chain))
    ends = _ends(rule, verdicts)
    narrowing = _narrowing(rule, family)
    box = narrowing.box()
    if _opens_elsewhere(rule, maps):
        return Asked(EVERYTHING, kinds, ends, tuple(sorted(own)), barrier=True)
    if box is None or any(name not in own for name in to) or not all(map(_is_harmless, rule.parts)):
        return Asked(EVERYTHING, kinds, ends, tuple(name for name in to if name in own), barrier=True)
    return Asked(box, kinds, ends, to, parts=narrowing.parts())


def keys(part: Match | VerdictMap, maps: Maps) -> Sequence[Element] | None:
    """The elements that a map leads to; None where it is not in the text."""
    if isinstance(part.right, Anonymous):
        return part.right.elements
    return maps.get(part.right.name) if isinstance(part.right, Named) else None


def _verdicts(rule: Rule, maps: Maps) -> Iterator[Verdict]:
    for part in rule.parts:
        if isinstance(part, Verdict):
            yield part
        elif isinstance(part, VerdictMap):
            yield from (element.verdict for element in keys(part, maps) or () if element.verdict is not None)


def _opens_elsewhere(rule: Rule, maps: Maps) -> bool:
    """Whether a map leads nobody knows where."""
    used = [keys(part, maps) for part in rule.parts if isinstance(part, VerdictMap)]
    return any(found is None or any(element.verdict is None for element in found) for found in used)


def _ends(rule: Rule, verdicts: Iterable[Verdict]) -> bool:
    """Whether the packets that the rule counts go no further; of a map, all that it has elements for."""
    if any(isinstance(part, Statement) and part.words[0].text in _ENDING for part in rule.parts):
        return True
    kinds = {one.kind for one in verdicts}
    return bool(kinds) and not kinds & {"jump", "continue"}


def _is_harmless(part: Part) -> bool:
    if not isinstance(part, Statement):
        return True
    words = [word.text for word in part.words]
    if "set" in words[:5]:
        return " ".join(words[: words.index("set")]) in _SETS
    return words[0] in _HARMLESS


def is_named(part: Statement) -> bool:
    """Whether it counts in an object of its own, for others to look at: `counter name "web"`."""
    return [word.text for word in part.words[:2]] == ["counter", "name"]


def is_plain(selector: Selector) -> bool:
    """Whether a question has one answer for a packet, whatever was asked before."""
    name = selector.name
    header = name.partition(" ")[0]
    return name in _DIMENSIONS or header in PRESUPPOSED or header in _PLAIN or name in _PLAIN_META


def _narrowing(rule: Rule, family: str) -> Narrowing:
    """What matches in front of the first statement let through."""
    found = Narrowing()
    if family in ("ip", "ip6"):
        found.take(VERSION, ((4, 4),) if family == "ip" else ((6, 6),))
    for part in rule.parts:
        if isinstance(part, Statement) and part.words[0].text == "comment":
            continue
        if not isinstance(part, Match | VerdictMap) or not all(map(is_plain, part.left)):
            break
        for dimension, spans in _narrowed(part):
            found.take(dimension, spans)
        if isinstance(part, VerdictMap):
            break
    return found


def _narrowed(part: Match | VerdictMap) -> Iterator[tuple[int, Sequence[tuple[int, int]]]]:
    for selector in part.left:
        presupposed = PRESUPPOSED.get(selector.name.partition(" ")[0])
        if presupposed is not None:
            yield presupposed[0], ((presupposed[1],) * 2,)
    for n, selector in enumerate(part.left):
        dimension = dimension_of(selector)
        values = listed(part, n)
        if dimension is None or values is None or selector.mask is not None:
            continue
        try:
            spans = [interval(dimension, atom) for atom in values]
        except (ValueError, KeyError):
            continue
        yield dimension, spans


def dimension_of(selector: Selector) -> int | None:
    header, _, field = selector.name.partition(" ")
    if field in _PORTS and header in ("th", "tcp", "udp", "sctp", "dccp", "udplite"):
        return _PORTS[field]
    return _DIMENSIONS.get(selector.name)


def listed(part: Match | VerdictMap, n: int) -> list[Atom] | None:
    """All values of the selector with this number that get through; None when they are not listed."""
    right = part.right
    if isinstance(part, Match) and part.operator not in ("", "=="):
        return None
    match right:
        case Anonymous(elements):
            found: list[Sequence[Atom]] = [element.key for element in elements]
        case Values(alternatives, more):
            found = [] if more else list(alternatives)
        case Named():
            found = []
    if not found or any(len(key) != len(part.left) for key in found):
        return None
    return [key[n] for key in found]


def interval(dimension: int, atom: Atom) -> tuple[int, int]:
    """The numbers that a value stands for. ValueError, KeyError: not understood."""
    text = atom.plain
    if dimension in (SOURCE, DESTINATION):
        low, sign, high = text.partition("-")
        return (block(low)[0], block(high)[1]) if sign else block(low)
    if dimension in (IN, OUT):
        if "\\" in text or text == "*":
            raise ValueError(text)
        return interfaces(text.removesuffix("*"), begins=text.endswith("*"))
    number: Callable[[str], int] = {
        PROTOCOL: _protocol,
        STATE: STATES.__getitem__,
        VERSION: _VERSIONS.__getitem__,
    }.get(dimension, int)
    low, sign, high = (text, "", "") if dimension == PROTOCOL and not text[0].isdigit() else text.partition("-")
    return number(low), number(high if sign else low)


def _protocol(text: str) -> int:
    return int(text) if text.isdecimal() else PROTOCOLS[text]


def kinds_of(part: Match | VerdictMap) -> Iterator[Kind]:
    """What is asked, for its price: one look-up, or a comparison for each selector."""
    if len(part.left) > 1 or isinstance(part, VerdictMap):
        yield Kind.SET
        return
    dimension, right = dimension_of(part.left[0]), part.right
    ports = dimension in (FROM, TO)
    if isinstance(right, Named | Anonymous):
        yield Kind.PORT_LIST if ports else Kind.SET
    elif dimension in (SOURCE, DESTINATION):
        yield Kind.PREFIX if any(sign in right.alternatives[0][0].text for sign in "/-") else Kind.ADDRESS
    elif ports and (part.operator in ("<", ">", "<=", ">=") or "-" in right.alternatives[0][0].text):
        yield Kind.PORT_RANGE
    elif dimension in _KINDS:
        yield _KINDS[dimension]
    else:
        yield Kind.ADDRESS_TYPE if part.left[0].name.startswith("fib ") else Kind.MARK
