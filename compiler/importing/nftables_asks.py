"""What a rule of nftables asks, from its matches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product

from compiler.importing.asking import Asking
from compiler.importing.iptables_asks import ICMP_TYPES
from compiler.importing.numbers import between, joined, number, others, protocol, span
from compiler.importing.tidying import conjunction
from compiler.importing.values import ALL_BITS, STATES, WITH_PORTS, Asked, Inexpressible, NeverMatches
from compiler.net import Intervals
from grammar.nftables_tree import Anonymous, Atom, Element, Match, Named, Selector

#: A set's elements, each with its parts.
Sets = Mapping[str, tuple[Element, ...]]
#: So many elements of keys with several parts are written out.
_MOST = 500
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33, "udplite": 136}
_SYN = "tcp flags syn / syn,rst"
#: One part of a key: the selector, its words and whether they are what must not be.
_Part = tuple[Selector, tuple[str, ...], bool]


def asks(matches: Sequence[Match], version: int, sets: Sets, of_syns: bool = False) -> Iterator[Asked]:
    """Each way in which they can hold; no two at once. `of_syns`: what the rule does is for SYNs alone. Raises
    Inexpressible."""
    ways: list[list[list[_Part]]] = []
    syns = False
    for match in matches:
        if of_syns and " ".join(match.place.text.split()) == _SYN:
            syns = True
        else:
            ways.append(list(_ways(match, sets)))
    if of_syns and not syns:
        raise Inexpressible("segments of other packets than SYNs")
    for way in product(*ways):
        asking = Asking(version)
        for selector, words, negated in (part for parts in way for part in parts):
            _ask(asking, selector, words, negated)
        if of_syns:
            asking.protocol(((6, 6),))
        yield asking.done()


def keyed(left: Sequence[Selector], keys: Sequence[Sequence[Atom]], version: int, before: Asked) -> Iterator[Asked]:
    """Elements of a verdict map that have one verdict, for what was asked before. Raises Inexpressible."""
    some = [tuple((key[0].plain,) for key in keys)] if len(left) == 1 else [tuple((a.plain,) for a in k) for k in keys]
    for key in some:
        asking = Asking(version)
        words = [tuple(word for part in key for word in part)] if len(left) == 1 else list(key)
        for selector, values in zip(left, words, strict=True):
            _ask(asking, selector, values, False)
        found = asking.done()
        yield found if before == Asked(version=before.version) else _joined(before, found)


def _joined(before: Asked, found: Asked) -> Asked:
    both = conjunction(before, found)
    if both is None:
        raise Inexpressible("a map behind a match for the same")
    return both


def _ways(match: Match, sets: Sets) -> Iterator[list[_Part]]:
    """Alternatives: one, but for keys of several parts."""
    negated = match.operator == "!="
    if isinstance(match.right, Named | Anonymous):
        elements = sets.get(match.right.name) if isinstance(match.right, Named) else match.right.elements
        if elements is None:
            raise Inexpressible(f"the set {match.right.name if isinstance(match.right, Named) else ''}")
        if match.operator not in ("", "==", "!="):
            raise Inexpressible(match.operator)
        if len(match.left) == 1:
            words = tuple(element.key[0].plain for element in elements)
            yield [(match.left[0], words, negated)]
            return
        if negated or len(elements) > _MOST:
            raise Inexpressible("a set of keys with several parts")
        for element in elements:
            yield [(left, (atom.plain,), False) for left, atom in zip(match.left, element.key, strict=True)]
        return
    if match.right.more:
        raise Inexpressible(" ".join(match.place.text.split()))
    if match.operator in ("<", ">", "<=", ">="):
        yield [(match.left[0], (_compared(match),), False)]
    elif len(match.left) == 1:
        words = tuple(key[0].plain for key in match.right.alternatives)
        yield [(match.left[0], words, negated)]
    else:
        (key,) = match.right.alternatives
        yield [(left, (atom.plain,), negated) for left, atom in zip(match.left, key, strict=True)]
        if negated:
            raise Inexpressible("keys with several parts that must not be")


def _compared(match: Match) -> str:
    """A range of ports or the like."""
    assert not isinstance(match.right, Named | Anonymous)
    if not match.left[0].name.endswith("port"):
        raise Inexpressible(" ".join(match.place.text.split()))
    value = number(match.right.alternatives[0][0].plain, 65535)
    low, high = {"<": (0, value - 1), "<=": (0, value), ">": (value + 1, 65535), ">=": (value, 65535)}[match.operator]
    return f"{low}-{high}"


def _ask(asking: Asking, selector: Selector, words: tuple[str, ...], negated: bool) -> None:
    name = selector.name
    if selector.mask is not None and name != "meta mark":
        raise Inexpressible(f"{name} under a mask")
    if not words:
        if negated:
            return
        raise NeverMatches("an empty set")
    header, _, part = name.partition(" ")
    asked: Mapping[str, Callable[[], None]] = {
        "saddr": lambda: _addresses(asking, True, header, words, negated),
        "daddr": lambda: _addresses(asking, False, header, words, negated),
        "sport": lambda: _ports(asking, True, header, words, negated),
        "dport": lambda: _ports(asking, False, header, words, negated),
    }
    if part in asked and header in ("ip", "ip6", "th", *_PROTOCOLS):
        asked[part]()
        return
    match name:
        case "iifname" | "iif" | "oifname" | "oif":
            asking.interfaces(name[0] == "i", words, negated)
        case "meta l4proto" | "ip protocol":
            numbers = joined((protocol(word),) * 2 for word in words)
            asking.protocol(others(numbers, 255) if negated else numbers)
            asking.only = 4 if header == "ip" else asking.only
        case "meta nfproto":
            if words not in (("ipv4",), ("ipv6",)) or negated:
                raise Inexpressible("families but one")
            asking.only = int(words[0][-1])
        case "icmp type" | "icmpv6 type":
            _types(asking, 4 if name == "icmp type" else 6, words, negated)
        case "ct state":
            states = frozenset(words)
            if not states <= STATES or (negated and len(words) > 1):
                raise Inexpressible(f"states {', '.join(words)}")
            asking.state(STATES - states if negated else states)
        case "meta mark":
            mask = ALL_BITS if selector.mask is None else number(selector.mask.text)
            asking.mark(number(_one(words)), mask, negated)
        case "fib saddr type" | "fib daddr type":
            if not set(words) <= {"local", "broadcast", "multicast"}:
                raise Inexpressible(f"{name} {' '.join(words)}")
            asking.kinds(name == "fib saddr type", words, negated)
        case _ if name.startswith("numgen random mod ") and words == ("0",) and not negated:
            asking.one_of(number(name.rpartition(" ")[2]))
        case _:
            raise Inexpressible(name)


def _one(words: tuple[str, ...]) -> str:
    if len(words) != 1 or "-" in words[0]:
        raise Inexpressible("several marks")
    return words[0]


def _addresses(asking: Asking, of_source: bool, header: str, words: Iterable[str], negated: bool) -> None:
    version = 4 if header == "ip" else 6
    intervals = []
    for word in words:
        try:
            found, interval = between(word)
        except ValueError as error:
            raise Inexpressible(str(error)) from None
        if found != version:
            raise Inexpressible(f"{word} is of the other family")
        intervals.append(interval)
    asking.addresses(of_source, version, joined(intervals), negated)


def _ports(asking: Asking, of_source: bool, header: str, words: Iterable[str], negated: bool) -> None:
    try:
        found: Intervals = joined(span(word, "-") for word in words)
    except ValueError as error:
        raise Inexpressible(str(error)) from None
    if header != "th":
        asking.protocol(((_PROTOCOLS[header],) * 2,))
    elif not all(number in WITH_PORTS for low, high in asking.protocols for number in range(low, high + 1)):
        raise Inexpressible("ports of protocols that have none")
    asking.ports(of_source, others(found, 65535) if negated else found)


def _types(asking: Asking, version: int, words: Iterable[str], negated: bool) -> None:
    names = ICMP_TYPES[version]
    values = [names[names.index(word) + 1] if word in names[::2] else word for word in words]
    if not all(value.isdecimal() for value in values):
        raise Inexpressible(f"types {', '.join(words)}")
    found = joined((number(value, 255),) * 2 for value in values)
    asking.protocol(((1 if version == 4 else 58,) * 2,))
    asking.messages(others(found, 255) if negated else found)
    asking.only = version
