"""A rule of nft -> the packets that it matches, exactly where its words say nothing else."""

from __future__ import annotations

from collections.abc import Hashable

from compiler.net import Family, Intervals, intersect, subtract, union
from compiler.optimizing.readers.nftables_asked import PRESUPPOSED, dimension_of, interval, is_named, is_plain, listed
from compiler.optimizing.regions import FRAGMENT, MOST, UNIVERSE, Region, boxes
from compiler.ordering.dimensions import (
    DESTINATION,
    FROM,
    PROTOCOL,
    PROTOCOLS,
    SOURCE,
    STATE,
    STATES,
    TO,
    VERSION,
)
from compiler.ordering.overlap import Box
from grammar.nftables_tree import Anonymous, Match, Named, Rule, Selector, Statement, Verdict, VerdictMap

#: Protocols whose first four bytes are ports: of the others these dimensions say something else.
_WITH_PORTS = tuple(PROTOCOLS[name] for name in ("tcp", "udp", "dccp", "sctp", "udplite"))
#: Headers behind IP's, which a later fragment does not have.
_TRANSPORT = ("tcp", "udp", "sctp", "dccp", "udplite", "th", "icmp", "icmpv6")
#: Statements that are done to whatever comes to them; others are for packets of one family or protocol alone.
_FOR_ALL = ("counter", "comment", "log", "masquerade", "redirect")
_CALM = ("counter", "comment", "reject", "snat", "dnat", "masquerade", "redirect")
_REJECTS = (("reject",), ("reject", "with", "icmpx"))


def region(rule: Rule, family: str) -> Region:
    """What a rule of a table of the family matches."""
    return _Reading(family).region(rule)


def _universe(version: int) -> Box:
    addresses = 0, (1 << Family(version).bits) - 1
    narrow = {SOURCE: addresses, DESTINATION: addresses, STATE: (0, STATES["untracked"]), VERSION: (version, version)}
    return tuple(narrow.get(dimension, side) for dimension, side in enumerate(UNIVERSE))


_UNIVERSES = {version: _universe(version) for version in (4, 6)}


class _Reading:
    """One rule: `spans` are what it narrows, `asks` what no dimension can say, `versions` of IP that it is for."""

    def __init__(self, family: str) -> None:
        self._versions = {"ip": {4}, "ip6": {6}}.get(family, {4, 6})
        self._spans: dict[int, Intervals] = {}
        self._asks: set[Hashable] = set()

    def region(self, rule: Rule) -> Region:
        """Matches behind a statement narrow nothing: packets that do not meet them meet the statement."""
        exact = calm = True
        done = False
        for part in rule.parts:
            match part:
                case Statement():
                    words = [word.text for word in part.words]
                    done |= words[0] != "comment"
                    exact &= (
                        words[0] in _FOR_ALL or tuple(words[:3]) in _REJECTS or words[:3] == ["meta", "mark", "set"]
                    )
                    calm &= words[0] in _CALM and not is_named(part)
                case Verdict():
                    done = True
                case Match() | VerdictMap() if not done and all(map(is_plain, part.left)):
                    exact &= self._take(part)
                case _:
                    exact = calm = False
                    done = True
        found: list[Box] = []
        for version in sorted(self._versions):
            own, whole = boxes(self._spans, _UNIVERSES[version])
            exact &= whole
            found += (box for box in own if all(low <= high for low, high in box))
        return Region(tuple(found), frozenset(self._asks), exact and len(found) <= MOST, calm)

    def _take(self, part: Match | VerdictMap) -> bool:
        """Whether what is narrowed and asked is all that the part lets through."""
        for selector in part.left:
            self._presupposed(selector)
        if isinstance(part, VerdictMap):
            return self._narrowed(part, negated=False)
        negated = part.operator == "!="
        if part.operator in ("", "==", "!=") and self._narrowed(part, negated):
            return True
        compared = _compared(part)
        if compared is not None:
            self._narrow(*compared)
        else:
            self._asks.add(" ".join(part.place.text.split()))
        return True

    def _presupposed(self, selector: Selector) -> None:
        header = selector.name.partition(" ")[0]
        dimension, number = PRESUPPOSED.get(header, (None, 0))
        if dimension == VERSION:
            self._versions &= {number}
        elif dimension is not None:
            self._narrow(dimension, ((number, number),))
        if header in _TRANSPORT:
            self._narrow(FRAGMENT, ((0, 0),))

    def _narrowed(self, part: Match | VerdictMap, negated: bool) -> bool:
        """Whether a dimension says what the part lets through; of several fields, only what each of them may be."""
        told = len(part.left) == 1
        for n, selector in enumerate(part.left):
            dimension = dimension_of(selector)
            plain = part if isinstance(part, VerdictMap) else Match(part.left, "", part.right, part.place)
            atoms = listed(plain, n)
            if dimension is None or atoms is None or selector.mask is not None or not self._has(selector, dimension):
                told = False
                continue
            if negated and (len(part.left) > 1 or (len(atoms) > 1 and not isinstance(part.right, Anonymous))):
                return False
            try:
                spans = union(*((interval(dimension, atom),) for atom in atoms))
            except (ValueError, KeyError):
                told = False
                continue
            if dimension == VERSION:
                named = {number for low, high in spans for number in range(low, high + 1)}
                self._versions = self._versions - named if negated else self._versions & named
            else:
                self._narrow(dimension, spans, negated)
        return told

    def _has(self, selector: Selector, dimension: int) -> bool:
        """Whether the packets that get so far have the field: `th` may be of any protocol."""
        if dimension not in (FROM, TO) or not selector.name.startswith("th "):
            return True
        spans = self._spans.get(PROTOCOL, ((0, 255),))
        return all(number in _WITH_PORTS for low, high in spans for number in range(low, high + 1))

    def _narrow(self, dimension: int, spans: Intervals, negated: bool = False) -> None:
        whole = self._whole(dimension)
        spans = subtract(whole, spans) if negated else spans
        self._spans[dimension] = intersect(self._spans.get(dimension, whole), spans)

    def _whole(self, dimension: int) -> Intervals:
        if dimension in (SOURCE, DESTINATION) and len(self._versions) == 1:
            (version,) = self._versions
            return (_UNIVERSES[version][dimension],)
        return (_UNIVERSES[6][dimension],)


def _compared(part: Match) -> tuple[int, Intervals] | None:
    """What an operator lets through of a port: `tcp dport < 1024`."""
    if len(part.left) != 1 or isinstance(part.right, Named | Anonymous) or part.left[0].mask is not None:
        return None
    dimension = dimension_of(part.left[0])
    text = part.right.alternatives[0][0].text
    if dimension not in (FROM, TO) or part.left[0].name.startswith("th ") or part.right.more or not text.isdecimal():
        return None
    value = int(text)
    spans = {"<": (0, value - 1), "<=": (0, value), ">": (value + 1, 65535), ">=": (value, 65535)}
    if part.operator not in spans:
        return None
    low, high = spans[part.operator]
    return dimension, ((low, high),) if low <= high else ()
